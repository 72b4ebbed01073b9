"""Replicas that load, come, go and start again while others serve."""

import asyncio
import os

import pytest

from repl.messages import Failed, Finished, Stopped
from repl.pool import Coordinator, Unavailable
from tests.pool.conftest import QUICK, Gate, ask, plans, until


async def test_loading_is_reported_and_requests_wait_for_it() -> None:
    seen: list[tuple[str, float | None]] = []
    async with Coordinator(plans(load_seconds=0.2)) as pool:
        pool.watch(lambda s: seen.append((s.state, s.loading)))
        end = await pool.submit(ask("x")).wait()
    assert isinstance(end, Finished)
    states = [state for state, _ in seen]
    assert states[0] in ("starting", "loading") and "loading" in states and states[-1] == "stopped"
    fractions = [f for state, f in seen if state == "loading" and f is not None]
    assert fractions == sorted(fractions)


async def test_a_model_that_cannot_load_fails_its_requests_and_no_other_models() -> None:
    both = [*plans(model="bad", load_error="no such file: weights.bin"), *plans(model="good")]
    async with Coordinator(both) as pool:
        waiting = pool.submit(ask("x", model="bad"))
        good = pool.submit(ask("y", model="good"))
        failed, finished = await asyncio.gather(waiting.wait(), good.wait())
        assert isinstance(failed, Failed) and failed.error.message == "no such file: weights.bin"
        assert isinstance(finished, Finished)
        await pool.ready()
        assert [s.state for s in pool.status()] == ["failed", "ready"]
        late = await pool.submit(ask("x", model="bad")).wait()
        assert isinstance(late, Failed)


async def test_an_unknown_option_names_the_model_and_the_option() -> None:
    async with Coordinator(plans(toknes=1)) as pool:
        end = await pool.submit(ask("x")).wait()
    assert isinstance(end, Failed) and "echo" in end.error.message and "toknes" in end.error.message


async def test_restart_by_hand_gives_a_new_process(gate: Gate) -> None:
    async with Coordinator(plans(gate=str(gate.path)), limits=QUICK) as pool:
        await pool.ready()
        before = pool.status()[0].pid
        unseen = pool.submit(ask("x"))
        await pool.restart("echo/0")
        gate.release(20)
        assert isinstance(await unseen.wait(), Finished)
        assert pool.status()[0].pid != before
        with pytest.raises(Unavailable, match="ecko"):
            await pool.restart("ecko")


async def test_a_replica_is_added_while_others_serve(gate: Gate) -> None:
    async with Coordinator(plans(gate=str(gate.path))) as pool:
        await pool.ready()
        tickets = [pool.submit(ask("a")) for _ in range(2)]
        assert tickets[1].state == "queued"
        pool.add(plans(2, gate=str(gate.path))[1])
        await until(pool, lambda: tickets[1].state == "placed")
        assert tickets[1].replica == "echo/1"
        with pytest.raises(ValueError, match="echo/1"):
            pool.add(plans(2)[1])
        pool.drain("echo/1")
        gate.release(9)
        await tickets[1].wait()
        await until(pool, lambda: pool.status()[1].state == "stopped")
        pool.add(plans(2, gate=str(gate.path))[1])  # a stopped one gives way
        await pool.ready()
        assert [s.state for s in pool.status()][1] == "ready"


async def test_draining_finishes_what_runs_and_takes_nothing_new(gate: Gate) -> None:
    async with Coordinator(plans(2, gate=str(gate.path))) as pool:
        await pool.ready()
        running = pool.submit(ask("a b"), pin="echo/0")
        pool.drain("cpu:0")
        assert pool.status()[0].state == "draining"
        others = [pool.submit(ask("c")) for _ in range(2)]
        assert [t.replica for t in others] == ["echo/1", None]
        gate.release(30)
        ends = await asyncio.gather(running.wait(), *(t.wait() for t in others))
        assert all(isinstance(e, Finished) for e in ends)
        assert [t.replica for t in others] == ["echo/1", "echo/1"]
        await until(pool, lambda: pool.status()[0].state == "stopped")
        with pytest.raises(Unavailable, match="cpu:7"):
            pool.drain("cpu:7")


async def test_draining_the_last_replica_fails_what_waits_for_it(gate: Gate) -> None:
    async with Coordinator(plans(gate=str(gate.path))) as pool:
        await pool.ready()
        running, waiting = pool.submit(ask("a")), pool.submit(ask("b"))
        pool.drain("echo/0")
        assert isinstance(await waiting.wait(), Failed)
        gate.release(9)
        assert isinstance(await running.wait(), Finished)


async def test_closing_ends_every_request_and_every_process(gate: Gate) -> None:
    async with Coordinator(plans(2, gate=str(gate.path))) as pool:
        await pool.ready()
        tickets = [pool.submit(ask("a b")) for _ in range(4)]
        pids = [s.pid for s in pool.status()]
    ends = [t.terminal for t in tickets]
    assert [e.reason for e in ends if isinstance(e, Stopped)] == ["closing"] * 4
    for pid in pids:
        assert pid is not None
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
