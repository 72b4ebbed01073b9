"""Rounds of prompts: through a pool, timed from the first submission to the last end, or by two processes."""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from repl.bench.alone import Alone, Outcome
from repl.demo import model_path
from repl.messages import Failed, ModelSpec, Request, Step
from repl.params import Params
from repl.pool import Coordinator
from repl.pool.ticket import Ticket


async def through(
    pool: Coordinator,
    model: str,
    prompts: Sequence[str],
    params: Params,
    *,
    pin: str | None = None,
    interactive: bool = True,
) -> Outcome:
    """Submit all prompts at once, those of a file if nobody waits for them (not ``interactive``).

    Raises ``RuntimeError`` when one fails.
    """
    tokens = 0

    def count(ticket: Ticket, event: object) -> None:
        nonlocal tokens
        tokens += isinstance(event, Step)

    began = time.perf_counter()
    requests = [Request(model=model, prompt=prompt, params=params) for prompt in prompts]
    tickets = [pool.submit(request, pin=pin, sink=count, interactive=interactive) for request in requests]
    for end in await asyncio.gather(*(ticket.wait() for ticket in tickets)):
        if isinstance(end, Failed):
            raise RuntimeError(end.error.message)
    return Outcome(tokens, time.perf_counter() - began)


def in_turn(own: Alone, other: Alone, rounds: int) -> tuple[list[float], list[float]]:
    """Tokens a second of processor time of either, in rounds that alternate; the first warms both up."""
    pairs = [(own.round().cpu_rate, other.round().cpu_rate) for _ in range(rounds + 1)][1:]
    return [rate for rate, _ in pairs], [rate for _, rate in pairs]


def demo_lm(slots: int) -> ModelSpec:
    """The embedded causal LM."""
    return ModelSpec(name="lm-late", backend="hf", path=str(model_path("lm-late")), slots=slots)


@contextmanager
def random_lm() -> Iterator[ModelSpec]:
    """A Llama of 30 million random weights, there until the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-P", "-m", "repl.bench.peers.random_llama", folder], check=True)
        yield ModelSpec(name="random", backend="hf", path=folder, slots=1)


@contextmanager
def cache_in(folder: str) -> Iterator[None]:
    """What is made of models is kept in ``folder``: the user has no use for it."""
    name = "XDG_CACHE_HOME"
    before = os.environ.get(name)
    os.environ[name] = str(Path(folder) / "cache")
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def cores() -> list[int]:
    """The cores this process may use."""
    return sorted(os.sched_getaffinity(0))
