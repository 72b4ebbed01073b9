"""Holds events back so that no call returns more than the connection takes at once."""

from collections import deque
from collections.abc import Sequence

from repl.messages import Event, Step

PORTION = 8 << 20
"""Bytes of whole distributions in one portion; a single step may have more."""


class Outbox:
    """Events on their way out, in their order."""

    def __init__(self) -> None:
        self._held: deque[Event] = deque()

    def __bool__(self) -> bool:
        return bool(self._held)

    def put(self, events: Sequence[Event]) -> None:
        """Behind all that is held."""
        self._held.extend(events)

    def take(self) -> list[Event]:
        """The next portion."""
        taken: list[Event] = []
        size = 0
        while self._held:
            event = self._held[0]
            size += len(event.distribution) if isinstance(event, Step) else 0
            if taken and size > PORTION:
                break
            taken.append(self._held.popleft())
        return taken

    def forget(self, request_id: int) -> None:
        """Nothing more of this request."""
        self._held = deque(event for event in self._held if event.id != request_id)
