"""Stop strings: an answer ends before the first one, and no part of one is ever shown.

The one that is complete first counts, so that the cut does not depend on the borders of tokens.
"""

from collections.abc import Sequence


def cut(text: str, stops: Sequence[str]) -> tuple[str, bool]:
    """``text`` up to the stop string that is complete first, and whether there was one."""
    found = [(at + len(stop), at) for stop in stops if (at := text.find(stop)) >= 0]
    return (text[: min(found)[1]], True) if found else (text, False)


def without_partial_stop(text: str, stops: Sequence[str]) -> str:
    """``text`` without an end that may turn out to be the start of a stop string."""
    longest = min(len(text), max(map(len, stops), default=1) - 1)
    for size in range(longest, 0, -1):
        if any(stop.startswith(text[-size:]) for stop in stops):
            return text[:-size]
    return text
