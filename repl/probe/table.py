"""Columns of spans, padded to line up."""

import textwrap
from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

from repl.probe.figure import Row, Span
from repl.safe import visible_line

GAP = "  "


def table(
    heading: Sequence[str],
    body: Sequence[Sequence[Span | str]],
    *,
    right: Sequence[int] = (),
    width: int | None = None,
    names: int = 1,
) -> list[Row]:
    """The rows of a table; columns whose number is in ``right`` are flush right. Cells are not wrapped.

    What is wider than ``width`` cells goes on below with the columns that did not fit; the first ``names``
    columns, which say what a line is about, stand there again.
    """
    cells = [[c if isinstance(c, Span) else Span(c) for c in line] for line in body]
    widths = [
        max([cell_len(name), *(cell_len(line[at].text) for line in cells)]) for at, name in enumerate(heading)
    ]
    head = [Span(name, "heading") for name in heading]
    lines = [head, *cells] if any(heading) else cells
    found: list[Row] = []
    for columns in _parts(widths, width, names):
        found += [()] if found else []
        found += [_line(line, widths, right, columns) for line in lines]
    return found


def _parts(widths: Sequence[int], width: int | None, names: int) -> list[list[int]]:
    """The numbers of the columns that stand side by side, for each part of a table."""
    label = list(range(min(names, len(widths))))
    parts = [list(label)]
    for at in range(len(label), len(widths)):
        together = [*parts[-1], at]
        used = sum(widths[i] for i in together) + len(GAP) * (len(together) - 1)
        if width is not None and used > width and len(parts[-1]) > len(label):
            together = [*label, at]
            parts.append(together)
        else:
            parts[-1] = together
    return parts


def _line(cells: Sequence[Span], widths: Sequence[int], right: Sequence[int], columns: Sequence[int]) -> Row:
    row: list[Span] = []
    for at in columns:
        pad = " " * (widths[at] - cell_len(cells[at].text))
        if at in right:
            row += [Span(pad), cells[at]]
        else:
            row += [cells[at], Span(pad)]
        row.append(Span(GAP))
    return tuple(span for span in row[:-1] if span.text)


def row_width(row: Row) -> int:
    """Cells that it takes."""
    return sum(cell_len(span.text) for span in row)


def marked(notes: Sequence[str], width: int) -> list[Row]:
    """What the reader must know, each with its ``≠``."""
    return [row for note in notes for row in wrapped(f"≠ {note}", "warning", width)]


def wrapped(text: str, style: str, width: int) -> list[Row]:
    """A sentence on as many rows as it takes, broken between words; safe for a terminal."""
    return [(Span(line, style),) for line in textwrap.wrap(visible_line(text), max(1, width))]


def cut(text: str, width: int) -> str:
    """``text`` in at most ``width`` cells, with an ellipsis where it was cut."""
    return text if cell_len(text) <= width else set_cell_size(text, max(0, width - 1)) + "…"


def flow(spans: Sequence[Span], width: int) -> list[Row]:
    """Spans one after another, a new row where the next would not fit; none is cut."""
    rows: list[list[Span]] = [[]]
    used = 0
    for span in spans:
        size = cell_len(span.text)
        if used and used + size > width:
            rows.append([])
            used = 0
        rows[-1].append(span)
        used += size
    return [tuple(row) for row in rows]


def phrases(parts: Sequence[str], width: int, style: str = "") -> list[Row]:
    """Parts of a sentence with `` · `` between them, a new row where the next would not fit."""
    joined = [f"{part} · " for part in parts[:-1]] + list(parts[-1:])
    return flow([Span(part, style) for part in joined], width)
