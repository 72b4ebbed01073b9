"""Decides which waiting requests are generated together, and when.

On an idle replica requests begin as soon as no other has come for ``GATHER``, or all slots are taken: many
come together, and the successors of a batch are on their way when it ends. While a batch runs, the others
wait until they would be as many as are left of it, which keeps batches large under load, or until
``PATIENCE`` is over. Somebody who waits for a line does not wait behind the lines of a file.
"""

from collections.abc import Callable

from backends.fairseq.member import Member

GATHER = 0.002
"""Seconds."""
PATIENCE = 1.0
"""Seconds."""
SHORT_PATIENCE = 0.1
"""Seconds, of a person, while lines of other persons are generated."""
HYPOTHESES = 512
"""Most that are decoded together; one request may have more."""
_RATIO, _SLACK = 2.0, 16
"""How much longer than the shortest prompt of a batch its longest may be."""


class Waiting:
    """The requests that have not begun. ``clock`` is in seconds."""

    def __init__(self, slots: int, clock: Callable[[], float]) -> None:
        self._slots = slots
        self._clock = clock
        self._members: list[Member] = []
        self._since: dict[int, float] = {}
        self._changed = float("-inf")

    def __len__(self) -> int:
        return len(self._members)

    def add(self, member: Member) -> None:
        """At the end of the queue."""
        self._members.append(member)
        self._since[member.request.id] = self._changed = self._clock()

    def remove(self, request_id: int) -> None:
        """Of an unknown one nothing happens."""
        self._members = [member for member in self._members if member.request.id != request_id]
        self._since.pop(request_id, None)

    def ended(self) -> None:
        """A request is complete: who sent it may send another at once."""
        self._changed = self._clock()

    def next(self, running: int, persons: int = 0) -> list[Member]:
        """Those to begin now, while ``running`` requests are generated; none if it is better to wait.

        ``persons`` wait for some of those that are generated.
        """
        chosen: list[Member] = []
        if self._members and self._due(running):
            chosen = self._alike(self._members)
        elif waiting := [member for member in self._members if member.request.interactive]:
            now = self._clock()
            waited = now - self._since[waiting[0].request.id]
            if waited >= SHORT_PATIENCE or (not persons and now - self._changed >= GATHER and running):
                chosen = self._alike(waiting)
        for member in chosen:
            self.remove(member.request.id)
        return chosen

    def _due(self, running: int) -> bool:
        now = self._clock()
        if running:
            oldest = self._since[self._members[0].request.id]
            return len(self) >= running or now - oldest >= PATIENCE
        return len(self) >= self._slots or now - self._changed >= GATHER

    def _alike(self, members: list[Member]) -> list[Member]:
        """The first and what can be generated with it: equal settings, similar length."""
        first = members[0]
        chosen, hypotheses = [first], first.hypotheses
        shortest = longest = len(first.prompt.ids)
        if first.alone:
            return chosen
        kind = first.kind
        for member in members[1:]:
            length = len(member.prompt.ids)
            least, most = min(shortest, length), max(longest, length)
            fits = first.model.causal or most <= least * _RATIO + _SLACK
            if member.alone or not fits or hypotheses + member.hypotheses > HYPOTHESES or member.kind != kind:
                continue
            chosen.append(member)
            hypotheses += member.hypotheses
            shortest, longest = least, most
        return chosen
