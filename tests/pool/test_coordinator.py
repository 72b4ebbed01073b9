"""From submission to the one end of each request, over real replica processes of the echo backend."""

import asyncio
import json
import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from repl.messages import Failed, Finished, Lost, Started, Step, Stopped
from repl.pool import Coordinator, Limits, QueueFull, Unavailable
from repl.pool.ticket import Ticket
from repl.pool.trace import Trace

from .conftest import Gate, ask, plans, until

QUICK = Limits(backoff=0.01, deaths=3)


async def steps(ticket: Ticket, count: int) -> list[str]:
    """The text of the next ``count`` steps."""
    texts: list[str] = []
    async for event in ticket:
        if isinstance(event, Step):
            texts.append(event.text)
            if len(texts) == count:
                break
    return texts


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


async def test_a_deadline_stops_a_request_and_says_so(gate: Gate) -> None:
    async with Coordinator(plans(gate=str(gate.path))) as pool:
        await pool.ready()
        running = pool.submit(ask("a"), deadline=0.01)
        waiting = pool.submit(ask("b"), deadline=0.01)
        ends = await asyncio.gather(running.wait(), waiting.wait())
    assert [e.reason for e in ends if isinstance(e, Stopped)] == ["deadline", "deadline"]


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
        gate.release(50)
        end = await ticket.wait()
    assert isinstance(end, Finished) and end.text == "a b c d" and ticket.tries == 2
    assert [type(e) for e in events] == [Started, Step, Step, Step, Step, Finished]
    assert [e.text for e in events if isinstance(e, Step)] == ["a", " b", " c", " d"]


async def test_shortest_first_lets_a_short_answer_pass_a_long_one(gate: Gate) -> None:
    async with Coordinator(plans(gate=str(gate.path)), order="shortest") as pool:
        await pool.ready()
        pool.submit(ask("x"))
        long, short = pool.submit(ask("l " * 5, max_new=4000)), pool.submit(ask("s", max_new=2))
        gate.release(60)
        await asyncio.gather(long.wait(), short.wait())
        assert short.timings.placed and long.timings.placed and short.timings.placed < long.timings.placed


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
