"""From submission to the one end of each request, over real replica processes of the echo backend."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest
from msgspec.structs import replace

from repl.messages import Finished, Started, Step, Stopped
from repl.pool import Coordinator, Unsendable
from repl.pool.ticket import Ticket
from repl.pool.trace import Trace
from tests.pool.conftest import QUICK, Gate, ask, plans, steps


async def test_an_answer_streams_in_order_and_ends_once() -> None:
    async with Coordinator(plans()) as pool:
        ticket = pool.submit(ask("one two three"))
        events = [event async for event in ticket]
    assert isinstance(events[0], Started)
    assert [e.index for e in events[1:-1] if isinstance(e, Step)] == [0, 1, 2]
    assert isinstance(events[-1], Finished) and events[-1].text == "one two three"
    assert ticket.state == "finished" and ticket.replica == "echo/0"
    t = ticket.timings
    assert t.placed and t.first and t.ended and t.submitted <= t.placed <= t.first <= t.ended


async def test_a_sink_gets_every_event_and_never_before_submit_returns() -> None:
    seen: list[tuple[Ticket, object]] = []
    async with Coordinator(plans()) as pool:
        await pool.ready()
        ticket = pool.submit(ask("a b"), sink=lambda t, e: seen.append((t, e)))
        assert seen == []
        await ticket.wait()
    assert [type(e) for _, e in seen] == [Started, Step, Step, Finished]
    assert all(t is ticket for t, _ in seen)


async def test_a_sink_that_raises_harms_neither_replica_nor_neighbour() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))

    def broken(ticket: Ticket, event: object) -> None:
        raise ValueError("front end fault")

    async with Coordinator(plans(slots=2)) as pool:
        bad, good = pool.submit(ask("a"), sink=broken), pool.submit(ask("b"))
        assert isinstance(await bad.wait(), Finished)
        assert isinstance(await good.wait(), Finished)
        assert pool.status()[0].restarts == 0
    assert complaints


async def test_what_has_no_form_on_the_wire_is_refused_and_harms_nobody() -> None:
    async with Coordinator(plans()) as pool:
        good = pool.submit(ask("a"))
        for request in (ask("half of a \ud83d"), replace(ask("b"), prefix_ids=(1 << 64,))):
            with pytest.raises(Unsendable) as refused:
                pool.submit(request)
            assert refused.value.error.kind == "bad_parameter"
        assert isinstance(await good.wait(), Finished)
        assert pool.status()[0].restarts == 0


async def test_stop_takes_effect_at_every_stage_and_frees_the_slot(gate: Gate) -> None:
    async with Coordinator(plans(gate=str(gate.path))) as pool:
        await pool.ready()
        running, waiting = pool.submit(ask("a b c d")), pool.submit(ask("e"))
        gate.release(3)
        assert await steps(running, 2) == ["a", " b"]
        waiting.cancel()
        assert await waiting.wait() == Stopped(id=waiting.request.id)
        running.cancel()
        assert isinstance(await running.wait(), Stopped)
        after = pool.submit(ask("f"))
        gate.release(3)
        assert isinstance(await after.wait(), Finished)
        running.cancel()  # harmless once it has ended
        assert running.state == "stopped"


async def test_an_answer_that_takes_longer_than_max_time_is_stopped_and_says_so(gate: Gate) -> None:
    async with Coordinator(plans(gate=str(gate.path))) as pool:
        await pool.ready()
        running, waiting = (pool.submit(ask(prompt, max_time=0.01)) for prompt in "ab")
        ends = await asyncio.gather(running.wait(), waiting.wait())
    assert [e.reason for e in ends if isinstance(e, Stopped)] == ["deadline", "deadline"]


async def test_metrics_and_trace_tell_the_same_story(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    async with Coordinator(plans(2, faults=True), limits=QUICK, trace=Trace(path)) as pool:
        await pool.ready()
        good = [pool.submit(ask("a b c")) for _ in range(3)]
        await asyncio.gather(*(t.wait() for t in good))
        stopped = pool.submit(ask("x " * 4000, max_new=4000))
        stopped.cancel()
        await stopped.wait()
        lost = pool.submit(ask("!crash 2"))
        await lost.wait()
        metrics = pool.metrics()["echo"]
    assert metrics.outcomes == {"finished": 3, "stopped": 1, "lost": 1}
    assert (metrics.cancelled, metrics.replica_deaths) == (1, 1)
    assert metrics.generation_tokens >= 9 and metrics.prompt_tokens >= 9
    assert metrics.queue_time.count == metrics.dispatch_regret.count == 5
    assert metrics.request_latency.count == 3
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["t"] for line in lines] == sorted(line["t"] for line in lines)
    ended = [line["state"] for line in lines if line["event"] == "ended"]
    assert Counter(ended) == metrics.outcomes
    assert sum(line["event"] == "submitted" for line in lines) == 5
    assert "a b c" not in path.read_text()
