"""Which request goes to which replica, as a function of what waits and what is free.

Used by the coordinator on real replicas and by the benchmark's simulator on pretended ones.
"""

import random
import time
from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from repl.pool.queue import FairQueue
from repl.pool.ticket import Ticket

LOOK = 4
"""How far down the queue a freed slot looks for a conversation that is at home there."""
PATIENCE = 1.0
"""Seconds the first in the queue may have waited before nobody is taken ahead of it for affinity."""
TOKENS_PER_SECOND_WAITED = 50.0
"""Ageing of shortest-first: a second of waiting outweighs this many expected tokens."""


class Server(Protocol):
    """What the policy needs to know of a replica."""

    @property
    def name(self) -> str:
        """Unique among the servers of a model."""
        ...

    @property
    def free(self) -> int:
        """Slots that can take a request now."""
        ...

    @property
    def load(self) -> float:
        """Running requests per slot."""
        ...


S = TypeVar("S", bound=Server)


class Lengths:
    """Expected answer lengths, learnt from finished answers by the size of their prompts."""

    WEIGHT = 0.2
    """Of the newest answer in the running mean."""

    def __init__(self) -> None:
        self._means: dict[int, float] = {}

    def learn(self, prompt: str, tokens: int) -> None:
        """An answer of so many tokens followed this prompt."""
        size = len(prompt).bit_length()
        mean = self._means.get(size, float(tokens))
        self._means[size] = mean + self.WEIGHT * (tokens - mean)

    def expect(self, prompt: str, most: int) -> float:
        """Tokens to expect, ``most`` at most; the nearest size learnt stands in for one that is not."""
        if not self._means:
            return float(most)
        size = len(prompt).bit_length()
        nearest = min(self._means, key=lambda known: abs(known - size))
        return min(float(most), self._means[nearest])


def rank(arrival: float, number: int, expected_tokens: float | None) -> float:
    """Sort key within a user's queue: arrival order, or shortest first when a length is expected.

    With lengths the key is ``expected - rate * waited``; all keys fall at the same rate as time passes, so
    ``expected + rate * arrival`` orders the same way and never changes.
    """
    return float(number) if expected_tokens is None else expected_tokens + TOKENS_PER_SECOND_WAITED * arrival


def bindings(queue: FairQueue, servers: Iterable[S], now: float | None = None) -> Iterator[tuple[Ticket, S]]:
    """Bind waiting requests to free slots until one runs out; the caller places each before the next.

    The request leaves the queue after it was placed, so that the slot does not wait for that either.

    A conversation goes home if its home has a slot; any other request goes to the server with the fewest
    running per slot, ties at random.
    """
    free = {server.name: server for server in servers if server.free > 0}
    while free and (ticket := next_for(queue, free, now)) is not None:
        server = _choose(ticket, free)
        yield ticket, server
        queue.take(ticket)
        if server.free <= 0:
            del free[server.name]


def next_for(queue: FairQueue, free: dict[str, S], now: float | None = None) -> Ticket | None:
    """The request that one of the servers with ``free`` slots gets next, left in the queue."""
    if not queue.homed:
        return queue.head(free)
    heads = queue.peek(free, LOOK)
    return _next(heads, free, time.monotonic() if now is None else now) if heads else None


def _next(heads: list[Ticket], free: dict[str, S], now: float) -> Ticket:
    """The first in the queue, or while that is young one close behind it that is at home on a free server."""
    first = heads[0]
    if first.home in free or now - first.timings.submitted > PATIENCE:
        return first
    same_class = (ticket for ticket in heads if ticket.interactive == first.interactive)
    return next((t for t in same_class if t.home in free and (t.pin is None or t.home in t.pin)), first)


def _choose(ticket: Ticket, free: dict[str, S]) -> S:
    if len(free) == 1:
        return next(iter(free.values()))
    home = free.get(ticket.home) if ticket.home else None
    if home is not None and (ticket.pin is None or home.name in ticket.pin):
        return home
    able = [server for server in free.values() if ticket.pin is None or server.name in ticket.pin]
    least = min(server.load for server in able)
    return random.choice([server for server in able if server.load == least])
