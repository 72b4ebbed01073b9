"""Replicas on GPUs that are not there, called by the names that people give to GPUs."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pynvml
import pytest

from repl import devices
from repl.devices import GpuReading
from repl.pool import Coordinator
from repl.session.frontend import Notice, Table
from repl.session.record.store import Store
from repl.session.routing import Replica, addresses, device, resolve
from repl.session.session import Session
from tests.nvml import Install
from tests.pool.conftest import until
from tests.session.support import config
from tests.session.test_with_replicas import Watcher


@asynccontextmanager
async def sitting() -> AsyncIterator[tuple[Session, Watcher]]:
    """A session over an echo replica on each GPU."""
    screen = Watcher()
    chosen = config(lm={"backend": "echo", "path": ""})
    async with Coordinator(devices.plan(chosen)) as pool:
        session = Session(chosen, pool, Store(None))
        session.listen(screen)
        await pool.ready()
        yield session, screen
        await session.close()


async def answered(session: Session, screen: Watcher) -> str | None:
    """Which replica the latest line went to, once it has."""
    await screen.quiet()
    return session.exchanges[-1].replica


async def test_gpus_go_by_the_names_that_people_give_them(gpus: Install) -> None:
    gpus("GPU-a", "GPU-b", "GPU-c")
    async with sitting() as (session, screen):
        assert [(s.name, s.device) for s in session.status()] == [
            ("lm/0", "cuda:0"), ("lm/1", "cuda:1"), ("lm/2", "cuda:2")
        ]  # fmt: skip
        await session.run("@GPU1 to the second", screen)
        assert await answered(session, screen) == "lm/1"
        await session.run("/pin GPU2", screen)
        await session.run("to the third", screen)
        assert await answered(session, screen) == "lm/2"
        await session.run("/pin off", screen)
        before = [s.pid for s in session.status()]
        await session.run("/restart GPU0", screen)
        await until(session.coordinator, lambda: session.status()[0].restarts == 1)
        await session.coordinator.ready()
        assert [s.pid == pid for s, pid in zip(session.status(), before, strict=True)] == [False, True, True]
        await session.run("/replicas add GPU1", screen)
        await session.coordinator.ready()
        assert [(s.name, s.device) for s in session.status()][3:] == [("lm/3", "cuda:1")]
        await session.run("/replicas drain Gpu1", screen)
        left = ["ready", "stopped", "ready", "stopped"]
        await until(session.coordinator, lambda: [s.state for s in session.status()] == left)
    assert not [o for o in screen.shown if isinstance(o, Notice) and o.level == "error"], screen.shown


async def test_the_table_tells_how_busy_and_full_each_gpu_is(gpus: Install) -> None:
    gpus("GPU-a", "GPU-b").silent.add("GPU-b")
    async with sitting() as (session, screen):
        await session.run("/replicas", screen)
    table = screen.shown[-1]
    assert isinstance(table, Table)
    told = table.columns.index("GPU")
    assert [row[told] for row in table.rows] == ["1.0 of 10 GB, 25% busy"]


async def test_without_gpus_the_table_has_no_place_for_them(gpus: Install) -> None:
    async with sitting() as (session, screen):
        await session.run("/replicas", screen)
    table = screen.shown[-1]
    assert isinstance(table, Table) and "GPU" not in table.columns


async def test_a_driver_that_fails_is_told_beside_the_replicas(gpus: Install) -> None:
    gpus(fault=pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)
    async with sitting() as (session, screen):
        await session.run("/replicas", screen)
    table = screen.shown[-1]
    assert isinstance(table, Table) and "version mismatch" in table.notes[0] and "doctor" in table.notes[0]


GROUPS = [Replica("big/0", "big", "cuda:0+cuda:1"), Replica("big/1", "big", "cuda:2+cuda:3")]


@pytest.mark.parametrize(("word", "place"), [("gpu1", "cuda:1"), ("GPU:03", "cuda:3"), ("CUDA:2", "cuda:2")])
def test_a_replica_over_several_gpus_is_on_each_of_them(word: str, place: str) -> None:
    assert device(word) == place
    assert resolve(word, comparison=["big"], models=["big"], replicas=GROUPS) == {"big": place}
    assert place.replace("cuda:", "gpu") in addresses(["big"], GROUPS)


def test_the_readings_of_several_gpus_are_taken_together() -> None:
    known = {f"cuda:{n}": GpuReading(utilisation=n / 4, memory_used=n, memory_total=10) for n in range(1, 3)}
    assert devices.together("cuda:1", known) == known["cuda:1"]
    assert devices.together("cuda:1+cuda:2", known) == GpuReading(
        utilisation=0.375, memory_used=3, memory_total=20
    )
    assert devices.together("cuda:2+cuda:3", known) is None
    assert devices.together("cpu:0", known) is None
