"""Tells every listener, and keeps what nobody was there to hear."""

from collections.abc import Callable

from repl.messages import Event
from repl.session.exchange import Exchange
from repl.session.frontend import Listener, Notice


class Broadcast:
    """A listener that passes everything on to others; one of them may leave while it is being told."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._unheard: list[Notice] = []

    def add(self, listener: Listener) -> Callable[[], None]:
        """Tell ``listener`` from now on; returns what ends that."""
        self._listeners.append(listener)
        unheard, self._unheard = self._unheard, []
        for notice in unheard:
            listener.notice(notice)
        return lambda: self._listeners.remove(listener)

    def started(self, exchange: Exchange) -> None:
        """A line was sent to a model."""
        for listener in tuple(self._listeners):
            listener.started(exchange)

    def event(self, exchange: Exchange, event: Event) -> None:
        """One event of its answer."""
        for listener in tuple(self._listeners):
            listener.event(exchange, event)

    def ended(self, exchange: Exchange) -> None:
        """The answer has ended."""
        for listener in tuple(self._listeners):
            listener.ended(exchange)

    def notice(self, notice: Notice) -> None:
        """Something nobody asked for; waits for the first listener where there is none."""
        if not self._listeners:
            self._unheard.append(notice)
        for listener in tuple(self._listeners):
            listener.notice(notice)
