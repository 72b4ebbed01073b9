"""The first token of a short prompt while others are served; speaks like ``repl.bench.alone``.

The job's prompts are those of the running streams, then a long one, then the short one that is timed. It
comes right behind the long one, which is not read yet. Only the way from there to its first token counts.
"""

from collections.abc import Sequence
from functools import partial

from backends.hf.engine import HuggingFaceEngine
from backends.hf.load import load
from repl.bench.alone import Job, Outcome, measured, on_demand, received, together
from repl.messages import Event, Request, Step

REPEATS = 5
"""In each round."""


def main() -> None:
    """The process."""
    job = received()
    engine = load(job.model, job.device, job.threads, lambda stage, fraction: None)
    assert isinstance(engine, HuggingFaceEngine)
    on_demand(lambda: together(once(engine, job) for _ in range(REPEATS)))


def once(engine: HuggingFaceEngine, job: Job) -> Outcome:
    """One short prompt among others."""
    requests = [Request(id=i, model="", prompt=p, params=job.params) for i, p in enumerate(job.prompts)]
    *streams, long, short = requests
    for request in streams:
        engine.admit(request)
    running: set[int] = set()
    while len(running) < len(streams):
        running |= writing(engine.step())
    engine.admit(long)
    engine.admit(short)
    outcome = measured(partial(until, engine, short.id))
    for request in requests:
        engine.cancel(request.id)
    engine.step()
    engine.forget()
    return outcome


def until(engine: HuggingFaceEngine, number: int) -> int:
    """Step until this request has its first token."""
    while number not in writing(engine.step()):
        pass
    return 1


def writing(events: Sequence[Event]) -> set[int]:
    """Requests that got a token."""
    return {event.id for event in events if isinstance(event, Step)}


if __name__ == "__main__":
    main()
