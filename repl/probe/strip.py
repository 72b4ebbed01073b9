"""A curve over the positions of a text: one cell each, with marks below."""

from collections.abc import Sequence

from repl.probe.figure import LEVELS, MARKS, Row, Span

LABEL = 5
"""Cells for the number of a row's first position."""


def strip(
    values: Sequence[float | None], width: int, *, marks: Sequence[str], muted: Sequence[bool], full: float
) -> list[Row]:
    """Two rows for as many positions as fit ``width``: the curve from 0 to ``full``, and a mark each.

    A value of None leaves its cell to the mark. What is ``muted`` has no colour.
    """
    room = max(1, width - LABEL)
    found: list[Row] = []
    for start in range(0, len(values), room):
        places = range(start, min(start + room, len(values)))
        curve = [_cell(values[at], full, muted=muted[at]) for at in places]
        below = "".join(marks[at] for at in places).rstrip()
        found.append((Span(f"{start:>{LABEL - 1}} ", "muted"), *curve))
        if below:
            found.append((Span(" " * LABEL), Span(below, "warning")))
    return found


def _cell(value: float | None, full: float, *, muted: bool) -> Span:
    if value is None:
        return Span(" ")
    height = min(LEVELS - 1, round(value / full * (LEVELS - 1))) if full > 0 else 0
    if value > 0 and height == 0:
        height = 1
    return Span(MARKS[height], "muted" if muted else f"heat{height}")
