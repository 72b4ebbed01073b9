"""The real dispatch decision, on a virtual clock, is the exact first-come-first-served path."""

import asyncio

import pytest

from repl.bench.queueing import Job, central
from repl.bench.simulator import jobs, simulate


def run(trace: list[Job], replicas: int, slots: int = 1) -> list[float]:
    async def go() -> list[float]:
        return simulate(trace, replicas, slots).waits

    return asyncio.run(go())


@pytest.mark.parametrize("replicas", [1, 8, 64])
@pytest.mark.parametrize("load", [0.5, 0.95, 1.5])
def test_no_request_waits_longer_than_on_the_best_path(replicas: int, load: float) -> None:
    trace = jobs(load, replicas, 1500, seed=7)
    assert run(trace, replicas) == pytest.approx(central(trace, replicas))


def test_slots_of_one_replica_serve_as_replicas_of_one_slot() -> None:
    trace = jobs(0.9, 8, 1000, seed=1)
    assert run(trace, 2, slots=4) == pytest.approx(central(trace, 8))
