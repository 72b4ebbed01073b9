"""A text with each token in the colour of its surprisal."""

from collections.abc import Sequence

import msgspec
from rich.cells import cell_len

from repl.probe.figure import MARKS, Figure, Row, Span, heat, level
from repl.probe.table import flow
from repl.probe.tokens import Token, Totals, totals
from repl.safe import visible_line


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One model's view of a text."""

    model: str
    tokens: tuple[Token, ...]
    notes: tuple[str, ...] = ()
    exchange: int | None = None
    """Its number in the record."""

    @property
    def totals(self) -> Totals:
        """Of the tokens that have a log-probability."""
        return totals(self.tokens)


class HeatMap(Figure, frozen=True, kw_only=True):
    """What one or several models make of one text, a token at a time."""

    name = "heatmap"

    text: str
    readings: tuple[Reading, ...]

    @property
    def title(self) -> str:
        """What was scored."""
        return "surprisal"

    def rows(self, width: int) -> Sequence[Row]:
        """For each model its name and totals, then the text with a row of marks under each row."""
        found: list[Row] = []
        for reading in self.readings:
            found += [*summary(reading), *heated(reading.tokens, width), ()]
        return found[:-1]


def summary(reading: Reading) -> list[Row]:
    """The totals in words, and the notes."""
    sums = reading.totals
    number = f" #{reading.exchange}" if reading.exchange is not None else ""
    words = (
        f"{sums.nats:.4f} nats · {sums.tokens:,} tokens · {sums.bits_per_token:.3f} bits/token"
        f" · {sums.bits_per_byte:.3f} bits/byte · perplexity {sums.perplexity:,.2f}"
    )
    notes: list[Row] = [(Span(f"≠ {visible_line(note)}", "warning"),) for note in reading.notes]
    return [(Span(visible_line(reading.model) + number, "strong"), Span(f"  {words}", "muted")), *notes]


def heated(tokens: Sequence[Token], width: int) -> list[Row]:
    """The tokens in rows; under each row the same scale in marks, for terminals without colour."""
    found: list[Row] = []
    left = iter(tokens)
    for row in flow([Span(_shown(token.piece), heat(token.bits)) for token in tokens], width):
        below = "".join(_mark(next(left)) + " " * (cell_len(span.text) - 1) for span in row)
        found += [row, (Span(below.rstrip(), "muted"),)]
    return found


def _shown(piece: bytes) -> str:
    text = piece.decode(errors="backslashreplace").replace("\n", "⏎").replace("\t", "⇥")
    return visible_line(text) or "∅"


def _mark(token: Token) -> str:
    return "·" if token.bits is None else MARKS[level(token.bits)]
