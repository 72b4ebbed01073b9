"""The central queue of one model: bound late, fair between users, the interactive before the batch.

Users take turns, whoever pasted how much; within a user the order is that of the tickets' rank: arrival, or
shortest first. A request pinned to certain replicas waits for one of those without holding up anyone else.
"""

import heapq
import itertools
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator
from operator import attrgetter

from repl.pool.ticket import Ticket

Pin = frozenset[str] | None


class _Heap:
    """Tickets by rank. One taken from the middle leaves a dead entry, swept when these outnumber the rest."""

    def __init__(self) -> None:
        self.tickets: dict[int, Ticket] = {}
        self._order: list[tuple[float, int]] = []

    def add(self, ticket: Ticket) -> None:
        if ticket.request.id in self.tickets:
            raise ValueError(f"request {ticket.request.id} is queued already")
        self.tickets[ticket.request.id] = ticket
        heapq.heappush(self._order, (ticket.rank, ticket.request.id))

    def head(self) -> Ticket | None:
        """The ticket of least rank."""
        while self._order:
            ticket = self.tickets.get(self._order[0][1])
            if ticket is not None:
                return ticket
            heapq.heappop(self._order)
        return None

    def first(self, count: int) -> list[Ticket]:
        """The ``count`` tickets of least rank, in order."""
        entries: list[tuple[float, int]] = []
        while self._order and len(entries) < count:
            entry = heapq.heappop(self._order)
            if entry[1] in self.tickets:
                entries.append(entry)
        for entry in entries:
            heapq.heappush(self._order, entry)
        return [self.tickets[number] for _, number in entries]

    def discard(self, ticket: Ticket) -> bool:
        if self.tickets.pop(ticket.request.id, None) is None:
            return False
        if len(self._order) > 2 * len(self.tickets) + 16:
            self._order = [(t.rank, i) for i, t in self.tickets.items()]
            heapq.heapify(self._order)
        return True


class _Line:
    """What one user has waiting: a heap for each pin."""

    def __init__(self) -> None:
        self.by_pin: dict[Pin, _Heap] = {}

    def first(self, free: Collection[str], count: int) -> list[Ticket]:
        """The requests of least rank that one of the ``free`` replicas may take, in order."""
        heaps = [heap for pin, heap in self.by_pin.items() if pin is None or not pin.isdisjoint(free)]
        heads = itertools.chain.from_iterable(heap.first(count) for heap in heaps)
        return sorted(heads, key=attrgetter("rank", "request.id"))[:count]

    def add(self, ticket: Ticket) -> None:
        self.by_pin.setdefault(ticket.pin, _Heap()).add(ticket)

    def discard(self, ticket: Ticket) -> bool:
        heap = self.by_pin.get(ticket.pin)
        if heap is None or not heap.discard(ticket):
            return False
        if not heap.tickets:
            del self.by_pin[ticket.pin]
        return True


class FairQueue:
    """Waiting requests. An operation costs O(users x pins + log n) at most for n requests."""

    def __init__(self) -> None:
        self._interactive: OrderedDict[str, _Line] = OrderedDict()
        self._batch: OrderedDict[str, _Line] = OrderedDict()
        self._length = 0
        self.homed = 0
        """Requests here that prefer a replica."""
        self._pinned = 0
        self._first: Ticket | None = None
        """Served next while nobody is pinned: found when the queue changes, not when a slot frees."""

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Ticket]:
        for lines in (self._interactive, self._batch):
            for line in lines.values():
                for heap in line.by_pin.values():
                    yield from heap.tickets.values()

    def push(self, ticket: Ticket, *, front: bool = False) -> None:
        """Add a request; ``front`` makes it its user's turn next."""
        lines = self._lines(ticket)
        lines.setdefault(ticket.user, _Line()).add(ticket)
        if front:
            lines.move_to_end(ticket.user, last=False)
        self._count(ticket, 1)

    def head(self, free: Collection[str]) -> Ticket | None:
        """The next request to be served, of those the ``free`` replicas may take."""
        if not self._pinned:
            return self._first
        return next(iter(self.peek(free, 1)), None)

    def peek(self, free: Collection[str], count: int) -> list[Ticket]:
        """The next ``count`` requests in the order they would be served, of those the ``free`` may take."""
        found: list[Ticket] = []
        for lines in (self._interactive, self._batch):
            found += _in_turns((line.first(free, count) for line in lines.values()), count - len(found))
            if len(found) == count:
                break
        return found

    def take(self, ticket: Ticket) -> None:
        """Remove a request because it is served: its user's next turn comes after everyone else's."""
        if self.discard(ticket):
            lines = self._lines(ticket)
            if ticket.user in lines:
                lines.move_to_end(ticket.user)
                self._find_first()

    def discard(self, ticket: Ticket) -> bool:
        """Remove a waiting request; False if it is not here."""
        lines = self._lines(ticket)
        line = lines.get(ticket.user)
        if line is None or not line.discard(ticket):
            return False
        if not line.by_pin:
            del lines[ticket.user]
        self._count(ticket, -1)
        return True

    def _count(self, ticket: Ticket, change: int) -> None:
        self._length += change
        self.homed += change * (ticket.home is not None)
        self._pinned += change * (ticket.pin is not None)
        self._find_first()

    def _find_first(self) -> None:
        lines = self._interactive or self._batch
        line = next(iter(lines.values()), None)
        self._first = None if line is None or self._pinned else line.by_pin[None].head()

    def _lines(self, ticket: Ticket) -> OrderedDict[str, _Line]:
        return self._interactive if ticket.interactive else self._batch


def _in_turns(lines: Iterable[list[Ticket]], count: int) -> list[Ticket]:
    """The first ``count`` of several lists taken round robin."""
    rounds = itertools.chain.from_iterable(itertools.zip_longest(*lines))
    return list(itertools.islice((ticket for ticket in rounds if ticket is not None), count))
