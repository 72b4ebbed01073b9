"""Echo pools, and a gate that releases their tokens one by one so that no test has to sleep."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from repl.messages import ModelSpec, Request, Step
from repl.params import Params
from repl.pool import Coordinator, Limits, ReplicaPlan
from repl.pool.ticket import Ticket
from tests.echo import PATIENCE

QUICK = Limits(backoff=0.01, deaths=3)
"""What a test that loses replicas goes by."""


class Gate:
    """A FIFO the echo backend reads: each release lets one event out."""

    def __init__(self, path: Path) -> None:
        self.path = path
        os.mkfifo(path)
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def release(self, events: int) -> None:
        os.write(self._fd, b"." * events)

    def close(self) -> None:
        os.close(self._fd)


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Gate]:
    gate = Gate(tmp_path / "gate")
    yield gate
    gate.close()


def plans(count: int = 1, *, model: str = "echo", slots: int = 1, **options: object) -> list[ReplicaPlan]:
    spec = ModelSpec(name=model, backend="echo", path="", slots=slots, options=options)
    return [ReplicaPlan(name=f"{model}/{i}", model=spec, device=f"cpu:{i}") for i in range(count)]


def ask(prompt: str, model: str = "echo", **params: object) -> Request:
    return Request(model=model, prompt=prompt, params=Params(**params))


async def until(pool: Coordinator, holds: Callable[[], bool]) -> None:
    """Wait for a condition on the pool's replicas, looked at after each change."""
    changed = asyncio.Event()
    unwatch = pool.watch(lambda status: changed.set())
    try:
        async with asyncio.timeout(PATIENCE):
            while not holds():
                changed.clear()
                await changed.wait()
    finally:
        unwatch()


async def steps(ticket: Ticket, count: int) -> list[str]:
    """The text of the next ``count`` steps."""
    texts: list[str] = []
    async for event in ticket:
        if isinstance(event, Step):
            texts.append(event.text)
            if len(texts) == count:
                break
    return texts
