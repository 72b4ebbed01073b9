"""Replicas that are forked: they live, speak and die as those that are started by exec."""

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import msgspec
import psutil
import pytest

from backends import registry
from repl.messages import Failed, Finished, Lost, Step
from repl.pool import Coordinator, Limits
from repl.pool.nursery import Nursery, suits
from repl.pool.transport import FrameProtocol
from tests.pool.conftest import ask, plans

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="replicas are forked on Linux only")

PARENT = """
import asyncio, json, psutil
from repl.messages import ModelSpec
from repl.pool import Coordinator, ReplicaPlan
from repl.pool.nursery import Nursery

async def main():
    spec = ModelSpec(name="e", backend="echo", path="")
    plans = [ReplicaPlan(name=f"e/{i}", model=spec, device="cpu:0") for i in range(2)]
    async with Nursery() as nursery, Coordinator(plans, launch=nursery.launch) as pool:
        await pool.ready()
        print(json.dumps([child.pid for child in psutil.Process().children(recursive=True)]), flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


def cradle():
    """The only child of this process that is a cradle."""
    (found,) = [child for child in psutil.Process().children() if "repl.pool.cradle" in child.cmdline()]
    return found


@pytest.fixture
async def pool():
    limits = Limits(backoff=0.01, deaths=100)
    two = plans(2, faults=True)
    async with Nursery() as nursery, Coordinator(two, limits=limits, launch=nursery.launch) as made:
        await made.ready()
        yield made


def pids(pool):
    return [status.pid for status in pool.status()]


async def test_replicas_are_children_of_the_cradle_and_answer(pool):
    assert {child.pid for child in cradle().children()} == set(pids(pool))
    ends = await asyncio.gather(*(pool.submit(ask(f"answer {i}")).wait() for i in range(8)))
    assert all(isinstance(end, Finished) for end in ends)
    for pid in pids(pool):
        assert psutil.Process(pid).num_threads() == 3
        assert os.getsid(pid) == pid


async def test_a_killed_replica_is_mourned_and_comes_back(pool):
    victim = pids(pool)[0]
    ticket = pool.submit(ask("!hang 1"), pin=pool.status()[0].name)
    async for event in ticket:
        if isinstance(event, Step):
            os.kill(victim, signal.SIGKILL)
            break
    end = await ticket.wait()
    assert isinstance(end, Lost)
    assert "SIGKILL" in end.error.message
    await pool.ready()
    assert victim not in pids(pool)
    assert isinstance(await pool.submit(ask("again")).wait(), Finished)


async def test_the_end_of_the_cradle_costs_its_replicas_and_not_the_session(pool):
    before = [psutil.Process(pid) for pid in pids(pool)]
    cradle().kill()
    _, alive = await asyncio.to_thread(psutil.wait_procs, before, 20)
    assert not alive
    assert isinstance(await pool.submit(ask("again")).wait(), Finished)
    assert {child.pid for child in cradle().children()} <= set(pids(pool))


async def test_nothing_is_left_when_the_nursery_closes():
    async with Nursery() as nursery, Coordinator(plans(2), launch=nursery.launch) as pool:
        await pool.ready()
        everyone = [cradle(), *cradle().children()]
    _, alive = await asyncio.to_thread(psutil.wait_procs, everyone, 20)
    assert not alive


def test_everything_leaves_when_the_parent_is_killed():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        watched = [os.pidfd_open(pid) for pid in json.loads(parent.stdout.readline())]
        assert len(watched) == 3
        parent.kill()
        for descriptor in watched:
            assert select.select([descriptor], [], [], 20)[0], "a process outlived its parent"
            os.close(descriptor)


async def test_last_words_of_a_forked_replica_are_kept(capfd, monkeypatch):
    monkeypatch.setenv("PYTHONFAULTHANDLER", "1")
    one, limits = plans(1, faults=True), Limits(deaths=1)
    async with Nursery() as nursery, Coordinator(one, limits=limits, launch=nursery.launch) as pool:
        await pool.ready()
        ticket = pool.submit(ask("!hang 0"))
        os.kill(pids(pool)[0], signal.SIGABRT)
        end = await ticket.wait()
        assert isinstance(end, Failed | Lost)
        assert "SIGABRT" in end.error.message
        assert "_run_module_as_main" in end.error.detail
    assert capfd.readouterr() == ("", "")


async def test_a_fault_on_the_way_to_the_load_is_told_and_not_swallowed(capfd):
    (plan,) = plans(1)
    nowhere = msgspec.structs.replace(plan, cores=(1 << 14,))
    limits = Limits(deaths=1)
    async with Nursery() as nursery, Coordinator([nowhere], limits=limits, launch=nursery.launch) as pool:
        end = await pool.submit(ask("x")).wait()
    assert isinstance(end, Failed)
    assert "sched_setaffinity" in end.error.detail
    assert "Invalid argument" in end.error.detail
    assert capfd.readouterr() == ("", "")


def open_descriptors(pid):
    return [str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()]


async def test_a_forked_replica_has_no_descriptors_of_the_cradle(pool):
    for pid in pids(pool):
        kinds = open_descriptors(pid)
        assert sum(kind.startswith("pipe:") for kind in kinds) == 2, kinds  # what it writes, twice
        assert sum(kind.startswith("socket:") for kind in kinds) == 1, kinds


async def test_killing_what_has_died_before_that_is_heard_is_harmless():
    async with Nursery() as nursery:
        (plan,) = plans(1)
        process = await nursery.launch(plan, lambda: FrameProtocol(Deaf()))
        os.kill(process.pid, signal.SIGKILL)
        while psutil.pid_exists(process.pid):  # the loop does not run meanwhile: its death is not heard
            os.sched_yield()
        process.kill()
        assert await process.wait() == -signal.SIGKILL
        process.kill()


class Deaf:
    """Hears nothing of what a replica says."""

    def received(self, messages):
        pass

    def disconnected(self, reason):
        pass


def test_what_may_be_forked(monkeypatch):
    (plan,) = plans(1)
    assert suits(plan)
    assert not suits(msgspec.structs.replace(plan, device="cuda:0"))
    assert not suits(msgspec.structs.replace(plan, model=msgspec.structs.replace(plan.model, gpus=2)))
    monkeypatch.delattr(registry.find(plan.model.backend), "preload")
    assert not suits(plan)
