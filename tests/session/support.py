"""A pool whose replicas are the test itself, and a front end that remembers what it was shown."""

import asyncio
import itertools
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from repl.config import Config, ModelConfig
from repl.messages import (
    Capabilities,
    Error,
    Event,
    Failed,
    Finished,
    Lost,
    Request,
    Started,
    Step,
    Stopped,
)
from repl.params import PARAMETERS, Support
from repl.pool import ReplicaStatus, Timings, Unavailable
from repl.pool.ticket import Sink
from repl.session.exchange import Exchange
from repl.session.frontend import Notice, Output, Table, Text
from repl.session.record.store import Store
from repl.session.session import Session

SUPPORT = {
    "full": {name: Support("exact", name) for name in PARAMETERS},
    "narrow": {
        name: Support("exact")
        for name in ("temperature", "max_new", "beam", "n", "stop", "truncate", "seed", "logprobs")
    }
    | {"temperature": Support("differs", "temperature", "also alters beam scores")},
}


class Handle:
    """What a submitted request looks like to the session; the test delivers its events."""

    def __init__(self, request: Request, pin: str | None, home: str | None, sink: Sink) -> None:
        self.request = request
        self.pin = pin
        self.home = home
        self.state = "queued"
        self.replica: str | None = None
        self.timings = Timings(submitted=time.monotonic())
        self.deaf = False
        """Its replica hangs: cancelling has no effect."""
        self._sink = sink
        self._ended = asyncio.Event()

    @property
    def done(self) -> bool:
        return self._ended.is_set()

    def cancel(self, reason: str = "user") -> None:
        if not self.done and not self.deaf:
            self.deliver(Stopped(id=self.request.id, reason=reason))

    def place(self, replica: str) -> None:
        self.state, self.replica = "placed", replica
        self.timings.placed = time.monotonic()

    def deliver(self, event: Event) -> None:
        if isinstance(event, Step) and self.timings.first is None:
            self.state, self.timings.first = "streaming", time.monotonic()
        elif isinstance(event, Finished | Stopped | Failed | Lost):
            self.state, self.timings.ended = type(event).__name__.lower(), time.monotonic()
            self._ended.set()
        self._sink(self, event)

    async def wait(self) -> None:
        await self._ended.wait()


class Pool:
    """Stands in for the coordinator: requests stay queued until the test answers them."""

    def __init__(self, models: Sequence[ModelConfig]) -> None:
        self.tickets: list[Handle] = []
        self.restarted: list[str] = []
        self.refusal: Error | None = None
        self.replicas = {
            f"{model.name}/{i}": ReplicaStatus(
                name=f"{model.name}/{i}",
                model=model.name,
                device=f"cuda:{i}",
                state="ready",
                slots=4,
                capabilities=Capabilities(
                    kind="causal",
                    slots=4,
                    chat=bool(model.options.get("chat")),
                    checkpoint_hash=f"sha-{model.name}",
                    dtype="float32",
                    parameters=1_000_000,
                ),
            )
            for model in models
            for i in range(2)
        }
        self._ids = itertools.count(1)

    def submit(
        self,
        request: Request,
        *,
        user="user",
        interactive=True,
        pin=None,
        home=None,
        deadline=None,
        on_loss="lose",
        sink=None,
    ):
        if self.refusal is not None:
            raise Unavailable(self.refusal)
        ticket = Handle(msgspec.structs.replace(request, id=next(self._ids)), pin, home, sink)
        self.tickets.append(ticket)
        return ticket

    def status(self) -> list[ReplicaStatus]:
        return list(self.replicas.values())

    def queued(self, model=None) -> int:
        return sum(ticket.state == "queued" for ticket in self.tickets)

    async def restart(self, name: str) -> None:
        if name not in self.replicas:
            raise Unavailable(
                Error(kind="unsupported", message=f"there is no replica '{name}'", hint="known: a/0")
            )
        self.restarted.append(name)

    def begin(self, ticket: Handle, text: str, replica: str | None = None) -> None:
        """Place it and stream ``text`` a word at a time, without an end."""
        ticket.place(replica or f"{ticket.request.model}/0")
        ticket.deliver(Started(id=ticket.request.id, prompt_ids=(1, 2), prompt_text=ticket.request.prompt))
        for index, word in enumerate(text.split()):
            ticket.deliver(step(index, (" " if index else "") + word, ticket.request.id))

    def answer(self, ticket: Handle, text: str, replica: str | None = None) -> None:
        self.begin(ticket, text, replica)
        ticket.deliver(Finished(id=ticket.request.id, reason="eos", text=text))

    def answer_all(self, text: str = "fine") -> None:
        for ticket in self.tickets:
            if not ticket.done:
                self.answer(ticket, text)


class Screen:
    """A front end and a listener."""

    name = "screen"
    waits = True
    repaints = False

    def __init__(self) -> None:
        self.shown: list[Output] = []
        self.input = ""
        self.clipboard: str | None = None
        self.has_clipboard = True
        self.theme = "dark"
        self.left = False
        self.panes = 0
        self.log: list[tuple[str, int]] = []

    def show(self, output: Output) -> None:
        self.shown.append(output)

    def prefill(self, text: str) -> None:
        self.input = text

    def copy(self, text: str) -> bool:
        self.clipboard = text
        return self.has_clipboard

    def set_theme(self, name: str) -> None:
        self.theme = name

    def themes(self) -> Sequence[str]:
        return ["dark", "light"]

    def quit(self) -> None:
        self.left = True

    def panes_changed(self) -> None:
        self.panes += 1

    def started(self, exchange: Exchange) -> None:
        self.log.append(("started", exchange.id))

    def event(self, exchange: Exchange, event: Event) -> None:
        self.log.append((type(event).__name__, exchange.id))

    def ended(self, exchange: Exchange) -> None:
        self.log.append(("ended", exchange.id))

    def notice(self, notice: Notice) -> None:
        self.shown.append(notice)

    @property
    def last(self) -> Output:
        return self.shown[-1]

    def words(self) -> str:
        """Everything shown, as one text; forgets it."""
        text = "\n".join(map(_words, self.shown))
        self.shown.clear()
        return text

    def errors(self) -> list[Notice]:
        return [n for n in self.shown if isinstance(n, Notice) and n.level == "error"]

    def said(self) -> list[tuple[str, str]]:
        """Each error and its hint."""
        return [(notice.text, notice.hint) for notice in self.errors()]


def _words(output: Output) -> str:
    match output:
        case Notice(text=text, hint=hint):
            return f"{text} ({hint})"
        case Table():
            cells = (" | ".join(row) for row in (output.columns, *output.rows))
            return "\n".join((output.title, *cells, *output.notes))
        case Text(title=title, text=text):
            return f"{title}\n{text}"


def config(*names: str, compare: Sequence[str] = (), **models: dict[str, object]) -> Config:
    """Models ``a`` and ``b`` unless told otherwise; keywords give a model's fields."""
    found = {
        name: ModelConfig(
            **{"name": name, "backend": "full", "path": f"/models/{name}", **models.get(name, {})}
        )
        for name in dict.fromkeys([*names, *models] or ["a", "b"])
    }
    return Config(name="test", models=found, compare=tuple(compare) or tuple(found))


def step(index: int, text: str, request: int = 0, **fields: object) -> Step:
    return Step(id=request, index=index, token=100 + index, piece=text.encode(), text=text, **fields)


def opened(pool: type[Pool], screen: Screen, *names: str, path: Path | None = None, **models: Any) -> Session:
    """A session over a pool of that kind; ``names`` and ``models`` as ``config`` has them."""
    chosen = config(*names, **models)
    session = Session(chosen, pool(list(chosen.models.values())), Store(path))
    session.listen(screen)
    return session


async def typed(session: Session, screen: Screen, *lines: str) -> Output | None:
    """Type lines, each once all before it is answered; what was shown last, if anything was."""
    screen.shown.clear()
    for line in lines:
        await session.run(line, screen)
        for exchange in session.exchanges:
            if exchange.ticket is not None:
                await exchange.ticket.wait()
    return screen.last if screen.shown else None


def pool_of(session: Session) -> Pool:
    assert isinstance(session.coordinator, Pool)
    return session.coordinator
