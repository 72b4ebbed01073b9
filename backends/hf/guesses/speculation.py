"""Fewer, larger steps for a stream that runs alone: tokens are guessed, one pass decides about them all.

A drafter proposes what may follow. The model reads the whole draft in one pass, and the sampler decides at
each position as it would have without a draft: the noise belongs to the position, the processors see what
would have been written. The answer goes on as long as the draft said the same, takes the sampler's own token
where it did not, and the keys and values of the rest are cut off. So a draft costs or saves time and changes
no token.
"""

from collections.abc import Sequence
from typing import Protocol

from transformers import LogitsProcessorList

from backends.faults import is_out_of_memory
from backends.hf.choosing.processors import Warp
from backends.hf.choosing.sampling import Draws


class Following(Draws, Protocol):
    """A row that can also say how a token some places on is drawn."""

    def forbidden_after(self, more: int) -> Sequence[int]:
        """``forbidden``, with ``more`` tokens written."""
        ...

    def key_after(self, more: int) -> tuple[int, int, int]:
        """``noise_key``, with ``more`` tokens written."""
        ...


class Ahead:
    """A row as it is once a draft has been written; see ``sampling.Draws``."""

    def __init__(self, row: Following, draft: Sequence[int]) -> None:
        self._row = row
        self._draft = draft
        self.processors: LogitsProcessorList = row.processors
        self.warp: Warp | None = row.warp
        self.alternatives = row.alternatives
        self.whole = row.whole
        self.forbidden = row.forbidden_after(len(draft))
        self.noise_key = row.key_after(len(draft))

    @property
    def history(self) -> list[int]:
        """Made when asked for: few requests have processors that look at it."""
        return [*self._row.history, *self._draft]


class Drafter(Protocol):
    """Guesses how one row goes on."""

    def draft(self, row: Following, most: int) -> list[int]:
        """Up to ``most`` tokens that may follow; none where there is nothing to go by."""
        ...


class Drafts:
    """The drafts of one row: how long the next may be, and what became of those so far."""

    def __init__(self, drafter: Drafter, most: int) -> None:
        """``most`` is the longest draft, in tokens."""
        self.drafted = 0
        """Tokens proposed."""
        self.accepted = 0
        """Of these, tokens written."""
        self._drafter: Drafter | None = drafter
        self._most = self._next = most
        self._offered = self._right = 0

    def draft(self, row: Following, room: int) -> list[int]:
        """What may follow, ``room`` tokens at most.

        Twice as long as one that was right to its end, else a little longer than what was right of the last.
        """
        if self._offered:
            wanted = 2 * self._offered if self._right == self._offered else self._right + 1
            self._next, self._offered = min(wanted, self._most), 0
        most = min(self._next, room)
        if self._drafter is None or most <= 0:
            return []
        try:
            return self._drafter.draft(row, most)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            self._drafter = None  # its memory goes to the answer, which needs no drafts
            return []

    def offer(self, count: int) -> None:
        """A draft of so many tokens was read."""
        self.drafted += count
        self._offered, self._right = count, 0

    def confirm(self) -> None:
        """Its next token is the sampler's own."""
        self.accepted += 1
        self._right += 1
