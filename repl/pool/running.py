"""The requests that one replica is serving, and what its process says of them."""

from collections.abc import Callable, Mapping, Sequence

from repl.messages import Event, Started, Step, Stopped
from repl.pool.metrics import ModelMetrics
from repl.pool.ticket import TERMINAL, Ticket
from repl.pool.wire import FromChild


class Running:
    """Tickets by id, in as many slots as the process has."""

    def __init__(self, metrics: ModelMetrics, cancel: Callable[[Ticket], None]) -> None:
        self.slots = 0
        self.tokens = 0
        """Steps received so far, from all of the replica's processes."""
        self._metrics = metrics
        self._cancel = cancel
        self._tickets: dict[int, Ticket] = {}
        self._alone: int | None = None
        """A request that runs with nobody beside it."""

    def __len__(self) -> int:
        return len(self._tickets)

    @property
    def room(self) -> int:
        """Slots that can take a request now.

        A request that has seen a replica die may have been the cause: nobody is put beside it, so that it
        takes no one along twice and only the guilty run out of tries.
        """
        return 0 if self._alone in self._tickets else self.slots - len(self._tickets)

    def add(self, ticket: Ticket) -> None:
        """Hold a request that was placed here."""
        self._tickets[ticket.request.id] = ticket
        if ticket.tries > 1:
            self._alone = ticket.request.id

    def release(self, messages: Sequence[FromChild]) -> dict[int, Ticket]:
        """Take out the requests that a frame ends, before any of it is delivered."""
        ended: dict[int, Ticket] = {}
        for message in messages:
            if isinstance(message, TERMINAL) and message.id in self._tickets:
                ended[message.id] = self._tickets.pop(message.id)
        return ended

    def deliver(self, event: Event, ended: Mapping[int, Ticket], heard: float) -> bool:
        """Pass an event on to its ticket, here or just ``ended``; whether a slot became free by that."""
        ticket = self._tickets.get(event.id) or ended.get(event.id)
        if ticket is None:
            return False
        if isinstance(event, Step):
            self.tokens += 1
            if event.index >= len(ticket.request.resume):  # else it was counted before a loss
                self._metrics.stepped(None if ticket.last_step is None else heard - ticket.last_step)
        elif isinstance(event, Started):
            self._metrics.started(event)
        elif isinstance(event, Stopped) and ticket.stopping:
            event = Stopped(id=event.id, reason=ticket.stopping)
        if ticket.done:  # ended without the process's word, which goes on until it obeys the stop
            return False
        ticket.deliver(event, heard)
        if not ticket.done or event.id not in self._tickets:
            return False
        del self._tickets[event.id]  # refused by the ticket: the process must stop too
        self._cancel(ticket)
        return True

    def end_disobeyed(self, now: float, patience: float) -> None:
        """A stop that a frozen or slow process has not obeyed ends the request all the same."""
        for ticket in list(self._tickets.values()):
            if ticket.stopping and ticket.stop_asked and now - ticket.stop_asked > patience:
                ticket.deliver(Stopped(id=ticket.request.id, reason=ticket.stopping))

    def give_up(self) -> list[Ticket]:
        """All of them, held no longer."""
        tickets, self._tickets = list(self._tickets.values()), {}
        return tickets
