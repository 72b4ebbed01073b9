"""Replicas that die, hang or fall silent, and what becomes of their requests."""

import asyncio
import os
import signal
import time

import pytest

from repl.messages import Failed, Finished, Lost, Started, Step, Stopped
from repl.pool import Coordinator, Limits
from repl.pool.ticket import Ticket
from tests.pool.conftest import QUICK, Gate, ask, plans, steps, until


async def test_a_killed_replica_loses_what_it_showed_and_nothing_else(gate: Gate) -> None:
    async with Coordinator(plans(2, slots=2, gate=str(gate.path)), limits=QUICK) as pool:
        await pool.ready()
        shown = pool.submit(ask("a b c"), pin="echo/0")
        gate.release(2)
        assert await steps(shown, 1) == ["a"]
        unseen = pool.submit(ask("d e"), home="echo/0")
        assert unseen.replica == "echo/0"
        victim = pool.status()[0].pid
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        lost = await shown.wait()
        gate.release(50)
        finished = await unseen.wait()
        assert isinstance(lost, Lost) and "SIGKILL" in lost.error.message and shown.state == "lost"
        assert isinstance(finished, Finished) and finished.text == "d e" and unseen.tries == 2
        await until(pool, lambda: pool.status()[0].state == "ready")
        assert pool.status()[0].restarts == 1 and pool.status()[0].pid != victim


async def test_an_answer_continues_elsewhere_as_if_nothing_had_happened(gate: Gate) -> None:
    async with Coordinator(plans(2, gate=str(gate.path)), limits=QUICK) as pool:
        await pool.ready()
        events: list[object] = []
        two_shown = asyncio.Event()

        def note(ticket: Ticket, event: object) -> None:
            events.append(event)
            if ticket.tokens == 2:
                two_shown.set()

        ticket = pool.submit(ask("a b c d"), on_loss="continue", home="echo/0", sink=note)
        gate.release(3)
        await two_shown.wait()
        victim = pool.status()[0].pid
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        first_wait = ticket.timings.queue_seconds
        assert first_wait is not None
        died = time.monotonic()
        gate.release(50)
        end = await ticket.wait()
        placed, seconds = ticket.timings.placed, ticket.timings.queue_seconds
        assert placed is not None and placed > died and seconds is not None
        # Waiting is what it waited in the queue: not the streaming before the loss.
        assert first_wait <= seconds <= first_wait + placed - died
        assert pool.metrics()["echo"].generation_tokens == 4
    assert isinstance(end, Finished) and end.text == "a b c d" and ticket.tries == 2
    assert [type(e) for e in events] == [Started, Step, Step, Step, Step, Finished]
    assert [e.text for e in events if isinstance(e, Step)] == ["a", " b", " c", " d"]


async def test_a_request_that_kills_replicas_fails_after_its_tries() -> None:
    async with Coordinator(plans(2, faults=True), limits=Limits(backoff=0.01, tries=2)) as pool:
        end = await pool.submit(ask("!crash 0")).wait()
        assert isinstance(end, Failed) and "lost on 2 replicas" in end.error.message
        good = await pool.submit(ask("still here")).wait()
    assert isinstance(good, Finished)


async def test_a_request_that_kills_replicas_takes_no_neighbour_with_it() -> None:
    async with Coordinator(plans(2, slots=8, faults=True), limits=Limits(backoff=0.01, tries=2)) as pool:
        await pool.ready()
        lines = ["a b", "c d", "!crash 0", "e f", "g h", "i j", "k l", "m n"]
        tickets = [pool.submit(ask(line), on_loss="continue") for line in lines]
        ends = await asyncio.gather(*(ticket.wait() for ticket in tickets))
    failed = [line for line, end in zip(lines, ends, strict=True) if not isinstance(end, Finished)]
    assert failed == ["!crash 0"]


async def test_a_replica_that_keeps_dying_stays_down_with_the_reason() -> None:
    async with Coordinator(plans(faults=True), limits=Limits(backoff=0.01, deaths=2, tries=9)) as pool:
        end = await pool.submit(ask("!crash 0")).wait()
        status = pool.status()[0]
        assert isinstance(end, Failed) and status.state == "failed"
        assert status.error and "SIGKILL" in status.error.message
        at_once = await pool.submit(ask("x")).wait()
        assert isinstance(at_once, Failed)
        await pool.restart("echo/0")
        assert isinstance(await pool.submit(ask("back")).wait(), Finished)


@pytest.mark.parametrize(
    "fault,kind", [("!raise 1", "internal"), ("!oom 1", "out_of_memory"), ("!nan 1", "nan_logits")]
)
async def test_a_fault_of_one_request_leaves_its_neighbour_untouched(fault: str, kind: str) -> None:
    async with Coordinator(plans(slots=2, faults=True)) as pool:
        bad, good = pool.submit(ask(fault)), pool.submit(ask("a b c d e f"))
        failed, finished = await asyncio.gather(bad.wait(), good.wait())
        assert pool.status()[0].restarts == 0
    assert isinstance(failed, Failed) and failed.error.kind == kind
    assert isinstance(finished, Finished) and finished.text == "a b c d e f"


async def test_a_hung_engine_is_ended_and_its_request_settled() -> None:
    limits = Limits(backoff=0.01, no_progress=0.6, tries=1)
    async with Coordinator(plans(faults=True), limits=limits) as pool:
        hung = pool.submit(ask("!hang 1"))
        end = await hung.wait()
        assert isinstance(end, Lost) and end.error.kind == "hung" and "no progress" in end.error.message
        assert isinstance(await pool.submit(ask("on")).wait(), Finished)


async def test_a_stopped_process_is_noticed_by_its_silence() -> None:
    async with Coordinator(plans(), limits=Limits(backoff=0.01, silence=2.5)) as pool:
        await pool.ready()
        pid = pool.status()[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        await until(pool, lambda: pool.status()[0].restarts == 1 and pool.status()[0].state == "ready")


async def test_a_stop_ends_the_request_even_where_the_process_is_frozen() -> None:
    async with Coordinator(plans(tokens_per_second=50), limits=Limits(stop=0.2, backoff=0.01)) as pool:
        await pool.ready()
        ticket = pool.submit(ask("w " * 500, max_new=500))
        assert await steps(ticket, 1) == ["w"]
        pid = pool.status()[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        ticket.cancel()
        assert await ticket.wait() == Stopped(id=ticket.request.id)
        assert pool.status()[0].running == 1  # the slot is not free before the process obeys
        os.kill(pid, signal.SIGCONT)
        await until(pool, lambda: pool.status()[0].running == 0)
        assert isinstance(await pool.submit(ask("on")).wait(), Finished)
        assert pool.status()[0].restarts == 0
