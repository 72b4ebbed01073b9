"""Prompt lookup: what followed the same words before may follow them again."""

from backends.hf.guesses.speculation import Following

_SIZES = (3, 2)
"""Tokens that must be the same, the longer first. One alone is too often followed by something else."""


class Lookup:
    """A ``speculation.Drafter`` that copies from the row's own prompt and answer."""

    def __init__(self) -> None:
        self._known = 0
        """Tokens of the row's history that were looked at."""
        self._after: dict[tuple[int, ...], int] = {}
        """Where the latest occurrence of some tokens ends."""

    def draft(self, row: Following, most: int) -> list[int]:
        """What followed the latest occurrence of the last tokens; a repetition is taken to go on."""
        text = row.history
        for end in range(max(self._known, 1), len(text)):
            for size in _SIZES:
                if size <= end:
                    self._after[tuple(text[end - size : end])] = end
        self._known = len(text)
        for size in _SIZES:
            start = self._after.get(tuple(text[-size:]))
            if start is not None:
                period = len(text) - start
                return [text[start + i % period] for i in range(most)]
        return []
