"""Takes requests from every front end and gives each to the least busy replica of its model.

A request waits in one central queue until a replica has a free slot, and is bound to it only then: while
answer lengths are unknown, no policy that binds earlier waits less. Replicas may die at any time; no request
is lost, doubled, or left without an end by it. All of it runs on one asyncio loop and is not thread-safe.
"""

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Literal, NoReturn

import msgspec

from repl.messages import Error, Request, Stopped
from repl.pool import local, policy
from repl.pool.group import Group
from repl.pool.metrics import ModelMetrics
from repl.pool.plan import Limits, ReplicaPlan, ReplicaStatus, answers_to
from repl.pool.process import Launcher
from repl.pool.replica import Replica
from repl.pool.ticket import OnLoss, Sink, Ticket
from repl.pool.trace import Trace

TICK = 0.5
"""Seconds between two looks at rates and hangs."""
_encoder = msgspec.msgpack.Encoder()


class Refused(Exception):
    """A request that was not taken; ``error`` says why and what to do."""

    def __init__(self, error: Error) -> None:
        super().__init__(error.message)
        self.error = error


class QueueFull(Refused):
    """As many requests wait as are allowed to."""


class Unavailable(Refused):
    """No such model, replica or device."""


class Unsendable(Refused):
    """It holds what has no form on the wire: halves of characters, or numbers of more than 64 bits."""


class Coordinator:
    """Use as an async context manager: entering starts the replicas without waiting for them."""

    def __init__(
        self,
        plans: Sequence[ReplicaPlan],
        *,
        queue_limit: int = 1024,
        launch: Launcher = local.launch,
        limits: Limits | None = None,
        order: Literal["arrival", "shortest"] = "arrival",
        trace: Trace | None = None,
    ) -> None:
        self._limits = limits or Limits()
        self._queue_limit = queue_limit
        self._launch = launch
        self._order = order
        self._trace = trace
        self._groups: dict[str, Group] = {}
        self._replicas: dict[str, Replica] = {}
        self._tickets: dict[int, Ticket] = {}
        self._ids = itertools.count(1)
        self._watchers: list[Callable[[ReplicaStatus], None]] = []
        self._ticker: asyncio.Task[None] | None = None
        self._closed = False
        self._changed = asyncio.Event()
        for plan in plans:
            self._plan(plan)

    def _plan(self, plan: ReplicaPlan) -> Replica:
        if plan.name in self._replicas:
            raise ValueError(f"two replicas are named {plan.name}")
        model = plan.model.name
        if model not in self._groups:
            self._groups[model] = Group(model, self._limits, self._trace, self._note)
        group = self._groups[model]
        replica = Replica(plan, self._launch, self._limits, group, group.metrics)
        self._replicas[plan.name] = replica
        group.replicas.append(replica)
        return replica

    async def __aenter__(self) -> "Coordinator":
        for replica in self._replicas.values():
            replica.start()
        self._ticker = asyncio.create_task(self._tick())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- requests ------------------------------------------------------------------------------------------

    def submit(
        self,
        request: Request,
        *,
        user: str = "user",
        interactive: bool = True,
        pin: str | None = None,
        home: str | None = None,
        on_loss: OnLoss = "lose",
        sink: Sink | None = None,
    ) -> Ticket:
        """Queue a request; it gets its id here.

        ``pin`` keeps it to a replica (``lm/0``) or to a device as plans name it (``cuda:1``, ``cpu:0``);
        ``home`` names the replica to prefer; ``on_loss`` says whether an answer whose replica dies ends as
        lost or goes on elsewhere, where the backend can. ``sink`` is called on the loop with each event,
        never before this returns. Raises ``QueueFull``, ``Unavailable`` or ``Unsendable``.
        """
        _check_sendable(request)
        group = self._group(request.model)
        pinned = self._pinned(group, request.model, pin) if pin else None
        if len(group.queue) >= self._queue_limit:
            raise QueueFull(
                Error(
                    kind="queue_full",
                    message=f"{len(group.queue)} requests wait for {request.model}: the queue is full",
                    hint="wait for some to end, /stop them, or raise queue_limit in the configuration",
                )
            )
        ticket = Ticket(
            msgspec.structs.replace(request, id=next(self._ids), interactive=interactive),
            user=user,
            interactive=interactive,
            pin=pinned,
            home=home,
            sink=sink,
            on_loss=on_loss,
            cancel=group.cancel,
            ended=self._ended,
        )
        self._tickets[ticket.request.id] = ticket
        if self._order == "shortest":
            expected = group.lengths.expect(request.prompt, request.params.max_new)
            ticket.rank = policy.rank(ticket.timings.submitted, ticket.request.id, expected)
        group.submit(ticket)
        return ticket

    def _group(self, model: str) -> Group:
        if model in self._groups:
            return self._groups[model]
        known = ", ".join(self._groups) or "none"
        raise Unavailable(
            Error(kind="unsupported", message=f"there is no model '{model}'", hint=f"known: {known}")
        )

    def _pinned(self, group: Group, model: str, pin: str) -> frozenset[str]:
        pinned = frozenset(r.name for r in group.replicas if answers_to(r.name, r.plan.device, pin))
        if pinned:
            return pinned
        known = ", ".join(f"{r.name} on {r.plan.device}" for r in group.replicas)
        raise Unavailable(
            Error(kind="unsupported", message=f"{model} has no replica '{pin}'", hint=f"it has {known}")
        )

    def _ended(self, ticket: Ticket) -> None:
        del self._tickets[ticket.request.id]
        self._groups[ticket.request.model].ended(ticket)

    def _note(self, replica: Replica) -> None:
        """Tell the watchers of a replica that looks different now."""
        self._changed.set()
        if self._watchers or self._trace:
            status = replica.status()
            if self._trace:
                self._trace.replica(status)
            for watcher in list(self._watchers):
                watcher(status)

    # -- the pool ------------------------------------------------------------------------------------------

    def status(self) -> list[ReplicaStatus]:
        """Every replica, in the order planned."""
        return [replica.status() for replica in self._replicas.values()]

    def queued(self, model: str | None = None) -> int:
        """Requests waiting for a slot, of one model or of all."""
        groups = self._groups.values() if model is None else [self._group(model)]
        return sum(len(group.queue) for group in groups)

    def watch(self, callback: Callable[[ReplicaStatus], None]) -> Callable[[], None]:
        """Call ``callback`` with each change of a replica; returns what ends that."""
        self._watchers.append(callback)
        return lambda: self._watchers.remove(callback)

    def metrics(self) -> dict[str, ModelMetrics]:
        """The figures of each model; live objects."""
        return {name: group.metrics for name, group in self._groups.items()}

    def add(self, plan: ReplicaPlan) -> None:
        """Start one more replica; one of that name that was stopped or has failed gives way to it."""
        old = self._replicas.get(plan.name)
        if old is not None and old.state in ("stopped", "failed"):
            del self._replicas[plan.name]
            self._groups[old.plan.model.name].replicas.remove(old)
        self._plan(plan).start()

    def drain(self, name: str) -> None:
        """Let a replica, or all on a device, finish what runs and leave; raises ``Unavailable``."""
        chosen = [r for r in self._replicas.values() if answers_to(r.name, r.plan.device, name)]
        for replica in chosen or [self._unknown(name)]:
            replica.drain()
            self._groups[replica.plan.model.name].fail_hopeless()

    def _unknown(self, name: str) -> NoReturn:
        known = ", ".join(f"{r.name} on {r.plan.device}" for r in self._replicas.values())
        raise Unavailable(
            Error(kind="unsupported", message=f"there is no replica '{name}'", hint=f"known: {known}")
        )

    async def ready(self, model: str | None = None) -> None:
        """Wait until no replica (of ``model``) is on its way up any more."""
        while True:
            self._changed.clear()
            states = [s.state for s in self.status() if model in (None, s.model)]
            if not any(state in ("starting", "loading", "restarting") for state in states):
                return
            await self._changed.wait()

    async def restart(self, name: str) -> None:
        """Restart a replica, or all of a model or on a device; raises ``Unavailable``."""
        chosen = [
            r
            for r in self._replicas.values()
            if name == r.plan.model.name or answers_to(r.name, r.plan.device, name)
        ]
        for replica in chosen or [self._unknown(name)]:
            await replica.restart()

    async def close(self) -> None:
        """Stop what runs and waits, and end every process."""
        if self._closed:
            return
        self._closed = True
        for group in self._groups.values():
            group.closed = True
        if self._ticker is not None:
            self._ticker.cancel()
        for ticket in list(self._tickets.values()):
            ticket.deliver(Stopped(id=ticket.request.id, reason="closing"))
        await asyncio.gather(*(replica.close() for replica in self._replicas.values()))
        if self._trace:
            self._trace.close()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            now = time.monotonic()
            for replica in self._replicas.values():
                replica.tick(now)


def _check_sendable(request: Request) -> None:
    """Refuse here what would break the connection of the replica that takes it."""
    try:
        _encoder.encode(request)
    except (UnicodeEncodeError, OverflowError) as error:
        raise Unsendable(
            Error(
                kind="bad_parameter",
                message=f"the request cannot be sent: {error}",
                hint="leave out what is no Unicode, and numbers of more than 64 bits",
            )
        ) from None
