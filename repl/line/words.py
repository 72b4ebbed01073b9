"""Answers, tables and states as plain text: what line mode prints and what a pipe says on standard error.

All texts that come from outside are made safe here.
"""

from collections.abc import Sequence
from itertools import zip_longest

from prompt_toolkit.utils import get_cwidth

from repl.params import Params, changed
from repl.pool import ReplicaStatus
from repl.probe.figure import Figure, Row, Span, as_text, plural
from repl.safe import visible, visible_line
from repl.session.decoding import show
from repl.session.exchange import Exchange
from repl.session.frontend import Notice, Output, Table
from repl.session.words import ending, pace, seed

GAP = "  "
NARROWEST = 12
"""Columns below which a table's column is not squeezed."""
RESET = "\x1b[0m"
PIPE_COLUMNS = 120
"""The width of a figure where there is no terminal."""
HEAT = (
    "",
    *("48;5;17;38;5;231", "48;5;18;38;5;231", "48;5;54;38;5;231", "48;5;89;38;5;231"),
    *("48;5;125;38;5;231", "48;5;166;38;5;16", "48;5;220;38;5;16"),
)
"""SGR codes from expected to surprising, dark to bright, told apart by the colour-blind too."""
FIGURE_CODES = {
    "strong": "1",
    "muted": "2",
    "heading": "1",
    "good": "32",
    "bad": "31",
    "warning": "33",
    "added": "32",
    "removed": "31;9",
    "changed": "33",
    "chosen": "7",
    **{f"heat{level}": code for level, code in enumerate(HEAT)},
}


def foot(exchange: Exchange) -> str:
    """The line below an answer: ``(41 tok · 212 tok/s · first 9 ms · seed 7 · #18)``."""
    parts = [*pace(exchange), seed(exchange), ending(exchange), f"#{exchange.id}"]
    return f"({' · '.join(filter(None, parts))})"


def remarks(exchange: Exchange) -> list[str]:
    """What is to be said about an answer beside its text: the backend's notes and why it failed."""
    lines = [f"≠ {visible_line(note)}" for note in exchange.notes]
    started = exchange.answer.started
    if started is not None and started.truncated:
        lines.append(f"≠ {plural(started.truncated, 'token')} of the prompt cut off")
    error = exchange.error
    if error is not None:
        state = "lost" if exchange.state == "lost" else "failed"
        lines.append(f"✗ {visible_line(exchange.model)} {state}: {visible(error.message)}")
        lines += [f"  {visible(error.hint)}"] if error.hint else []
        lines += [f"  | {line}" for line in visible(error.detail).splitlines()]
    return lines


def plain(output: Output, columns: int | None = None) -> str:
    """What a command shows, as lines; tables in at most so many columns of the terminal, if they can be."""
    if isinstance(output, Notice):
        sign = {"info": "", "warning": "! ", "error": "✗ "}[output.level]
        hint = f"\n  {visible(output.hint)}" if output.hint else ""
        return f"{sign}{visible(output.text)}{hint}"
    if isinstance(output, Table):
        return "\n".join([*_table(output, columns), *map(visible, output.notes)])
    if isinstance(output, Figure):
        return as_text(output.rows(columns or PIPE_COLUMNS))
    return visible(output.text.rstrip("\n"))


def _table(table: Table, columns: int | None) -> list[str]:
    rows = [[visible_line(cell) for cell in row] for row in (table.columns, *table.rows)]
    widths = [max(map(get_cwidth, column)) for column in zip(*rows, strict=True)]
    if columns is not None:
        widths = _narrowed(widths, columns - len(GAP) * (len(widths) - 1))
    head, *body = [line for row in rows for line in _row(row, widths)]
    return [head, *_row(["─" * width for width in widths], widths), *body]


def _narrowed(widths: list[int], room: int) -> list[int]:
    """Take from the widest column until all fit, but leave each what a word needs."""
    widths = list(widths)
    while sum(widths) > room and max(widths) > NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return widths


def _row(cells: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Cells side by side, each wrapped to its column's width.

    Widths are columns of the terminal, of which a character may take none, one or two.
    """
    wrapped = [wrap(cell, width, words=True) for cell, width in zip(cells, widths, strict=True)]
    lines = []
    for parts in zip_longest(*wrapped, fillvalue=""):
        padded = (part + " " * (width - get_cwidth(part)) for part, width in zip(parts, widths, strict=True))
        lines.append(GAP.join(padded).rstrip())
    return lines


def replicas(model: str, statuses: Sequence[ReplicaStatus]) -> str:
    """The replicas of a model in a few words: ``lm ● 1/4``, ``lm ◐ loading weights 40 %``."""
    up = [status for status in statuses if status.state in ("ready", "busy")]
    others = [status for status in statuses if status not in up]
    parts = [visible_line(model)]
    if up:
        running, slots = sum(s.running for s in up), sum(s.slots for s in up)
        parts.append(f"● {running}/{slots}")
    for state in dict.fromkeys(status.state for status in others):
        alike = [status for status in others if status.state == state]
        count = f"{len(alike)} " if len(statuses) > 1 else ""
        parts.append(f"{'✗' if state == 'failed' else '◐'} {count}{state}{_progress(alike[0])}")
    return " ".join(parts)


def _progress(status: ReplicaStatus) -> str:
    if status.state != "loading":
        return ""
    fraction = f" {status.loading * 100:.0f} %" if status.loading is not None else ""
    return f" {visible_line(status.detail)}{fraction}"


def settings(params: Params) -> str:
    """The settings in force, those at their default left out: ``temperature 0.7 · max_new 64``."""
    shown = changed(params) | {"max_new": params.max_new}
    return " · ".join(f"{name} {visible_line(show(value))}" for name, value in shown.items())


def cut(text: str, width: int) -> str:
    """``text`` in at most ``width`` columns, with an ellipsis where it was cut."""
    if get_cwidth(text) <= width:
        return text
    kept, used = "", 1
    for character in text:
        used += get_cwidth(character)
        if used > width:
            break
        kept += character
    return kept + "…"


def wrap(text: str, columns: int, *, words: bool = False) -> list[str]:
    """``text`` in rows of at most ``columns`` columns, cut anywhere as a terminal would or between words."""
    rows, row, used = [], "", 0
    for character in text:
        width = get_cwidth(character)
        if used + width > columns and row:
            kept, _, carried = row.rpartition(" ") if words and character != " " else ("", "", "")
            rows.append(kept or row)
            row = carried if kept else ""
            used = get_cwidth(row)
            if words and character == " ":
                continue
        row += character
        used += width
    return [*rows, row]


class Style:
    """What sets headings and remarks apart from answers: terminal styles, or nothing."""

    def __init__(self, *, colour: bool) -> None:
        self._colour = colour

    def name(self, text: str) -> str:
        """A model's name over its answer."""
        return self._in("1", text) if self._colour else f"{text}:"

    def foot(self, text: str) -> str:
        """The line of figures."""
        return self._in("2", text)

    def remark(self, text: str) -> str:
        """A note or an error below an answer; its sign tells which."""
        return self._in("31" if text.startswith("✗") else "33" if text.startswith("≠") else "2", text)

    def figure(self, figure: Figure, columns: int) -> str:
        """A figure in colours."""
        return self.rows(figure.rows(columns))

    def rows(self, rows: Sequence[Row]) -> str:
        """Rows of a figure in colours."""
        return "\n".join("".join(self._span(span) for span in row) for row in rows)

    def _span(self, span: Span) -> str:
        code = FIGURE_CODES[span.style] if span.style else ""
        return self._in(code, span.text) if code else span.text

    def output(self, output: Output, text: str) -> str:
        """What a command shows."""
        codes = {"info": "2", "warning": "33", "error": "31"}
        return self._in(codes[output.level], text) if isinstance(output, Notice) else text

    def _in(self, code: str, text: str) -> str:
        if not self._colour:
            return text
        return "\n".join(f"\x1b[{code}m{line}{RESET}" for line in text.split("\n"))
