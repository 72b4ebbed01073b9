"""The answers of a session on their way: submitted to the pool, heard of, told of and recorded."""

import asyncio
import contextlib
from typing import Literal

from repl.messages import Capabilities, Error, Event, Failed, Stopped
from repl.pool import Coordinator, Refused, Ticket
from repl.session.broadcast import Broadcast
from repl.session.compose import complete
from repl.session.conversation import home
from repl.session.exchange import Exchange
from repl.session.record.store import Store

FAREWELL = 2.0
"""Seconds to wait for running answers to stop when the session closes."""


class Underway:
    """Follows exchanges from their submission to the record."""

    def __init__(
        self,
        coordinator: Coordinator,
        store: Store,
        tell: Broadcast,
        *,
        user: str,
        on_loss: Literal["lose", "continue"],
    ) -> None:
        self.exchanges: list[Exchange] = []
        """Those that are shown, in the order they were asked."""
        self._coordinator = coordinator
        self._store = store
        self._tell = tell
        self._user = user
        self._on_loss = on_loss

    def show(self, exchange: Exchange) -> None:
        """It has a place of its own from now on."""
        self.exchanges.append(exchange)
        self._tell.started(exchange)

    def submit(self, exchange: Exchange) -> None:
        """Put it into the queue; a refusal ends it."""

        def sink(ticket: Ticket, event: Event) -> None:
            exchange.replica = ticket.replica
            self.feed(exchange, event)

        try:
            ticket = self._coordinator.submit(
                exchange.request,
                user=self._user,
                pin=exchange.pin,
                home=home(exchange.parent),
                on_loss=self._on_loss,
                sink=sink,
            )
        except Refused as refused:
            self.fail(exchange, refused.error)
            return
        exchange.ticket = ticket
        exchange.request = ticket.request
        exchange.timings = ticket.timings

    async def perform(self, exchange: Exchange) -> None:
        """Submit it and wait for its end; being cancelled stops it."""
        if exchange.done:
            return
        self.submit(exchange)
        if exchange.ticket is None:
            return
        try:
            await exchange.ticket.wait()
        except asyncio.CancelledError:
            exchange.ticket.cancel()
            raise

    def feed(self, exchange: Exchange, event: Event) -> None:
        """Fold in one event and tell of it; what comes after the end is dropped."""
        if exchange.done:
            return
        exchange.answer.feed(event)
        if exchange.done:
            complete(exchange, self.capabilities(exchange.model))
            replicas = self._coordinator.status()
            exchange.device = next((r.device for r in replicas if r.name == exchange.replica), None)
            self._store.record(exchange)
        if exchange.shown:
            self._tell.event(exchange, event)
            if exchange.done:
                self._tell.ended(exchange)

    def fail(self, exchange: Exchange, error: Error) -> None:
        """End it before it has begun."""
        self.feed(exchange, Failed(id=exchange.request.id, error=error))

    def stop(self, model: str | None = None) -> int:
        """Stop what runs and waits, of one model or of all; returns how many answers that are."""
        running = [x for x in self.exchanges if not x.done and model in (None, x.model)]
        for exchange in running:
            if exchange.ticket is not None:
                exchange.ticket.cancel()
            else:  # prepared, and waiting for its turn
                self.feed(exchange, Stopped(id=exchange.request.id))
        return len(running)

    async def close(self) -> None:
        """Stop everything and see it into the record."""
        tickets = [x.ticket for x in self.exchanges if x.ticket is not None and not x.done]
        for ticket in tickets:
            ticket.cancel("closing")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await asyncio.gather(*(ticket.wait() for ticket in tickets))
        for exchange in self.exchanges:
            if not exchange.done:
                self.feed(exchange, Stopped(id=exchange.request.id, reason="closing"))

    def capabilities(self, model: str) -> Capabilities | None:
        """What ``model`` can do; None while none of its replicas has loaded."""
        found = (status.capabilities for status in self._coordinator.status() if status.model == model)
        return next((capabilities for capabilities in found if capabilities is not None), None)
