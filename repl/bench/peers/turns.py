"""A conversation's second turn with the Hugging Face engine; speaks like ``repl.bench.alone``.

The job's two prompts are the first turn and what follows the answer to it. Rounds alternate: the second turn
right after the first, then the same prompt when nothing is remembered. Only the way to its first token is
timed.
"""

import os
import sys
from functools import partial

import msgspec

from backends.hf.engine import HuggingFaceEngine
from backends.hf.load import load
from repl.bench.alone import Job, Outcome, measured
from repl.messages import Finished, Request
from repl.params import Params

REPEATS = 5
"""In each round."""


def main() -> None:
    """The process."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    if job.cores:
        os.sched_setaffinity(0, job.cores)
    engine = load(job.model, job.device, job.threads, lambda stage, fraction: None)
    assert isinstance(engine, HuggingFaceEngine)
    first, following = job.prompts
    print("ready", flush=True)
    for number, _ in enumerate(sys.stdin.buffer):
        taken = []
        for _ in range(REPEATS):
            said = ask(engine, first, job.params)
            second = first + said + following
            if number % 2:
                engine.forget()
            taken.append(measured(partial(first_token, engine, second)))
            engine.forget()
        total = Outcome(REPEATS, sum(one.seconds for one in taken), sum(one.cpu for one in taken))
        print(msgspec.json.encode(total).decode(), flush=True)


def ask(engine: HuggingFaceEngine, prompt: str, params: Params) -> str:
    """The answer to one prompt."""
    engine.admit(Request(model="", prompt=prompt, params=params))
    while True:
        for event in engine.step():
            if isinstance(event, Finished):
                return event.text


def first_token(engine: HuggingFaceEngine, prompt: str) -> int:
    """Answer with one token."""
    ask(engine, prompt, Params(max_new=1))
    return 1


if __name__ == "__main__":
    main()
