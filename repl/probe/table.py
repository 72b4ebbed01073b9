"""Columns of spans, padded to line up."""

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

from repl.probe.figure import Row, Span

GAP = "  "


def table(
    heading: Sequence[str], body: Sequence[Sequence[Span | str]], *, right: Sequence[int] = ()
) -> list[Row]:
    """The rows of a table; columns whose number is in ``right`` are flush right. Cells are not wrapped."""
    cells = [[c if isinstance(c, Span) else Span(c) for c in line] for line in body]
    widths = [
        max([cell_len(name), *(cell_len(line[at].text) for line in cells)]) for at, name in enumerate(heading)
    ]
    head = [Span(name, "heading") for name in heading]
    lines = [head, *cells] if any(heading) else cells
    return [_line(line, widths, right) for line in lines]


def _line(cells: Sequence[Span], widths: Sequence[int], right: Sequence[int]) -> Row:
    row: list[Span] = []
    for at, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        pad = " " * (width - cell_len(cell.text))
        if at in right:
            row += [Span(pad), cell]
        else:
            row += [cell, Span(pad)]
        row.append(Span(GAP))
    return tuple(span for span in row[:-1] if span.text)


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
