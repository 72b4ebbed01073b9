"""Storms: many requests while everything dies. Bounded, and exact in what must hold at the end."""

import asyncio
import gc
import os
import random
import signal
import time
from functools import partial
from pathlib import Path

import pytest

from repl.messages import Error, Failed, Finished, Lost, Started, Step, Stopped
from repl.pool import Coordinator, Limits, local
from repl.pool.replica import Launcher
from repl.pool.ticket import Ticket
from repl.pool.transport import HEADER, MAX_FRAME, frame
from repl.pool.wire import Heartbeat
from tests.pool.conftest import ask, plans, until
from tests.pool.fake import Stage

TERMINAL = (Finished, Stopped, Failed, Lost)
STORM = Limits(backoff=0.01, backoff_most=0.05, deaths=1000, silence=2.5, farewell=1.0)


class Ledger:
    """Every event of every request."""

    def __init__(self) -> None:
        self.events: dict[Ticket, list[object]] = {}

    def __call__(self, ticket: Ticket, event: object) -> None:
        self.events.setdefault(ticket, []).append(event)

    def check(self, tickets: list[Ticket], pool: Coordinator) -> None:
        for ticket in tickets:
            events = self.events[ticket]
            assert sum(isinstance(e, TERMINAL) for e in events) == 1 and isinstance(events[-1], TERMINAL)
            indices = [e.index for e in events if isinstance(e, Step)]
            assert indices == list(range(len(indices)))
            if isinstance(events[-1], Finished):
                assert "".join(e.text for e in events if isinstance(e, Step)) == events[-1].text
        assert pool.queued() == 0 and all(s.running == 0 for s in pool.status())


def descriptors() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


async def storm(pool: Coordinator, ledger: Ledger, count: int, words: int = 12) -> list[Ticket]:
    prompt = " ".join(f"w{i}" for i in range(words))
    tickets = [pool.submit(ask(prompt), user=f"u{i % 3}", sink=ledger) for i in range(count)]
    async with asyncio.timeout(60):
        await asyncio.gather(*(t.wait() for t in tickets))
    return tickets


@pytest.mark.slow
@pytest.mark.parametrize("on_loss", ["lose", "continue"])
async def test_replicas_killed_every_few_requests(on_loss: str) -> None:
    before, ledger, source = descriptors(), Ledger(), random.Random(5)
    async with Coordinator(plans(3, slots=2, tokens_per_second=400), limits=STORM) as pool:
        await pool.ready()
        ended = 0

        def strike(ticket: Ticket, event: object) -> None:
            nonlocal ended
            ledger(ticket, event)
            if isinstance(event, TERMINAL):
                ended += 1
                if ended % 7 == 0:
                    alive = [s.pid for s in pool.status() if s.pid and s.running]
                    if alive:
                        os.kill(source.choice(alive), signal.SIGKILL)

        prompt = "a b c d e f g h i j"
        tickets = [pool.submit(ask(prompt), sink=strike, on_loss=on_loss) for _ in range(70)]
        async with asyncio.timeout(60):
            await asyncio.gather(*(t.wait() for t in tickets))
        ledger.check(tickets, pool)
        metrics = pool.metrics()["echo"]
        assert metrics.replica_deaths >= 3
        assert metrics.outcomes["finished"] >= 40
        if on_loss == "continue":
            assert metrics.outcomes["lost"] == 0
    assert descriptors() <= before + 1


@pytest.mark.slow
async def test_stopped_processes_are_replaced_and_their_work_goes_on() -> None:
    ledger = Ledger()
    async with Coordinator(plans(2, slots=2, tokens_per_second=200), limits=STORM) as pool:
        await pool.ready()
        victim = pool.status()[0].pid
        assert victim is not None
        os.kill(victim, signal.SIGSTOP)
        tickets = await storm(pool, ledger, 12)
        ledger.check(tickets, pool)
        assert sum(t.state == "finished" for t in tickets) >= 10


async def test_a_storm_of_cancels_frees_every_slot() -> None:
    ledger, source = Ledger(), random.Random(1)
    async with Coordinator(plans(2, slots=4, tokens_per_second=300), limits=STORM) as pool:
        await pool.ready()
        tickets = [pool.submit(ask("a b c d e f g h"), sink=ledger) for _ in range(120)]
        for ticket in source.sample(tickets, 90):
            ticket.cancel()
            if source.random() < 0.3:
                await asyncio.sleep(0)
        async with asyncio.timeout(60):
            await asyncio.gather(*(t.wait() for t in tickets))
        ledger.check(tickets, pool)
        assert sum(t.state == "stopped" for t in tickets) >= 80
        after = await storm(pool, ledger, 10)
        assert all(t.state == "finished" for t in after)


async def test_a_kill_during_load_is_survived() -> None:
    ledger = Ledger()
    async with Coordinator(plans(2, load_seconds=0.3), limits=STORM) as pool:
        loading = asyncio.Event()
        pool.watch(lambda status: loading.set() if status.state == "loading" else None)
        tickets = [pool.submit(ask("a b"), sink=ledger) for _ in range(6)]
        await loading.wait()
        victim = next(s.pid for s in pool.status() if s.state == "loading")
        assert victim is not None
        os.kill(victim, signal.SIGKILL)
        async with asyncio.timeout(60):
            await asyncio.gather(*(t.wait() for t in tickets))
        ledger.check(tickets, pool)
        assert all(t.state == "finished" for t in tickets)


async def test_memory_that_runs_out_fails_one_and_makes_others_wait() -> None:
    ledger = Ledger()
    async with Coordinator(plans(slots=8, memory=40, tokens_per_second=500), limits=STORM) as pool:
        too_large = pool.submit(ask("w " * 30), sink=ledger)
        tickets = await storm(pool, ledger, 12)
        end = await too_large.wait()
        assert isinstance(end, Failed) and end.error.kind == "out_of_memory"
        ledger.check([*tickets, too_large], pool)
        assert all(t.state == "finished" for t in tickets)


LIAR = """
import os, socket, sys, time
data, after = bytes.fromhex("{data}"), "{after}"
s = socket.socket(fileno=int(sys.argv[1]))
s.sendall(data)
try:
    while after == "flood":
        s.sendall(data * 100)
    if after == "stay":
        s.recv(1 << 16)
        while s.recv(1):
            pass
except OSError:
    os._exit(0)
"""


def liar(data: bytes, after: str) -> Launcher:
    """A launcher whose processes say ``data`` instead of loading a model."""
    return partial(local.launch, program=["-c", LIAR.format(data=data.hex(), after=after)])


@pytest.mark.parametrize(
    "data,after",
    [
        pytest.param(HEADER.pack(100) + b"half", "leave", id="half a frame, then the end"),
        pytest.param(b"\x04\x00\x00\x00\xc1\xc1\xc1\xc1", "stay", id="garbage"),
        pytest.param(HEADER.pack(MAX_FRAME + 1), "stay", id="an over-long frame"),
        pytest.param(
            frame([Finished(id=1, reason="eos", text="not asked for")]), "leave", id="an answer to nothing"
        ),
    ],
)
async def test_a_child_that_talks_nonsense_stays_down_and_says_why(data: bytes, after: str) -> None:
    limits = Limits(backoff=0.0, deaths=2)
    async with Coordinator(plans(), limits=limits, launch=liar(data, after)) as pool:
        end = await pool.submit(ask("x")).wait()
        assert isinstance(end, Failed)
        assert pool.status()[0].state == "failed" and pool.status()[0].error is not None


async def test_a_child_that_floods_does_not_starve_the_others() -> None:
    flood = frame([Heartbeat(steps=1, memory=1)])
    async with Coordinator(plans(), launch=liar(flood, "flood")) as noisy:
        async with Coordinator(plans()) as pool:
            end = await pool.submit(ask("a b c")).wait()
            assert isinstance(end, Finished)
        assert noisy.status()[0].state == "starting"


async def test_steps_out_of_order_fail_the_request_and_free_the_slot() -> None:
    stage = Stage()
    async with Coordinator(plans(), launch=stage.launch) as pool:
        await until(pool, lambda: bool(stage.processes))
        stage.processes[0].become_ready(1)
        ticket = pool.submit(ask("x"))
        stage.processes[0].say(Started(id=ticket.request.id, prompt_ids=(), prompt_text=""))
        stage.processes[0].say(Step(id=ticket.request.id, index=1, token=1, piece=b"", text="b"))
        end = await ticket.wait()
        assert isinstance(end, Failed) and "token 1 where 0 was due" in end.error.message
        assert pool.status()[0].running == 0 and ticket.request.id in stage.processes[0].cancelled
        late = Failed(id=ticket.request.id, error=Error(kind="internal", message="late"))
        stage.processes[0].say(late)
        assert ticket.terminal is end


async def test_a_reader_that_falls_behind_loses_nothing() -> None:
    ledger = Ledger()

    def slow(ticket: Ticket, event: object) -> None:
        ledger(ticket, event)
        if isinstance(event, Step) and event.index % 400 == 0:
            time.sleep(0.05)  # a front end that blocks the loop, and with it every socket

    async with Coordinator(plans(2, slots=4), limits=STORM) as pool:
        await pool.ready()
        prompt = "w " * 3000
        tickets = [pool.submit(ask(prompt, max_new=3000), sink=slow) for _ in range(8)]
        async with asyncio.timeout(60):
            await asyncio.gather(*(t.wait() for t in tickets))
        ledger.check(tickets, pool)
        assert all(t.tokens == 3000 and t.state == "finished" for t in tickets)
        assert pool.metrics()["echo"].replica_deaths == 0
