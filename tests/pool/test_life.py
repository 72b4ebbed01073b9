"""The life of requests and replicas under random interleavings of everything that can happen to them.

A model-based test: hypothesis plays users, replica processes and the operator against the real coordinator.
Only the processes are pretended, so that no clock and no scheduler decides what comes first.
"""

import asyncio
from collections import defaultdict
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from repl.messages import (
    Error,
    Event,
    Failed,
    Finished,
    Lost,
    ModelSpec,
    Request,
    Rewound,
    Started,
    Step,
    Stopped,
)
from repl.params import Params
from repl.pool import Coordinator, Limits, QueueFull, ReplicaPlan, Unavailable
from repl.pool.ticket import Ticket
from tests.pool.fake import Played, Stage

TERMINAL = (Finished, Stopped, Failed, Lost)
SLOTS = 2
QUEUE_LIMIT = 6


def plan(number: int) -> ReplicaPlan:
    spec = ModelSpec(name="m", backend="echo", path="")
    return ReplicaPlan(name=f"m/{number}", model=spec, device=f"cpu:{number}")


class PoolLife(RuleBasedStateMachine):
    @initialize(count=st.integers(1, 3))
    def open(self, count: int) -> None:
        self.loop = asyncio.new_event_loop()
        self.stage = Stage()
        self.events: dict[Ticket, list[Event]] = defaultdict(list)
        self.tickets: list[Ticket] = []
        self.added = count
        limits = Limits(backoff=0.0, deaths=4, tries=3)

        async def enter() -> None:
            plans = [plan(i) for i in range(count)]
            self.pool = Coordinator(plans, launch=self.stage.launch, limits=limits, queue_limit=QUEUE_LIMIT)
            await self.pool.__aenter__()

        self.loop.run_until_complete(enter())
        self.settle()

    def settle(self) -> None:
        async def rounds() -> None:
            for _ in range(12):
                await asyncio.sleep(0)

        self.loop.run_until_complete(rounds())

    def act(self, function: Any, *arguments: Any) -> None:
        async def call() -> None:
            function(*arguments)

        self.loop.run_until_complete(call())
        self.settle()

    def pick(self, data: st.DataObject, things: list[Any]) -> Any:
        return things[data.draw(st.integers(0, len(things) - 1))]

    @property
    def working(self) -> list[tuple[Played, int]]:
        return [(p, i) for p in self.stage.living for i in p.running]

    # -- what can happen -----------------------------------------------------------------------------------

    @rule(
        user=st.sampled_from(["a", "b"]),
        interactive=st.booleans(),
        pin=st.sampled_from([None, None, "m/0", "m/1"]),
        home=st.sampled_from([None, "m/0"]),
        on_loss=st.sampled_from(["lose", "continue"]),
    )
    def submit(self, user: str, interactive: bool, pin: str | None, home: str | None, on_loss: Any) -> None:
        def note(ticket: Ticket, event: Event) -> None:
            self.events[ticket].append(event)

        def go() -> None:
            request = Request(model="m", prompt="p", params=Params())
            waiting = self.pool.queued()
            try:
                ticket = self.pool.submit(
                    request,
                    user=user,
                    interactive=interactive,
                    pin=pin,
                    home=home,
                    on_loss=on_loss,
                    sink=note,
                )
            except QueueFull:
                assert waiting >= QUEUE_LIMIT
            except Unavailable:
                assert pin not in {s.name for s in self.pool.status()}
            else:
                assert not self.events[ticket]
                self.tickets.append(ticket)

        self.act(go)

    @precondition(lambda self: any(not p.ready for p in self.stage.living))
    @rule(data=st.data())
    def load(self, data: st.DataObject) -> None:
        loading = [p for p in self.stage.living if not p.ready]
        self.act(self.pick(data, loading).become_ready, SLOTS)

    @precondition(lambda self: self.working)
    @rule(data=st.data(), steps=st.integers(1, 3))
    def step(self, data: st.DataObject, steps: int) -> None:
        process, number = self.pick(data, self.working)
        resumed = len(process.running[number].resume)
        messages: list[Any] = []
        if number not in process.started:
            process.started.add(number)
            messages.append(Started(id=number, prompt_ids=(1,), prompt_text="p"))
        for _ in range(steps):
            index = process.sent[number]
            forced = index < resumed
            messages.append(Step(id=number, index=index, token=index, piece=b"t", text="t", forced=forced))
            process.sent[number] += 1
        self.act(process.say, *messages)

    @precondition(lambda self: self.working)
    @rule(data=st.data(), keep=st.integers(0, 2))
    def rewind(self, data: st.DataObject, keep: int) -> None:
        process, number = self.pick(data, self.working)
        if keep < process.sent[number] and not process.running[number].resume:
            process.sent[number] = keep
            self.act(process.say, Rewound(id=number, keep=keep))

    @precondition(lambda self: self.working)
    @rule(data=st.data(), good=st.booleans())
    def end(self, data: st.DataObject, good: bool) -> None:
        process, number = self.pick(data, self.working)
        del process.running[number]
        fault = Error(kind="internal", message="no")
        end: Any = Finished(id=number, reason="eos", text="") if good else Failed(id=number, error=fault)
        self.act(process.say, end)

    @precondition(lambda self: any(i in p.cancelled for p, i in self.working))
    @rule(data=st.data())
    def obey_cancel(self, data: st.DataObject) -> None:
        process, number = self.pick(data, [(p, i) for p, i in self.working if i in p.cancelled])
        del process.running[number]
        self.act(process.say, Stopped(id=number))

    @precondition(lambda self: self.tickets)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.act(self.pick(data, self.tickets).cancel)

    @precondition(lambda self: self.stage.living)
    @rule(data=st.data())
    def death(self, data: st.DataObject) -> None:
        self.act(self.pick(data, list(self.stage.living)).die)

    @precondition(lambda self: self.stage.living)
    @rule(data=st.data())
    def garbage(self, data: st.DataObject) -> None:
        process = self.pick(data, list(self.stage.living))
        room = process.connection.get_buffer(-1)
        room[:5] = b"\x01\x00\x00\x00\xc1"
        self.act(process.connection.buffer_updated, 5)

    @rule(number=st.integers(0, 2))
    def drain(self, number: int) -> None:
        if f"m/{number}" in {s.name for s in self.pool.status()}:
            self.act(self.pool.drain, f"m/{number}")

    @precondition(lambda self: self.added < 5)
    @rule()
    def add(self) -> None:
        self.added += 1
        self.act(self.pool.add, plan(self.added))

    @rule(number=st.integers(0, 2))
    def restart(self, number: int) -> None:
        if f"m/{number}" in {s.name for s in self.pool.status()}:
            self.loop.run_until_complete(self.pool.restart(f"m/{number}"))
            self.settle()

    # -- what must hold ------------------------------------------------------------------------------------

    @invariant()
    def each_answer_is_whole(self) -> None:
        for ticket, events in self.events.items():
            ends = [e for e in events if isinstance(e, TERMINAL)]
            assert len(ends) <= 1 and (not ends or events[-1] is ends[0])
            assert bool(ends) == ticket.done
            due = 0
            for event in events:
                if isinstance(event, Step):
                    assert event.index == due
                    due += 1
                elif isinstance(event, Rewound):
                    due = min(due, event.keep)
            assert sum(isinstance(e, Started) for e in events) <= ticket.tries

    @invariant()
    def slots_and_queue_add_up(self) -> None:
        if not hasattr(self, "pool"):
            return
        for status in self.pool.status():
            assert 0 <= status.running <= max(status.slots, SLOTS)
        open_tickets = [t for t in self.tickets if not t.done]
        running = sum(s.running for s in self.pool.status())
        assert self.pool.queued() == sum(t.state == "queued" for t in open_tickets)
        assert running == sum(t.state in ("placed", "streaming") for t in open_tickets)
        on_stage = [i for p, i in self.working]
        assert len(on_stage) == len(set(on_stage))

    @invariant()
    def nobody_waits_beside_a_free_slot_or_for_nobody(self) -> None:
        if not hasattr(self, "pool"):
            return
        statuses = self.pool.status()
        alone = {t.replica for t in self.tickets if t.tries > 1 and not t.done}
        free = {s.name for s in statuses if s.state in ("ready", "busy") and s.running < s.slots} - alone
        coming = {s.name for s in statuses if s.state not in ("failed", "stopped", "draining")}
        for ticket in self.tickets:
            if ticket.state == "queued":
                able = ticket.pin or {s.name for s in statuses}
                assert not able & free
                assert able & coming

    def teardown(self) -> None:
        if not hasattr(self, "loop"):
            return
        for process, number in self.working:
            if number in process.cancelled:
                self.act(process.say, Stopped(id=number))
                process.running.pop(number)
        self.loop.run_until_complete(self.pool.close())
        self.settle()
        assert all(t.done for t in self.tickets)
        assert not self.stage.living
        self.each_answer_is_whole()
        self.loop.close()


PoolLife.TestCase.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
test_pool_life = PoolLife.TestCase
