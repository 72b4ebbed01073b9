"""Logical lines and how they wrap: the arithmetic under every scrolling view, without a widget in sight.

A ``Line`` is what a model or a command wrote up to a line break. It is cut into rows for one width at a time,
lazily, and appending to it re-wraps its last row only; so neither a long answer nor ten thousand earlier
lines cost anything while a token arrives or a window is resized.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from rich.cells import cell_len, get_character_cell_size

from repl.probe.figure import MARKS

TAB = 4
"""Cells between tab stops."""


class Span(NamedTuple):
    """A stretch of a line with a style of its own; offsets count characters of the line."""

    start: int
    end: int
    style: str


def next_row(text: str, start: int, width: int) -> int:
    """Where the row after the one that begins at ``start`` begins; ``len(text)`` when there is none.

    Rows break after spaces, which may hang over the edge, and round double-width characters; a word longer
    than ``width`` cells is cut. A character without width stays with the one before it.
    """
    if text.isascii():
        return _next_row_ascii(text, start, width)
    used = 0
    chance = start  # the latest place a row may break
    solid = False  # whether anything but spaces came before it
    previous = 0
    for index in range(start, len(text)):
        char = text[index]
        cells = get_character_cell_size(char)
        if char != " " and cells and solid and (text[index - 1] == " " or cells == 2 or previous == 2):
            chance = index
        if used + cells > width and char != " " and cells and index > start:
            return chance if chance > start else index
        used += cells
        solid = solid or char != " "
        previous = cells or previous
    return len(text)


def _next_row_ascii(text: str, start: int, width: int) -> int:
    end = start + width
    size = len(text)
    if size <= end:
        return size
    if text[end] != " ":
        space = text.rfind(" ", start, end)
        if space < 0 or not text[start:space].strip(" "):
            return end
        return space + 1
    while end < size and text[end] == " ":
        end += 1
    return end


def expand_tabs(text: str, column: int = 0) -> str:
    """``text`` with each tab replaced by spaces up to the next stop, beginning at cell ``column``."""
    if "\t" not in text:
        return text
    first, *rest = text.split("\t")
    out = [first]
    column += cell_len(first)
    for part in rest:
        gap = TAB - column % TAB
        out += (" " * gap, part)
        column += gap + cell_len(part)
    return "".join(out)


class Line:
    """One logical line.

    ``lead`` stands before the first row (a prompt mark, the left columns of a table) and is not part of the
    text; later rows are indented by its width.
    """

    __slots__ = (
        *("_cuts", "_width", "cursor", "lead", "lead_style"),
        *("marked", "spans", "style", "tail", "text", "whole"),
    )

    def __init__(
        self,
        text: str = "",
        style: str = "",
        lead: str = "",
        *,
        lead_style: str | None = None,
        spans: Sequence[Span] = (),
        whole: bool = False,
    ) -> None:
        self.text = expand_tabs(text)
        self.style = style
        self.lead = lead
        self.lead_style = style if lead_style is None else lead_style
        self.spans = list(spans)
        """In the order of the text, none over another."""
        self.whole = whole
        """Never wrapped: the view scrolls sideways to what does not fit."""
        self.marked = False
        """Under each row stands another with the heat of its spans in marks."""
        self.cursor: Span | None = None
        """Drawn over the spans."""
        self.tail: tuple[tuple[str, str], ...] = ()
        """Signs in their styles behind the text, no part of it: for tokens that cannot be seen."""
        self._width = 0
        self._cuts = [0]

    def append(self, text: str) -> None:
        """Add ``text``, which has no line break in it."""
        if "\t" in text:
            text = expand_tabs(text, cell_len(self.text))
        self.text += text
        if self._width:
            self._wrap(self._cuts[-1])

    def cuts(self, width: int) -> list[int]:
        """Where each row begins when a row has ``width`` cells, the lead included; at least one row."""
        width = max(1, width - self.indent(width))
        if width != self._width:
            self._width = width
            self._cuts = [0]
            self._wrap(0)
        return self._cuts

    def height(self, width: int) -> int:
        """Rows it takes, those of marks included."""
        return len(self.cuts(width)) * (2 if self.marked else 1)

    def indent(self, width: int) -> int:
        """Cells the lead takes out of ``width``: never more than two thirds of it."""
        return min(cell_len(self.lead), width * 2 // 3)

    def row(self, index: int, width: int) -> tuple[int, int]:
        """First and past-the-last character of the text's row ``index``, those of marks not counted."""
        cuts = self.cuts(width)
        return cuts[index], cuts[index + 1] if index + 1 < len(cuts) else len(self.text)

    def row_of(self, character: int, width: int) -> int:
        """The row that shows a character."""
        return (bisect_right(self.cuts(width), character) - 1) * (2 if self.marked else 1)

    def styled(self, start: int, end: int) -> tuple[Span, ...]:
        """The spans between two characters, cut to them and counted from ``start``."""
        found: list[Span] = []
        for at in range(bisect_right(self.spans, start, key=_end), len(self.spans)):
            span = self.spans[at]
            if span.start >= end:
                break
            found.append(Span(max(span.start, start) - start, min(span.end, end) - start, span.style))
        if (cursor := self.cursor) is not None and cursor.start < end and cursor.end > start:
            found.append(Span(max(cursor.start, start) - start, min(cursor.end, end) - start, cursor.style))
        return tuple(found)

    def marks(self, start: int, end: int) -> str:
        """The heat of the spans between two characters in marks, each where its span begins."""
        out: list[str] = []
        at = start
        for index in range(bisect_right(self.spans, start, key=_end), len(self.spans)):
            span = self.spans[index]
            if span.start >= end:
                break
            if span.start >= start:
                out += (" " * cell_len(self.text[at : span.start]), mark(span.style))
                at = min(span.end, end)
                out.append(" " * (cell_len(self.text[span.start : at]) - 1))
        out.append(" " * cell_len(self.text[at:end]))
        return "".join(out)

    def _wrap(self, start: int) -> None:
        size = len(self.text)
        while not self.whole and (start := next_row(self.text, start, self._width)) < size:
            self._cuts.append(start)


def mark(style: str) -> str:
    """The mark that says the same as a style of the heat scale; ``·`` where there is no heat."""
    return MARKS[int(style[4:])] if style.startswith("heat") else "·"


def _end(span: Span) -> int:
    return span.end


def pieces(start: int, end: int, style: str, spans: tuple[Span, ...]) -> Iterator[Span]:
    """``start`` to ``end`` cut at the borders of ``spans``; where none applies, ``style``; later ones win."""
    borders = sorted({start, end, *(at for s in spans for at in s[:2] if start < at < end)})
    for left, right in pairwise(borders):
        name = next((s.style for s in reversed(spans) if s.start <= left and right <= s.end), style)
        yield Span(left, right, name)
