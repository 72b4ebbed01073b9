"""Texts that were read before: a conversation's next turn, or the same prompt again, goes on from there."""

from bisect import bisect_left
from collections.abc import Sequence

from backends.hf.state.causal import Snapshot

WORTH = 32
"""Tokens in common that make it worth while; shorter prompts are better read together with others."""


class PrefixStore:
    """Keys and values of the latest texts, of ``capacity`` tokens at most in all.

    An entry holds the token ids with the state they left: only a beginning with exactly these ids is used.
    """

    def __init__(self, capacity: int) -> None:
        self.tokens = 0
        """Held by all entries together."""
        self._capacity = capacity
        self._entries: dict[tuple[int, ...], Snapshot] = {}
        """Least recently used first."""

    def find(self, ids: Sequence[int]) -> Snapshot | None:
        """What is held of the longest common beginning; the last of ``ids`` is always left to read."""
        wanted = tuple(ids)
        alike = [kept for kept in self._entries if kept[:WORTH] == wanted[:WORTH]]
        lengths = [min(common(kept, wanted), len(wanted) - 1) for kept in alike]
        if max(lengths, default=0) < WORTH:
            return None
        length = max(lengths)
        best = alike[lengths.index(length)]
        self._entries[best] = self._entries.pop(best)
        return self._entries[best].first(length)

    def add(self, ids: Sequence[int], snapshot: Snapshot) -> None:
        """Keep a text; it takes the place of those it goes on from."""
        new = tuple(ids)
        for kept in [kept for kept in self._entries if kept == new[: len(kept)]]:
            self._remove(kept)
        self._entries[new] = snapshot
        self.tokens += len(new)
        self.shrink(self._capacity)

    def wants(self, ids: Sequence[int]) -> bool:
        """Whether ``ids`` are worth keeping."""
        return WORTH <= len(ids) <= self._capacity

    def shrink(self, tokens: int) -> bool:
        """Let go of the least recently used until ``tokens`` remain at most; whether anything went."""
        before = self.tokens
        while self.tokens > max(tokens, 0):
            self._remove(next(iter(self._entries)))
        return self.tokens < before

    def _remove(self, ids: tuple[int, ...]) -> None:
        del self._entries[ids]
        self.tokens -= len(ids)


def common(a: tuple[int, ...], b: tuple[int, ...]) -> int:
    """Length of the common beginning."""
    longest = min(len(a), len(b))
    return bisect_left(range(1, longest + 1), True, key=lambda length: a[:length] != b[:length])
