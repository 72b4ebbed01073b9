"""Lets answers that run side by side be read one after the other."""

from collections import deque
from typing import Protocol

from repl.messages import Event
from repl.session.exchange import Exchange
from repl.session.frontend import Notice


class View(Protocol):
    """Shows one answer at a time: every ``begin`` is followed by its ``end`` before the next."""

    def begin(self, exchange: Exchange) -> None:
        """From now on this one is shown."""
        ...

    def event(self, exchange: Exchange, event: Event) -> None:
        """One event, the terminal one included; ``exchange.answer`` may hold later ones already."""
        ...

    def end(self, exchange: Exchange) -> None:
        """It has ended."""
        ...

    def notice(self, notice: Notice) -> None:
        """Something about no answer."""
        ...


class InOrder:
    """A ``Listener`` that passes one answer on as it streams and keeps the others' events until it ends.

    ``strict`` goes by the order of asking whatever happens. Otherwise an answer that still waits for a
    replica does not hold up one that is there.
    """

    def __init__(self, view: View, *, strict: bool) -> None:
        self._view = view
        self._strict = strict
        self._shown: Exchange | None = None
        self._waiting: deque[Exchange] = deque()
        self._kept: dict[Exchange, list[Event]] = {}

    def __len__(self) -> int:
        """How many answers are not shown to their end."""
        return len(self._waiting) + (self._shown is not None)

    def started(self, exchange: Exchange) -> None:
        """A line was sent to a model."""
        self._waiting.append(exchange)
        self._kept[exchange] = []
        self._next()

    def event(self, exchange: Exchange, event: Event) -> None:
        """Show it, or keep it."""
        if exchange is self._shown:
            self._view.event(exchange, event)
        else:
            self._kept[exchange].append(event)
            self._next()

    def ended(self, exchange: Exchange) -> None:
        """Go on to the next one if this was shown."""
        if exchange is self._shown:
            self._finish()
            self._next()

    def notice(self, notice: Notice) -> None:
        """Pass it on."""
        self._view.notice(notice)

    def _next(self) -> None:
        """Show answers until one of them is still running."""
        while self._shown is None and (exchange := self._choose()) is not None:
            self._waiting.remove(exchange)
            self._shown = exchange
            self._view.begin(exchange)
            for event in self._kept.pop(exchange):
                self._view.event(exchange, event)
            if exchange.done:
                self._finish()

    def _choose(self) -> Exchange | None:
        if self._strict:
            return self._waiting[0] if self._waiting else None
        for exchange in self._waiting:
            if exchange.done or exchange.answer.steps:
                return exchange
            if exchange.state == "placed":  # about to begin
                return None
        return None

    def _finish(self) -> None:
        assert self._shown is not None
        exchange, self._shown = self._shown, None
        self._view.end(exchange)
