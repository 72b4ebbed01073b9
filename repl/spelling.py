"""What a mistyped word was meant to be."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The closest of ``known`` to ``word``, else the only one that begins with it; None without either."""
    names = list(known)
    if close := difflib.get_close_matches(word, names, n=1):
        return close[0]
    begun = [name for name in names if word and name.startswith(word)]
    return begun[0] if len(begun) == 1 else None
