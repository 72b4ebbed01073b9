"""The replicas of one model and what waits for them: binds one to the other, settles what deaths leave."""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from repl.messages import Error, Failed, Lost, Stopped
from repl.pool import policy
from repl.pool.metrics import ModelMetrics
from repl.pool.plan import Limits
from repl.pool.queue import FairQueue
from repl.pool.replica import Replica
from repl.pool.ticket import StopReason, Ticket
from repl.pool.trace import Trace


class Group:
    """The keeper of a model's replicas. ``changed`` is called with a replica that looks different now."""

    def __init__(
        self, model: str, limits: Limits, trace: Trace | None, changed: Callable[[Replica], None]
    ) -> None:
        self.model = model
        self.replicas: list[Replica] = []
        self.queue = FairQueue()
        self.metrics = ModelMetrics()
        self.lengths = policy.Lengths()
        self.closed = False
        """Nothing is placed and nothing is settled any more."""
        self.changed = changed
        self._limits = limits
        self._trace = trace

    # -- requests ------------------------------------------------------------------------------------------

    def submit(self, ticket: Ticket) -> None:
        """Queue a request and place what can be placed."""
        if self._trace:
            self._trace.submitted(ticket)
        self.queue.push(ticket)
        self._dispatch()
        if ticket.state == "queued":
            asyncio.get_running_loop().call_soon(self.fail_hopeless, [ticket])

    def cancel(self, ticket: Ticket, reason: StopReason) -> None:
        """Stop a request at whatever stage it is."""
        if ticket.done:
            return
        ticket.stopping = reason
        ticket.stop_asked = ticket.stop_asked or time.monotonic()
        if ticket.state == "queued":
            self.queue.discard(ticket)
            ticket.deliver(Stopped(id=ticket.request.id, reason=reason))
        else:
            replica = next((r for r in self.replicas if r.name == ticket.replica), None)
            if replica is not None:
                replica.cancel(ticket)

    def ended(self, ticket: Ticket) -> None:
        """Count a request that got its end, and learn from it."""
        assert ticket.terminal is not None
        self.metrics.ended(ticket, ticket.terminal)
        if ticket.state == "finished":
            self.lengths.learn(ticket.request.prompt, ticket.tokens)
        if self._trace:
            self._trace.ended(ticket)

    def _dispatch(self) -> None:
        placed = []
        for ticket, replica in policy.bindings(self.queue, self.replicas):
            self._place(ticket, replica)
            placed.append(replica)
        for replica in placed:
            self.changed(replica)

    def _place(self, ticket: Ticket, replica: Replica) -> None:
        replica.take(ticket)
        self.metrics.placed(ticket, replica.free_since)
        if self._trace:
            self._trace.placed(ticket)

    def fail_hopeless(self, tickets: Iterable[Ticket] | None = None) -> None:
        """Requests that no replica will ever take end now rather than wait for ever."""
        coming = {r.name for r in self.replicas if r.coming}
        for ticket in list(self.queue) if tickets is None else tickets:
            names = ticket.pin or {r.name for r in self.replicas}
            if ticket.state != "queued" or names & coming:
                continue
            cause = next((r.error for r in self.replicas if r.name in names and r.error), None)
            self.queue.discard(ticket)
            ticket.deliver(Failed(id=ticket.request.id, error=self._hopeless(cause)))

    def _hopeless(self, cause: Error | None) -> Error:
        if cause is None:
            message = f"no replica of {self.model} is running"
            return Error(kind="crashed", message=message, hint=f"/restart {self.model}")
        return msgspec.structs.replace(cause, hint=cause.hint or f"/restart {self.model} tries again")

    # -- what replicas report (``Keeper``) -----------------------------------------------------------------

    def freed(self, replica: Replica) -> None:
        """Fill its slots; had another replica a free one, nothing that one may take would be waiting.

        This is what a busy slot waits for: what can be done before or after the placing is not done here.
        """
        if self.closed:
            return
        free = {replica.name: replica}
        while replica.free > 0 and (ticket := policy.next_for(self.queue, free)) is not None:
            self._place(ticket, replica)
            self.queue.take(ticket)

    def failed(self, replica: Replica) -> None:
        """Give up on what waits for it alone."""
        if not self.closed:
            self.fail_hopeless()

    def orphaned(self, replica: Replica, tickets: Sequence[Ticket], error: Error) -> None:
        """Requeue what showed nothing or may go on; the rest is lost, with its partial answer standing."""
        resumes = replica.capabilities is not None and replica.capabilities.resumes
        for ticket in sorted(tickets, key=lambda t: t.request.id, reverse=True):
            if self.closed or ticket.done:
                continue
            request_id = ticket.request.id
            if ticket.stopping:
                ticket.deliver(Stopped(id=request_id, reason=ticket.stopping))
            elif ticket.shown and not (resumes and ticket.resumable and ticket.tries < self._limits.tries):
                ticket.deliver(Lost(id=request_id, error=error))
            elif ticket.tries < self._limits.tries:
                self._requeue(ticket)
            else:
                message = f"{error.message}; this request has now been lost on {ticket.tries} replicas"
                ticket.deliver(Failed(id=request_id, error=msgspec.structs.replace(error, message=message)))
        self._dispatch()
        self.fail_hopeless()

    def _requeue(self, ticket: Ticket) -> None:
        if ticket.shown:
            ticket.resume()
        else:
            ticket.requeue()
        self.queue.push(ticket, front=True)
        self.metrics.requeued += 1
        if self._trace:
            self._trace.requeued(ticket)
