"""How a row is drawn: its lead, its text in styles, the selection, and marks of what is beyond the edge."""

from collections.abc import Callable

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.selection import Selection
from textual.strip import Strip

from repl.tui.views.lines import Span, pieces
from repl.tui.views.transcript import Row

MORE = " ▼ more "
StyleOf = Callable[[str], Style]
"""The style of a name; the empty name is plain."""


def drawn(row: Row, width: int, margin: int, style_of: StyleOf, selection: Selection | None) -> Strip:
    """``row`` in ``width`` cells with ``margin`` of them free at either side."""
    edge = "‹" if row.left else " "
    lead = edge * min(1, margin) + " " * (margin - 1) + _fit(row.lead, row.indent)
    at_start = style_of(row.lead_style) + _offset(row.start, row.y)
    segments = [Segment(char, at_start) for char in lead]  # one by one: each cell is the row's start
    text = row.text if row.left is None else _without(row.text, row.left)
    hidden = len(row.text) - len(text)
    room = max(1, width - 2 * margin) - row.indent
    more = row.left is not None and cell_len(text) > room
    text = _clip(text, room)
    used = cell_len(lead) + cell_len(text)
    text = text.replace("\u00a0", " ")  # looks the same, and does when a terminal's own copy is pasted
    spans = row.spans
    chosen = None if row.marks or selection is None else _selected(selection, row)
    if chosen is not None:
        spans = (*spans, Span(*chosen, "selection"))
    for start, end, name in pieces(hidden, hidden + len(text), row.style, spans):
        style = style_of(name) + _offset(row.start + start, row.y)
        segments.append(Segment(text[start - hidden : end - hidden], style))
    for sign, name in row.tail:
        if used < width:
            segments.append(Segment(sign, style_of(name)))
            used += cell_len(sign)
    segments.append(Segment(" " * max(0, width - used - more), style_of("")))
    if more:
        segments.append(Segment("›", style_of("muted")))
    return Strip(segments, max(used, width)) if used <= width else Strip(segments).crop(0, width)


def with_more(strip: Strip, width: int, margin: int, style_of: StyleOf) -> Strip:
    """``strip`` with a mark at its end that there is more below."""
    mark = MORE if width >= 2 * len(MORE) else "▼"
    segments = [Segment(mark[:width], style_of("more")), Segment(" " * margin, style_of(""))]
    marked = [strip.crop(0, max(0, width - len(mark) - margin)), Strip(segments)]
    return Strip.join(marked).adjust_cell_length(width)


def _offset(x: int, y: int) -> Style:
    """Tells Textual's mouse selection which character of the transcript a cell shows."""
    return Style.from_meta({"offset": (x, y)})


def _selected(selection: Selection, row: Row) -> tuple[int, int] | None:
    span = selection.get_span(row.y)
    if span is None:
        return None
    start = max(0, span[0] - row.start)
    end = len(row.text) if span[1] < 0 else min(len(row.text), span[1] - row.start)
    return (start, end) if start < end else None


def _clip(text: str, room: int) -> str:
    """``text`` without what hangs over ``room`` cells."""
    if cell_len(text) <= room:
        return text
    used = 0
    for index, char in enumerate(text):
        used += cell_len(char)
        if used > room:
            return text[:index]
    return text


def _without(text: str, cells: int) -> str:
    """``text`` from so many cells on."""
    for index, char in enumerate(text):
        if cells <= 0:
            return text[index:]
        cells -= cell_len(char)
    return ""


def _fit(text: str, width: int) -> str:
    text = _clip(text, width)
    return text + " " * (width - cell_len(text))
