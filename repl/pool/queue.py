"""The central queue of one model: bound late, fair between users, the interactive before the batch.

Users take turns, whoever pasted how much; within a user the order is that of arrival. A request pinned to
certain replicas waits for one of those without holding up anyone else.
"""

from collections import OrderedDict
from collections.abc import Collection, Iterator

from repl.pool.ticket import Ticket

Pin = frozenset[str] | None


class _Line:
    """What one user has waiting: a queue for each pin, each in order of arrival."""

    def __init__(self) -> None:
        self.by_pin: dict[Pin, OrderedDict[int, Ticket]] = {}

    def first(self, free: Collection[str]) -> Ticket | None:
        """The earliest request that one of the ``free`` replicas may take."""
        heads = (
            next(iter(tickets.values()))
            for pin, tickets in self.by_pin.items()
            if pin is None or any(name in pin for name in free)
        )
        return min(heads, key=lambda ticket: ticket.request.id, default=None)

    def add(self, ticket: Ticket, front: bool) -> None:
        tickets = self.by_pin.setdefault(ticket.pin, OrderedDict())
        tickets[ticket.request.id] = ticket
        if front:
            tickets.move_to_end(ticket.request.id, last=False)

    def discard(self, ticket: Ticket) -> bool:
        tickets = self.by_pin.get(ticket.pin)
        if tickets is None or tickets.pop(ticket.request.id, None) is None:
            return False
        if not tickets:
            del self.by_pin[ticket.pin]
        return True


class FairQueue:
    """Waiting requests. Every operation costs O(users x pins) at most, whatever the number of requests."""

    def __init__(self) -> None:
        self._interactive: OrderedDict[str, _Line] = OrderedDict()
        self._batch: OrderedDict[str, _Line] = OrderedDict()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Ticket]:
        for lines in (self._interactive, self._batch):
            for line in lines.values():
                for tickets in line.by_pin.values():
                    yield from tickets.values()

    def push(self, ticket: Ticket, *, front: bool = False) -> None:
        """Add a request; ``front`` puts it before all others of its class, its user's turn next."""
        lines = self._lines(ticket)
        lines.setdefault(ticket.user, _Line()).add(ticket, front)
        if front:
            lines.move_to_end(ticket.user, last=False)
        self._length += 1

    def pop(self, free: Collection[str]) -> Ticket | None:
        """Take the next request that one of the ``free`` replicas (names) may serve; its user goes last."""
        for lines in (self._interactive, self._batch):
            for user, line in lines.items():
                ticket = line.first(free)
                if ticket is not None:
                    lines.move_to_end(user)
                    self.discard(ticket)
                    return ticket
        return None

    def discard(self, ticket: Ticket) -> bool:
        """Remove a waiting request; False if it is not here."""
        lines = self._lines(ticket)
        line = lines.get(ticket.user)
        if line is None or not line.discard(ticket):
            return False
        if not line.by_pin:
            del lines[ticket.user]
        self._length -= 1
        return True

    def _lines(self, ticket: Ticket) -> OrderedDict[str, _Line]:
        return self._interactive if ticket.interactive else self._batch
