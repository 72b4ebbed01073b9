"""What commands show - notices, tables, texts - as lines for the drawer.

Texts come from anywhere and are made safe here, where they enter.
"""

import re

from rich.cells import cell_len

from repl.probe.figure import Figure, Row
from repl.safe import visible, visible_line
from repl.session.frontend import Notice, Output, Table
from repl.tui.views import markdown
from repl.tui.views.lines import Line, Span
from repl.tui.views.transcript import Block

GAP = "  "
WIDEST_COLUMN = 32
_NUMBER = re.compile(r"[-+]?[\d.,]+\s*\S{0,6}")
SIGNS = {"info": ("· ", "muted"), "warning": ("! ", "warning"), "error": ("✗ ", "error")}


def block(output: Output, width: int) -> Block:
    """``output`` as a block; a figure is laid out for ``width`` cells."""
    if isinstance(output, Notice):
        return Block(notice(output))
    if isinstance(output, Table):
        return Block(table(output))
    if isinstance(output, Figure):
        return Block([figure_line(row) for row in output.rows(width)])
    if output.format == "markdown":
        return Block(markdown.lines(output.text))
    return Block([Line(text) for text in visible(output.text).rstrip("\n").split("\n")])


def title(output: Output) -> str:
    """What it is about; empty for a notice."""
    return "" if isinstance(output, Notice) else visible_line(output.title)


def figure_line(row: Row) -> Line:
    """A row of a figure with its styles."""
    spans: list[Span] = []
    at = 0
    for text, style in row:
        if style:
            spans.append(Span(at, at + len(text), style))
        at += len(text)
    return Line("".join(text for text, _ in row), spans=spans, whole=True)


def notice(output: Notice) -> list[Line]:
    """The sentence with the sign of its level, and what to do next under it."""
    sign, style = SIGNS[output.level]
    first, *rest = visible(output.text).split("\n")
    lines = [Line(first, style if output.level != "info" else "", sign)]
    lines += [Line(text, "muted", "  ") for text in (*rest, *filter(None, visible(output.hint).split("\n")))]
    return lines


def table(output: Table) -> list[Line]:
    """Columns padded to their widest cell, figures to the right; the last column wraps."""
    rows = [[visible_line(cell) for cell in row] for row in output.rows]
    columns = [visible_line(name) for name in output.columns]
    widths = [
        min(WIDEST_COLUMN, max((cell_len(row[at]) for row in [columns, *rows]), default=0))
        for at in range(len(columns))
    ]
    right = [
        bool(rows) and all(_NUMBER.fullmatch(row[at]) or row[at] in ("", "-", "–") for row in rows)
        for at in range(len(columns))
    ]
    lines = [_headings(columns, widths, right)] if any(columns) else []
    for row in rows:
        lines += _table_lines(row, widths, right)
    lines += [Line(text, "muted") for note in output.notes for text in visible(note).split("\n")]
    return lines


def _headings(names: list[str], widths: list[int], right: list[bool]) -> Line:
    """The names of the columns, of which only the letters have the style of a heading."""
    text, spans = "", []
    for name, width, to_right in zip(names, widths, right, strict=True):
        cell = _pad(name, width, to_right)
        start = len(text) + len(cell) - len(cell.lstrip())
        spans.append(Span(start, start + len(cell.strip()), "heading"))
        text += cell + GAP
    return Line(text.rstrip(), spans=spans)


def _table_lines(cells: list[str], widths: list[int], right: list[bool]) -> list[Line]:
    """One line; two where the first of two columns holds more than fits."""
    if len(cells) == 2 and cell_len(cells[0]) > widths[0]:
        return [Line(cells[0]), Line(cells[1], "", " " * (widths[0] + len(GAP)))]
    return [_table_line(cells, widths, right)]


def _table_line(cells: list[str], widths: list[int], right: list[bool]) -> Line:
    padded = [_pad(cell, width, to_right) for cell, width, to_right in zip(cells, widths, right, strict=True)]
    last = padded[-1] if right[-1:] == [True] else cells[-1] if cells else ""
    return Line(last, "", "".join(cell + GAP for cell in padded[:-1]))


def _pad(cell: str, width: int, to_right: bool) -> str:
    while cell_len(cell) > width:
        cell = cell[:-2] + "…"
    space = " " * (width - cell_len(cell))
    return space + cell if to_right else cell + space
