"""transformers' own continuous batching, all prompts at once; speaks like ``repl.bench.alone``.

Its threads outlive what they were started for, so this process ends only when it is killed.
"""

import logging as standard
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    ContinuousBatchingConfig,
    GenerationConfig,
    logging,
)

from repl.bench.alone import measured, on_demand, received

PAGE = 16
"""Tokens."""


def main() -> None:
    """The process."""
    job = received()
    torch.set_num_threads(job.threads)
    logging.set_verbosity_error()
    standard.getLogger("ContinuousBatchingLogger").setLevel(standard.ERROR)
    tokenizer = AutoTokenizer.from_pretrained(job.model.path)
    model = AutoModelForCausalLM.from_pretrained(
        job.model.path, dtype=torch.float32, attn_implementation="sdpa"
    )
    model = model.to(job.device).eval()
    prompts = [tokenizer(prompt)["input_ids"] for prompt in job.prompts]
    longest = max(map(len, prompts)) + job.params.max_new
    batching = ContinuousBatchingConfig(
        page_size=PAGE,
        num_blocks=len(prompts) * (longest // PAGE + 2),
        max_batch_tokens=max(512, len(prompts)),
    )
    on_demand(lambda: measured(lambda: _answer(model, prompts, job.params.max_new, batching)))


def _answer(model: Any, prompts: list[list[int]], tokens: int, batching: Any) -> int:
    answers = model.generate_batch(
        inputs=prompts,
        # No token ends an answer, as ``min_new`` has it on the other side.
        generation_config=GenerationConfig(max_new_tokens=tokens, do_sample=False, eos_token_id=-1),
        continuous_batching_config=batching,
        persistent_manager=True,
        warmup=False,
    )
    return sum(len(answer.generated_tokens) for answer in answers.values())


if __name__ == "__main__":
    main()
