"""A pool under the test's control, and what Pilot tests wait with.

``ScriptedPool`` stands in for the coordinator: it takes requests as the real one does and delivers exactly
the events a test hands it, when it hands them, so that nothing has to be slept for.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
from textual.pilot import Pilot

from repl.config import Config, ModelConfig
from repl.messages import (
    Error,
    Event,
    Failed,
    Finished,
    FinishReason,
    Request,
    Rewound,
    Started,
    Step,
    Stopped,
)
from repl.pool import ReplicaStatus, Ticket
from repl.pool.ticket import StopReason
from repl.session.exchange import Exchange
from repl.session.record.store import Store
from repl.session.session import Session
from repl.tui.app import ReplApp
from repl.tui.views.pane import Pane

PATIENCE = 15.0
"""Seconds after which a condition that does not come true fails a test."""


async def wait_until(pilot: Pilot[int], condition: Callable[[], object], what: str = "") -> None:
    """Let the app run until ``condition`` holds."""
    try:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                await pilot.pause()
                await asyncio.sleep(0.005)
    except TimeoutError:
        raise AssertionError(what or "the condition never came true") from None


class ScriptedPool:
    """What ``Session`` and the app use of a coordinator."""

    def __init__(self, replicas: Sequence[ReplicaStatus]) -> None:
        self.replicas = {status.name: status for status in replicas}
        self.tickets: list[Ticket] = []
        self.restarted: list[str] = []
        self.deaf = False
        """Whether a stop that is asked for has no effect, as with a frozen replica."""
        self._watchers: list[Callable[[ReplicaStatus], None]] = []

    def submit(self, request: Request, *, sink: Callable[[Ticket, Event], None], **asked: object) -> Ticket:
        ticket = Ticket(
            msgspec.structs.replace(request, id=len(self.tickets) + 1),
            user="user",
            interactive=True,
            pin=None,
            home=None,
            sink=sink,
            cancel=self._cancel,
            ended=lambda ticket: None,
        )
        self.tickets.append(ticket)
        return ticket

    def _cancel(self, ticket: Ticket, reason: StopReason) -> None:
        ticket.stopping = reason
        if not self.deaf:
            ticket.deliver(Stopped(id=ticket.request.id, reason=reason))

    def status(self) -> list[ReplicaStatus]:
        return list(self.replicas.values())

    def queued(self, model: str | None = None) -> int:
        return sum(t.state == "queued" and model in (None, t.request.model) for t in self.tickets)

    def watch(self, callback: Callable[[ReplicaStatus], None]) -> Callable[[], None]:
        self._watchers.append(callback)
        return lambda: self._watchers.remove(callback)

    async def restart(self, name: str) -> None:
        self.restarted.append(name)

    def change(self, name: str, **fields: object) -> None:
        """A replica reports a change."""
        self.replicas[name] = msgspec.structs.replace(self.replicas[name], **fields)
        for watcher in list(self._watchers):
            watcher(self.replicas[name])


@dataclass
class Answering:
    """Plays the replica for one exchange."""

    exchange: Exchange
    replica: str
    sent: int = 0
    texts: list[str] = field(default_factory=list)

    @property
    def ticket(self) -> Ticket:
        assert self.exchange.ticket is not None
        return self.exchange.ticket

    def start(self, *notes: str, truncated: int = 0) -> "Answering":
        self.ticket.place(self.replica)
        prompt = self.exchange.prompt
        self._deliver(Started(id=0, prompt_ids=(1,), prompt_text=prompt, notes=notes, truncated=truncated))
        return self

    def say(self, *texts: str) -> "Answering":
        for text in texts:
            self._deliver(
                Step(id=0, index=len(self.texts), token=7, piece=text.encode(errors="replace"), text=text)
            )
            self.texts.append(text)
        return self

    def rewind(self, keep: int) -> "Answering":
        del self.texts[keep:]
        self._deliver(Rewound(id=0, keep=keep))
        return self

    def finish(self, reason: FinishReason = "eos") -> "Answering":
        self._deliver(Finished(id=0, reason=reason, text="".join(self.texts)))
        return self

    def fail(self, message: str, hint: str = "") -> "Answering":
        self._deliver(Failed(id=0, error=Error(kind="internal", message=message, hint=hint)))
        return self

    def _deliver(self, event: Event) -> None:
        self.ticket.deliver(event)
        times = self.ticket.timings  # figures in snapshots must not depend on the machine
        if times.first is not None:
            times.first = times.submitted + 0.009
        if times.ended is not None:
            times.ended = times.submitted + 0.209


def replica(model: str, number: int = 0, **fields: object) -> ReplicaStatus:
    """A replica that is up."""
    known: dict[str, object] = {
        "state": "ready",
        "slots": 4,
        "memory": 300_000_000,
        "device": f"cpu:{number}",
    }
    return ReplicaStatus(name=f"{model}/{number}", model=model, **(known | fields))


def configuration(*models: str, compare: Sequence[str] = ()) -> Config:
    made = {name: ModelConfig(name=name, backend="echo", path="echo") for name in models}
    return Config(name="test", models=made, compare=tuple(compare or models))


class Desk:
    """The app over a scripted pool."""

    def __init__(
        self, *models: str, compare: Sequence[str] = (), replicas: Sequence[ReplicaStatus] = ()
    ) -> None:
        self.config = configuration(*(models or ("early", "late")), compare=compare)
        statuses = replicas or [replica(name, at) for at, name in enumerate(self.config.models)]
        self.pool = ScriptedPool(statuses)
        self.session: Session | None = None
        self.earlier: list[Exchange] = []
        self.app = ReplApp(self.config, self._open)
        self.pilot: Pilot[int]
        self.may_open = asyncio.Event()
        self.may_open.set()

    @asynccontextmanager
    async def _open(self) -> AsyncIterator[Session]:
        await self.may_open.wait()
        session = Session(self.config, self.pool, Store(None))
        session.exchanges.extend(self.earlier)
        try:
            yield session
        finally:
            await session.close()

    @asynccontextmanager
    async def running(self, width: int = 100, height: int = 30) -> AsyncIterator["Desk"]:
        try:
            async with self.app.run_test(size=(width, height)) as self.pilot:
                if self.may_open.is_set():
                    await self.until(lambda: self.app.session is not None)
                self.session = self.app.session
                yield self
        finally:
            await self.app.close()

    async def until(self, condition: Callable[[], object], what: str = "") -> None:
        await wait_until(self.pilot, condition, what)

    async def ask(self, line: str) -> list[Answering]:
        """Type a prompt and send it; one answering for each model it went to."""
        assert self.app.session is not None
        before = len(self.app.session.exchanges)
        self.app.prompt.focus()
        self.app.prompt.fill(line)
        await self.pilot.press("enter")
        await self.until(lambda: len(self.app.session.exchanges) > before, "nothing was asked")
        asked = self.app.session.exchanges[before:]
        return [Answering(x, self._replica_of(x.model)) for x in asked]

    async def command(self, line: str) -> None:
        """Type a command, send it, and wait until it has been carried out."""
        self.app.prompt.fill(line)
        await self.pilot.press("enter")
        await self.pilot.pause()

    def pane(self, model: str) -> Pane:
        return self.app.panes.pane(model)

    def lines(self, model: str) -> list[str]:
        """Every logical line of a pane."""
        return [
            (block[at].lead + block[at].text).replace("\u00a0", " ")
            for block in self.pane(model).transcript.blocks
            for at in range(len(block))
        ]

    def drawn(self) -> list[str]:
        """The screen as rows of text."""
        strips = self.app.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip) for strip in strips]

    def _replica_of(self, model: str) -> str:
        return next(status.name for status in self.pool.replicas.values() if status.model == model)


def line_with(lines: Sequence[str], text: str) -> str:
    """The one line that has ``text`` in it."""
    found = [line for line in lines if text in line]
    assert len(found) == 1, f"{text!r} in {found or list(lines)}"
    return found[0]
