"""Which request goes to which replica, and when."""

import asyncio

import pytest

from repl.messages import Finished, Started
from repl.pool import Coordinator, QueueFull, Unavailable
from repl.pool.ticket import Ticket
from tests.pool.conftest import Gate, ask, plans


async def test_requests_wait_centrally_and_are_bound_when_a_slot_frees(gate: Gate) -> None:
    async with Coordinator(plans(2, gate=str(gate.path))) as pool:
        await pool.ready()
        tickets = [pool.submit(ask(f"w{i}")) for i in range(5)]
        assert [t.state for t in tickets] == ["placed", "placed", "queued", "queued", "queued"]
        assert {tickets[0].replica, tickets[1].replica} == {"echo/0", "echo/1"}
        assert pool.queued() == pool.queued("echo") == 3
        gate.release(15)
        ends = await asyncio.gather(*(t.wait() for t in tickets))
    assert [e.text for e in ends if isinstance(e, Finished)] == ["w0", "w1", "w2", "w3", "w4"]


async def test_the_replica_with_the_fewest_running_per_slot_is_chosen(gate: Gate) -> None:
    async with Coordinator(plans(3, slots=2, gate=str(gate.path))) as pool:
        await pool.ready()
        tickets = [pool.submit(ask("x")) for _ in range(6)]
        first, second = tickets[:3], tickets[3:]
        assert {t.replica for t in first} == {t.replica for t in second} == {"echo/0", "echo/1", "echo/2"}


async def test_home_is_preferred_only_while_it_has_a_free_slot(gate: Gate) -> None:
    async with Coordinator(plans(2, slots=2, gate=str(gate.path))) as pool:
        await pool.ready()
        there = [pool.submit(ask("x"), home="echo/1") for _ in range(3)]
        assert [t.replica for t in there] == ["echo/1", "echo/1", "echo/0"]


async def test_a_pinned_request_waits_for_its_device_and_holds_up_nobody(gate: Gate) -> None:
    async with Coordinator(plans(2, gate=str(gate.path))) as pool:
        await pool.ready()
        running = pool.submit(ask("x"), pin="cpu:0")
        pinned = pool.submit(ask("y"), pin="echo/0")
        other = pool.submit(ask("z"))
        assert (running.replica, pinned.state, other.replica) == ("echo/0", "queued", "echo/1")
        gate.release(9)
        await pinned.wait()
        assert pinned.replica == "echo/0"


async def test_users_take_turns_and_the_batch_waits_for_the_interactive(gate: Gate) -> None:
    order: list[str] = []

    def note(ticket: Ticket, event: object) -> None:
        if isinstance(event, Started):
            order.append(ticket.request.prompt)

    async with Coordinator(plans(gate=str(gate.path))) as pool:
        await pool.ready()
        batch = [pool.submit(ask(f"batch{i}"), user="run", interactive=False, sink=note) for i in range(3)]
        pasted = [pool.submit(ask(f"a{i}"), user="a", sink=note) for i in range(3)]
        typed = [pool.submit(ask("b0"), user="b", sink=note)]
        gate.release(100)
        await asyncio.gather(*(t.wait() for t in batch + pasted + typed))
    assert order == ["batch0", "a0", "b0", "a1", "a2", "batch1", "batch2"]


async def test_shortest_first_lets_a_short_answer_pass_a_long_one(gate: Gate) -> None:
    async with Coordinator(plans(gate=str(gate.path)), order="shortest") as pool:
        await pool.ready()
        pool.submit(ask("x"))
        long, short = pool.submit(ask("l " * 5, max_new=4000)), pool.submit(ask("s", max_new=2))
        gate.release(60)
        await asyncio.gather(long.wait(), short.wait())
        assert short.timings.placed and long.timings.placed and short.timings.placed < long.timings.placed


async def test_a_full_queue_refuses_with_a_way_out(gate: Gate) -> None:
    async with Coordinator(plans(gate=str(gate.path)), queue_limit=2) as pool:
        await pool.ready()
        for _ in range(3):
            pool.submit(ask("x"))
        with pytest.raises(QueueFull) as refused:
            pool.submit(ask("x"))
    assert refused.value.error.kind == "queue_full" and "queue_limit" in refused.value.error.hint


@pytest.mark.parametrize("pin", ["gpu7", "echo/9", "nonsense"])
async def test_an_unknown_model_or_device_is_refused_with_what_there_is(pin: str) -> None:
    async with Coordinator(plans()) as pool:
        with pytest.raises(Unavailable) as no_device:
            pool.submit(ask("x"), pin=pin)
        with pytest.raises(Unavailable) as no_model:
            pool.submit(ask("x", model="ech"))
    assert "echo/0 on cpu:0" in no_device.value.error.hint
    assert "echo" in no_model.value.error.hint
