"""A conversation's second turn with the Hugging Face engine; speaks like ``repl.bench.alone``.

The job's two prompts are the first turn and what follows the answer to it. Rounds alternate: the second turn
right after the first, then the same prompt when nothing is remembered. Only the way to its first token is
timed.
"""

from functools import partial
from itertools import cycle

from backends.hf.engine import HuggingFaceEngine
from backends.hf.load import load
from repl.bench.alone import Job, Outcome, measured, on_demand, received, together
from repl.messages import Finished, Request
from repl.params import Params

REPEATS = 5
"""In each round."""


def main() -> None:
    """The process."""
    job = received()
    engine = load(job.model, job.device, job.threads, lambda stage, fraction: None)
    assert isinstance(engine, HuggingFaceEngine)
    remembers = cycle((True, False))

    def round_of_turns() -> Outcome:
        remembered = next(remembers)
        return together(once(engine, job, remembered) for _ in range(REPEATS))

    on_demand(round_of_turns)


def once(engine: HuggingFaceEngine, job: Job, remembered: bool) -> Outcome:
    """A conversation of two turns, of which the second is timed."""
    first, following = job.prompts
    second = first + ask(engine, first, job.params) + following
    if not remembered:
        engine.forget()
    outcome = measured(partial(first_token, engine, second))
    engine.forget()
    return outcome


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
