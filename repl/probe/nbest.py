"""A list of hypotheses with what the search and the model say of each."""

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from repl.probe.figure import Figure, Row, Span
from repl.probe.table import GAP, cut, marked, row_width, table
from repl.safe import visible_line

LEAST = 16
"""Cells that a text needs beside its numbers."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One hypothesis."""

    text: str
    length: int
    """Tokens, the end token included."""
    native: float | None
    """The score that the search ranked by."""
    search_nats: float | None
    """Sum of the search's own increments (fairseq's ``P-``)."""
    raw_nats: float | None = None
    """Sum of the model's log-probabilities, before any processor; None where they could not be had."""
    bytes: int = 0

    DERIVED: ClassVar = ("search_mean",)

    @property
    def search_mean(self) -> float | None:
        """``search_nats / length``: with a length penalty of 1 fairseq's ``H-`` score."""
        return None if self.search_nats is None or not self.length else self.search_nats / self.length

    def penalised(self, penalty: float) -> float | None:
        """``sum / length ** penalty``, of the search's increments or, where there are none, the model's."""
        total = self.raw_nats if self.search_nats is None else self.search_nats
        return None if total is None or not self.length else total / self.length**penalty


class NBest(Figure, frozen=True, kw_only=True):
    """The hypotheses of one answer."""

    name = "nbest"

    model: str
    exchange: int
    prompt: str
    candidates: tuple[Candidate, ...]
    """As the search ranked them."""
    lenpen: float
    """The length penalty of the search."""
    resorted: float | None = None
    """The length penalty they are listed by here; None keeps the search's order."""
    notes: tuple[str, ...] = ()

    DERIVED: ClassVar = ("order",)

    @property
    def title(self) -> str:
        """Whose, and by what they are sorted."""
        by = f" · by length penalty {self.resorted:g}" if self.resorted is not None else ""
        return f"{len(self.candidates)} best of #{self.exchange} {visible_line(self.model)}{by}"

    @property
    def order(self) -> tuple[int, ...]:
        """The search's ranks in the order shown."""
        ranks = range(len(self.candidates))
        if self.resorted is None:
            return tuple(ranks)
        scores = [self.candidates[at].penalised(self.resorted) for at in ranks]
        return tuple(sorted(ranks, key=lambda at: (-_or_least(scores[at]), at)))

    def rows(self, width: int) -> Sequence[Row]:
        """A line for each; ``▸`` marks the search's first."""
        heading = ["", "", "native", "sum search", "sum raw", "length", "sum/length"]
        if self.resorted is not None:
            heading.append(f"lenpen {self.resorted:g}")
        body = [self._line(place, rank) for place, rank in enumerate(self.order, 1)]
        texts = [visible_line(self.candidates[at].text.replace("\n", "⏎")) for at in self.order]
        right = range(2, len(heading))
        room = width - _widest(table(heading, body, right=right)) - len(GAP)
        if room < LEAST:  # the texts go below
            room = width - _widest(table(heading[:2], [line[:2] for line in body])) - len(GAP)
        lines = [[*line, cut(text, max(LEAST, room))] for line, text in zip(body, texts, strict=True)]
        found = table([*heading, "text"], lines, right=right, width=width, names=2)
        return [*found, *marked(self.notes, width)]

    def _line(self, place: int, rank: int) -> list[Span | str]:
        candidate = self.candidates[rank]
        moved = f"{place} was {rank + 1}" if place != rank + 1 else str(place)
        line: list[Span | str] = [
            Span("▸" if rank == 0 else " ", "chosen"),
            moved,
            _number(candidate.native),
            _number(candidate.search_nats),
            _number(candidate.raw_nats),
            f"{candidate.length:,}",
            _number(candidate.search_mean),
        ]
        return line if self.resorted is None else [*line, _number(candidate.penalised(self.resorted))]


def _widest(rows: Sequence[Row]) -> int:
    return max(map(row_width, rows), default=0)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _or_least(score: float | None) -> float:
    return float("-inf") if score is None else score
