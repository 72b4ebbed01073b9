"""transformers' own continuous batching, all prompts at once; speaks like ``repl.bench.alone``.

Its threads outlive what they were started for, so this process ends only when it is killed.
"""

import logging as standard
import os
import sys
from typing import Any

import msgspec
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    ContinuousBatchingConfig,
    GenerationConfig,
    logging,
)

from repl.bench.alone import Job, measured

PAGE = 16
"""Tokens."""


def main() -> None:
    """The process."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    if job.cores:
        os.sched_setaffinity(0, job.cores)
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
    print("ready", flush=True)
    for _ in sys.stdin.buffer:
        outcome = measured(lambda: _answer(model, prompts, job.params.max_new, batching))
        print(msgspec.json.encode(outcome).decode(), flush=True)


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
