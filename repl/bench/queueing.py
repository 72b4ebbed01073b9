"""What waiting would have been under other policies, on the same arrivals and service times.

Pure functions over a trace. The first-come-first-served path through one central queue is computed exactly by
the recursion of Kiefer and Wolfowitz (1955): each arrival takes the server that frees first.
"""

import heapq
import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple


class Job(NamedTuple):
    """One request of a trace; seconds."""

    arrival: float
    service: float


def central(jobs: Sequence[Job], servers: int) -> list[float]:
    """Waiting times behind one central queue, in order of arrival."""
    free = [0.0] * servers
    waits = []
    for job in jobs:
        start = max(job.arrival, heapq.heappop(free))
        heapq.heappush(free, start + job.service)
        waits.append(start - job.arrival)
    return waits


Chooser = Callable[[Sequence[int]], int]
"""From the number of requests each server holds to the server that gets the next one."""


def bound_early(jobs: Sequence[Job], servers: int, choose: Chooser) -> list[float]:
    """Waiting times when each arrival is bound at once to a server with a queue of its own."""
    free = [0.0] * servers
    ends: list[list[float]] = [[] for _ in range(servers)]
    waits = []
    for job in jobs:
        for held in ends:
            while held and held[0] <= job.arrival:
                heapq.heappop(held)
        server = choose([len(held) for held in ends])
        start = max(job.arrival, free[server])
        free[server] = start + job.service
        heapq.heappush(ends[server], free[server])
        waits.append(start - job.arrival)
    return waits


def at_random(seed: int) -> Chooser:
    """Any server."""
    source = random.Random(seed)
    return lambda held: source.randrange(len(held))


def in_turn() -> Chooser:
    """Round robin."""
    last = -1

    def choose(held: Sequence[int]) -> int:
        nonlocal last
        last = (last + 1) % len(held)
        return last

    return choose


def least_requests(seed: int) -> Chooser:
    """The server that holds the fewest, ties at random."""
    source = random.Random(seed)
    return lambda held: min(range(len(held)), key=lambda i: (held[i], source.random()))


def early(jobs: Sequence[Job], servers: int) -> Mapping[str, list[float]]:
    """Waiting times under each policy that binds early, by its name."""
    choosers = {
        "random": at_random(1),
        "round robin": in_turn(),
        "least requests": least_requests(1),
    }
    return {name: bound_early(jobs, servers, choose) for name, choose in choosers.items()}
