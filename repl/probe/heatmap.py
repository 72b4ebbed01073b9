"""A text with each token in the colour of its surprisal, its rank, or the entropy where it stands."""

from collections.abc import Sequence
from typing import ClassVar

import msgspec
from rich.cells import cell_len

from repl.probe.cells import Unit, lines, mark_row, text_row, units
from repl.probe.figure import FULL, LEVELS, MARKS, Figure, Row, Span, plural
from repl.probe.table import GAP, flow, marked, phrases, table, wrapped
from repl.probe.tokens import SUMS, Heat, Token, Totals, totals
from repl.safe import visible_line

UNKNOWN = "·"
"""The mark of a token whose figure is not known."""
_SCALE = f"each step of {MARKS[1:]} is {FULL / LEVELS} bits"
LEGEND: dict[Heat, str] = {
    "bits": f"{_SCALE} of surprisal",
    "rank": f"no mark: the first choice; {MARKS[1]} the second; each step of {MARKS[1:]} doubles the rank",
    "entropy": f"{_SCALE} of entropy before the token",
}


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """One model's view of a text."""

    model: str
    tokens: tuple[Token, ...]
    notes: tuple[str, ...] = ()
    exchange: int | None = None
    """Its number in the record."""
    opening: str = ""
    """What stood before the first token, in words: the prefix policy."""

    DERIVED: ClassVar = ("totals",)

    @property
    def totals(self) -> Totals:
        """Of the tokens that have a log-probability."""
        return totals(self.tokens)


class HeatMap(Figure, frozen=True, kw_only=True):
    """What one or several models make of one text, a token at a time."""

    name = "heatmap"

    text: str
    readings: tuple[Reading, ...]
    heat: Heat = "bits"
    context: str = ""
    """What stood before the text."""

    @property
    def title(self) -> str:
        """What is shown."""
        return {"bits": "surprisal", "rank": "ranks", "entropy": "entropy"}[self.heat]

    def rows(self, width: int) -> Sequence[Row]:
        """The models' totals, then for each the text with a row of marks under each row."""
        found: list[Row] = comparison(self.readings, width)
        for reading in self.readings:
            found.append(())
            if len(self.readings) > 1:
                found.append((Span(named(reading), "strong"),))
            found += [*remarks(reading, width), *heated(reading.tokens, width, self.heat)]
        return [*found, *flow([Span(f"{word} ", "muted") for word in LEGEND[self.heat].split(" ")], width)]


def comparison(readings: Sequence[Reading], width: int) -> list[Row]:
    """The totals side by side, and what stood before the text."""
    body: list[Sequence[Span | str]] = []
    for reading in readings:
        sums = reading.totals
        body.append(
            (
                Span(named(reading), "strong"),
                *sums.cells(),
                Span(visible_line(reading.opening), "muted"),
            )
        )
    heading, right = ("", *SUMS, "opening"), (1, 2, 3, 4, 5)
    openings = {reading.opening for reading in readings}
    if len(openings) > 1:
        return table(heading, body, right=right, width=width)
    said = wrapped(f"opening · {openings.pop()}", "muted", width) if openings else []
    return [*table(heading[:-1], [line[:-1] for line in body], right=right, width=width), *said]


def summary(reading: Reading, width: int) -> list[Row]:
    """The totals in words, and the notes."""
    sums = reading.totals
    words = (
        f"{sums.nats:.4f} nats",
        plural(sums.tokens, "token"),
        f"{sums.bits_per_token:.3f} bits/token",
        f"{sums.bits_per_byte:.3f} bits/byte",
        f"perplexity {sums.shown_perplexity}",
    )
    name = Span(f"{named(reading)}{GAP}", "strong")
    first, *others = phrases(words, max(1, width - cell_len(name.text)), "muted")
    return [(name, *first), *others, *remarks(reading, width)]


def heated(tokens: Sequence[Token], width: int, kind: Heat = "bits") -> list[Row]:
    """The tokens in rows; under each row the same scale in marks, for terminals without colour."""
    levels = [token.heat(kind) for token in tokens]

    def style(unit: Unit) -> str:
        known = [found for owner in unit.owners if (found := levels[owner]) is not None]
        return f"heat{max(known)}" if known else ""

    def mark(token: int) -> str:
        found = levels[token]
        return UNKNOWN if found is None else MARKS[found]

    rows: list[Row] = []
    for line in lines(units([token.piece for token in tokens]), width):
        rows.append(text_row(line, style))
        below = mark_row(line, mark)
        if below:
            rows.append((Span(below, "muted"),))
    return rows


def named(reading: Reading) -> str:
    """The model, and the number of what it did."""
    number = "" if reading.exchange is None else f" #{reading.exchange}"
    return visible_line(reading.model) + number


def remarks(reading: Reading, width: int) -> list[Row]:
    """The notes, a row each."""
    return marked(reading.notes, width)
