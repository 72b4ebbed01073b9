"""transformers' own ``generate``, one prompt after another or in batches; speaks like ``repl.bench.alone``.

It takes ``together`` prompts at a time, padded on the left, and writes until the longest answer is complete,
as a batch of ``generate`` does. Only the tokens that were asked for are counted.
"""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from repl.bench.alone import measured, on_demand, received
from repl.params import Params


def main() -> None:
    """The process."""
    job = received()
    torch.set_num_threads(job.threads)
    tokenizer = AutoTokenizer.from_pretrained(job.model.path, padding_side="left")
    dtype = torch.float32 if job.model.dtype == "auto" else getattr(torch, job.model.dtype)
    model = AutoModelForCausalLM.from_pretrained(job.model.path, dtype=dtype).to(job.device).eval()
    size = job.together
    asked = job.each()
    batches = [asked[i : i + size] for i in range(0, len(asked), size)]
    on_demand(lambda: measured(lambda: sum(_answer(tokenizer, model, batch) for batch in batches)))


def _answer(tokenizer: Any, model: Any, batch: Sequence[tuple[str, Params]]) -> int:
    prompts = [prompt for prompt, _ in batch]
    inputs = tokenizer(prompts, padding=len(batch) > 1, return_tensors="pt", return_token_type_ids=False)
    inputs = inputs.to(model.device)
    with torch.inference_mode():
        output = model.generate(
            **inputs,
            do_sample=False,
            max_new_tokens=max(params.max_new for _, params in batch),
            min_new_tokens=max(params.min_new for _, params in batch) or None,
        )
    new = output[:, inputs["input_ids"].shape[1] :]
    answers = [row[: params.max_new] for row, (_, params) in zip(new, batch, strict=True)]
    tokenizer.batch_decode(answers, skip_special_tokens=True)
    return sum(map(len, answers))


if __name__ == "__main__":
    main()
