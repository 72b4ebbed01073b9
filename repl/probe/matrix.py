"""Which model finds whose text likely."""

from collections.abc import Sequence

import msgspec

from repl.probe.figure import MARKS, Figure, Row, Span, heat, level
from repl.probe.table import marked, phrases, table
from repl.safe import visible_line


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """One model on one answer."""

    bits_per_byte: float | None
    """None where it could not be had."""
    nats: float | None = None
    tokens: int = 0
    own: bool = False
    """The answer is the model's."""


class Column(msgspec.Struct, frozen=True, kw_only=True):
    """An answer."""

    exchange: int
    model: str
    text: str


class Cross(Figure, frozen=True, kw_only=True):
    """Bits per byte of each model on each answer."""

    name = "cross"

    models: tuple[str, ...]
    answers: tuple[Column, ...]
    cells: tuple[tuple[Cell, ...], ...]
    """``[model][answer]``."""
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What the figures are."""
        return "bits/byte of each model on each answer"

    def rows(self, width: int) -> Sequence[Row]:
        """The matrix; the model's own answer is marked, and so is the lowest of each answer."""
        heading = ["", *(f"#{answer.exchange} {visible_line(answer.model)}" for answer in self.answers)]
        best = [
            min((c.bits_per_byte for c in column if c.bits_per_byte is not None), default=None)
            for column in zip(*self.cells, strict=True)
        ]
        known = [c.bits_per_byte for line in self.cells for c in line if c.bits_per_byte is not None]
        full = max(known, default=1.0) or 1.0
        body = [
            [
                Span(visible_line(model), "strong"),
                *(_cell(c, low, full) for c, low in zip(line, best, strict=True)),
            ]
            for model, line in zip(self.models, self.cells, strict=True)
        ]
        found = table(heading, body, right=range(1, len(heading)), width=width)
        found += marked(self.notes, width)
        legend = ("[ ] its own answer", "▸ the least surprised by the answer")
        return [*found, *phrases(legend, width, "muted")]


def _cell(cell: Cell, lowest: float | None, full: float) -> Span:
    if cell.bits_per_byte is None:
        return Span("–", "muted")
    sign = "▸" if cell.bits_per_byte == lowest else ""
    number = f"{cell.bits_per_byte:.3f}"
    mark = MARKS[level(cell.bits_per_byte, full=full)]
    return Span(
        f"{sign}[{number}]{mark}" if cell.own else f"{sign} {number} {mark}",
        heat(cell.bits_per_byte, full=full),
    )
