"""Dispatch: eight fake replicas under load, and the cost of handing one request over.

The regret of a request is its measured wait minus its wait on the exact first-come-first-served path over the
same arrivals and the same measured service times.
"""

import asyncio
import math
import random
import statistics
import time
from collections.abc import Sequence
from typing import NamedTuple

from repl import eventloop
from repl.bench import queueing, simulator
from repl.bench.report import Figure, Ratio, Report, quantile
from repl.messages import ModelSpec, Request
from repl.params import Params
from repl.pool import Coordinator, ReplicaPlan
from repl.pool.steady import steady
from repl.pool.ticket import Ticket

REPLICAS = 8
TOKENS_PER_SECOND = 100.0
MEAN_TOKENS = 25
SIGMA = 1.1
"""Of the lognormal answer lengths: heavy-tailed, as real ones are."""


def plans(replicas: int, tokens_per_second: float) -> list[ReplicaPlan]:
    """Echo replicas of one slot each."""
    options: dict[str, object] = {"tokens_per_second": tokens_per_second}
    spec = ModelSpec(name="echo", backend="echo", path="", slots=1, options=options)
    return [ReplicaPlan(name=f"echo/{i}", model=spec, device=f"cpu:{i}") for i in range(replicas)]


def lengths(source: random.Random) -> int:
    """A lognormal length in tokens of mean ``MEAN_TOKENS``, cut at 16 times the mean."""
    drawn = source.lognormvariate(math.log(MEAN_TOKENS) - SIGMA**2 / 2, SIGMA)
    return max(1, min(16 * MEAN_TOKENS, round(drawn)))


def arrivals(load: float, seconds: float, seed: int) -> list[tuple[float, Request]]:
    """Requests with their times in seconds from the beginning, drawn before the clock runs."""
    source = random.Random(seed)
    rate = load * REPLICAS * TOKENS_PER_SECOND / MEAN_TOKENS
    params = Params(max_new=10_000)
    coming, due = [], 0.0
    while due < seconds:
        due += source.expovariate(rate)
        coming.append((due, Request(model="echo", prompt="w " * lengths(source), params=params)))
    return coming


async def storm(pool: Coordinator, load: float, seconds: float, seed: int) -> tuple[list[Ticket], float]:
    """Poisson arrivals at ``load`` (share of all slots); returns the tickets and the CPU share used."""
    coming = arrivals(load, seconds, seed)
    tickets = []
    cpu, begin = time.process_time(), time.monotonic()
    for due, request in coming:
        await asyncio.sleep(max(0.0, begin + due - time.monotonic()))
        tickets.append(pool.submit(request, sink=lambda ticket, event: None))
    await asyncio.gather(*(ticket.wait() for ticket in tickets))
    return tickets, (time.process_time() - cpu) / (time.monotonic() - begin)


class Round(NamedTuple):
    """What one storm showed."""

    regret_p99: float
    """Milliseconds."""
    cpu: float
    """Share of a core."""
    waits: dict[str, float]
    """Policy to mean wait in milliseconds, ours under ``""``."""


def judge(tickets: list[Ticket], cpu: float) -> Round:
    """Hold a storm against the exact best path and against policies that bind early."""
    times = [t.timings for t in tickets]
    jobs = [queueing.Job(t.submitted, (t.ended or 0.0) - (t.placed or 0.0)) for t in times]
    waits = [t.queue_seconds or 0.0 for t in times]
    ideal = queueing.central(jobs, REPLICAS)
    regret = [wait - best for wait, best in zip(waits, ideal, strict=True)]
    return Round(quantile(regret, 0.99) * 1e3, cpu, mean_waits(jobs, REPLICAS, waits))


def mean_waits(jobs: Sequence[queueing.Job], servers: int, ours: Sequence[float]) -> dict[str, float]:
    """Policy to mean wait in milliseconds, ours under ``""``."""
    waits = {"": ours, **queueing.early(jobs, servers)}
    return {name: statistics.fmean(each) * 1e3 for name, each in waits.items()}


def against_policies(name: str, waits: Sequence[dict[str, float]]) -> list[Figure]:
    """A line for each other policy, over several traces."""
    ours = [each[""] for each in waits]
    return [
        Figure(
            name=f"{name}: mean wait",
            unit="ms",
            ours=statistics.median(ours),
            peer=policy,
            peers=statistics.median(peers := [each[policy] for each in waits]),
            ratio=Ratio.of(ours, peers) if all(peers) else None,
        )
        for policy in waits[0]
        if policy
    ]


def figures(load: float, rounds: list[Round]) -> list[Figure]:
    """The lines of the report for one load."""
    name = f"load {load:.0%}"
    return [
        Figure.limit(f"{name}: regret p99", "ms", [r.regret_p99 for r in rounds], 1.0),
        Figure.limit(f"{name}: share of a core", "%", [100 * r.cpu for r in rounds], 5.0),
        *against_policies(name, [r.waits for r in rounds]),
    ]


async def handover(rounds: int, count: int) -> Figure:
    """Time from submit to the first event's arrival back at the coordinator, one request at a time."""
    medians = []
    async with Coordinator(plans(1, 0)) as pool:
        await pool.ready()
        for _ in range(rounds):
            times = []
            for _ in range(count):
                ticket = pool.submit(Request(model="echo", prompt="w", params=Params()))
                async for _ in ticket:
                    times.append((time.monotonic() - ticket.timings.submitted) * 1e3)
                    break
                await ticket.wait()
            medians.append(statistics.median(times))
    return Figure.limit("submit to first event back, p50", "ms", medians, 0.3)


async def measure(rounds: int, seconds: float) -> tuple[Figure, ...]:
    """All figures."""
    found = [await handover(rounds, 300)]
    with steady():
        async with Coordinator(plans(REPLICAS, TOKENS_PER_SECOND), queue_limit=100_000) as pool:
            await pool.ready()
            for load in (0.5, 0.8, 0.95):
                storms = [judge(*await storm(pool, load, seconds, seed)) for seed in range(rounds)]
                found += figures(load, storms)
    return tuple(found)


async def simulated(replicas: int, load: float, count: int) -> list[Figure]:
    """The real decision on pretended replicas: what it costs, and how far from the best path it lands.

    A coroutine because a ticket belongs to an event loop.
    """
    outcomes, beyond, waits = [], [], []
    for seed in range(3):
        trace = simulator.jobs(load, replicas, count, seed)
        outcome = simulator.simulate(trace, replicas)
        outcomes.append(outcome)
        waits.append(mean_waits(trace, replicas, outcome.waits))
        best = queueing.central(trace, replicas)
        beyond.append(max(wait - ideal for wait, ideal in zip(outcome.waits, best, strict=True)) * 1e3)
    costs = [outcome.cost / outcome.decisions * 1e6 for outcome in outcomes]
    name = f"{replicas} simulated, load {load:.0%}"
    return [
        Figure(name=f"{name}: a decision", unit="us", ours=statistics.median(costs)),
        Figure.limit(f"{name}: greatest regret", "ms", beyond, 1.0),
        *against_policies(name, waits),
    ]


async def at_scale(count: int) -> list[Figure]:
    """Pools no machine at hand has."""
    found = []
    for replicas in (8, 64, 512):
        found += await simulated(replicas, 0.95, count)
    return found


def run(*, quick: bool = False) -> Report:
    """Run the benchmark: three storms of 15 s for each load, or of 3 s when ``quick``."""
    about = f"{REPLICAS} echo replicas at {TOKENS_PER_SECOND:g} tokens/s, lognormal lengths, Poisson arrivals"
    note = "waits of other policies: computed on the same arrivals and measured service times"
    found = eventloop.run(measure(3, 3.0 if quick else 15.0))
    found += tuple(eventloop.run(at_scale(2_000 if quick else 20_000)))
    return Report(bench="dispatch", about=about, figures=found, notes=(note,))
