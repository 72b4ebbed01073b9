"""The product's own dispatch decision on pretended replicas and a virtual clock: any number, in no time.

What is simulated is arrivals, slots and service; what is real is ``repl.pool.policy`` and the queue, the cost
of each decision measured on the way.
"""

import heapq
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from repl.bench.queueing import Job
from repl.messages import Request
from repl.params import Params
from repl.pool import policy
from repl.pool.queue import FairQueue
from repl.pool.ticket import Ticket


@dataclass
class Server:
    """A pretended replica."""

    name: str
    slots: int
    running: int = 0

    @property
    def free(self) -> int:
        """Slots that can take a request now."""
        return self.slots - self.running

    @property
    def load(self) -> float:
        """Running requests per slot."""
        return self.running / self.slots


class Outcome(NamedTuple):
    """Of one simulated trace."""

    waits: list[float]
    """Seconds, in order of arrival."""
    decisions: int
    cost: float
    """Real seconds spent in the queue and the policy."""


def jobs(load: float, slots: int, count: int, seed: int, mean: float = 0.25, sigma: float = 1.1) -> list[Job]:
    """Poisson arrivals at ``load`` of all slots, lognormal services of the given mean in seconds."""
    source = random.Random(seed)
    clock, made = 0.0, []
    for _ in range(count):
        clock += source.expovariate(load * slots / mean)
        made.append(Job(clock, source.lognormvariate(math.log(mean) - sigma**2 / 2, sigma)))
    return made


def simulate(trace: Sequence[Job], replicas: int, slots: int = 1) -> Outcome:
    """Run a trace of one user."""
    servers = [Server(f"r{i}", slots) for i in range(replicas)]
    queue = FairQueue()
    ends: list[tuple[float, int, Server]] = []
    waits = [0.0] * len(trace)
    cost, decisions = 0.0, 0

    def dispatch(now: float, able: Sequence[Server]) -> None:
        nonlocal cost, decisions
        began = time.perf_counter()
        for ticket, server in policy.bindings(queue, able, now):
            server.running += 1
            number = ticket.request.id
            waits[number] = now - trace[number].arrival
            heapq.heappush(ends, (now + trace[number].service, number, server))
            decisions += 1
        cost += time.perf_counter() - began

    for number, job in enumerate(trace):
        while ends and ends[0][0] <= job.arrival:
            now, _, server = heapq.heappop(ends)
            server.running -= 1
            dispatch(now, [server])
        ticket = _ticket(number, job.arrival)
        began = time.perf_counter()
        queue.push(ticket)
        cost += time.perf_counter() - began
        dispatch(job.arrival, servers)
    while ends:
        now, _, server = heapq.heappop(ends)
        server.running -= 1
        dispatch(now, [server])
    return Outcome(waits, decisions, cost)


def _ticket(number: int, now: float) -> Ticket:
    request = Request(id=number, model="m", prompt="", params=Params())
    ticket = Ticket(
        request,
        user="user",
        interactive=True,
        pin=None,
        home=None,
        sink=lambda ticket, event: None,
        cancel=lambda ticket, reason: None,
        ended=lambda ticket: None,
    )
    ticket.timings.submitted = now
    return ticket
