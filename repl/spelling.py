"""What a mistyped word was meant to be, and whether it is text at all."""

import difflib
from collections.abc import Iterable


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The closest of ``known`` to ``word``, else the only one that begins with it; None without either."""
    names = list(known)
    if close := difflib.get_close_matches(word, names, n=1):
        return close[0]
    begun = [name for name in names if word and name.startswith(word)]
    return begun[0] if len(begun) == 1 else None


def is_unicode(text: str) -> bool:
    """Whether it can be sent and kept: not so with the halves of characters that stand for stray bytes."""
    return text.isascii() or not any("\ud800" <= char <= "\udfff" for char in text)
