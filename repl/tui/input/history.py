"""Walking and searching the lines typed before, in this session and earlier ones."""

from collections.abc import Iterable


class History:
    """Lines, oldest first, and the place in them while walking."""

    def __init__(self, lines: Iterable[str] = ()) -> None:
        self.lines = list(lines)
        self._at: int | None = None
        self._draft = ""

    def add(self, line: str) -> None:
        """A line was sent; the same line twice in a row is kept once."""
        if line.strip() and (not self.lines or self.lines[-1] != line):
            self.lines.append(line)
        self._at = None

    def step(self, by: int, current: str) -> str | None:
        """The line ``by`` places later (earlier if negative), or None at either end.

        ``current`` is what stands in the input: the first step back keeps it as the draft, one step past the
        newest line brings it back.
        """
        at = len(self.lines) if self._at is None else self._at
        if self._at is None:
            self._draft = current
        there = at + by
        if not 0 <= there <= len(self.lines) or there == at:
            return None
        self._at = None if there == len(self.lines) else there
        return self._draft if self._at is None else self.lines[there]

    def leave(self) -> None:
        """The input was edited: the walk begins anew from the end."""
        self._at = None

    def search(self, query: str, before: int | None = None) -> int | None:
        """Index of the newest line with ``query`` in it, before index ``before``; case is ignored."""
        wanted = query.casefold()
        end = len(self.lines) if before is None else before
        return next((i for i in range(end - 1, -1, -1) if wanted in self.lines[i].casefold()), None)
