"""transformers' own ``generate``, one prompt after another; speaks like ``repl.bench.alone``."""

import os
import sys
import time

import msgspec
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from repl.bench.alone import Job, Outcome


def main() -> None:
    """The process."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    if job.cores:
        os.sched_setaffinity(0, job.cores)
    torch.set_num_threads(job.threads)
    tokenizer = AutoTokenizer.from_pretrained(job.model.path)
    model = AutoModelForCausalLM.from_pretrained(job.model.path, dtype=torch.float32).to(job.device).eval()
    print("ready", flush=True)
    for _ in sys.stdin.buffer:
        began, tokens = time.perf_counter(), 0
        for prompt in job.prompts:
            inputs = tokenizer(prompt, return_tensors="pt", return_token_type_ids=False).to(job.device)
            with torch.inference_mode():
                output = model.generate(
                    **inputs,
                    do_sample=False,
                    max_new_tokens=job.params.max_new,
                    min_new_tokens=job.params.min_new or None,
                )
            new = output[0, inputs["input_ids"].shape[1] :]
            tokenizer.decode(new, skip_special_tokens=True)
            tokens += len(new)
        print(msgspec.json.encode(Outcome(tokens, time.perf_counter() - began)).decode(), flush=True)


if __name__ == "__main__":
    main()
