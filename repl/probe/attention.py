"""What each token of an answer looked at in the source."""

from collections.abc import Sequence

from rich.cells import cell_len

from repl.probe.figure import LEVELS, MARKS, Figure, Row, Span, piece_text
from repl.probe.table import cut, flow, marked
from repl.safe import visible_line

LABEL = 12
"""Cells of a token of the answer."""
HEAD = 9
"""Cells of a token of the source."""
CELL = 6
"""Cells of a weight: a sign, two places, a mark."""


class Attention(Figure, frozen=True, kw_only=True):
    """How much each token of an answer looked at each token of the source."""

    name = "attention"

    model: str
    exchange: int
    source: tuple[bytes, ...]
    target: tuple[bytes, ...]
    weights: tuple[tuple[float, ...], ...]
    """``[target][source]``; rows sum to 1."""
    alignment: tuple[tuple[int, int], ...]
    """(source, target) pairs: the hard alignment."""
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Whose."""
        return f"attention of #{self.exchange} {visible_line(self.model)}"

    def rows(self, width: int) -> Sequence[Row]:
        """A line for each token of the answer, a column for each of the source; ``▸`` where they align."""
        names = [_named(piece, LABEL) for piece in self.target]
        sources = [_named(piece, HEAD) for piece in self.source]
        label = max(map(cell_len, names), default=0) + 1
        sizes = [max(CELL, cell_len(source)) for source in sources]
        found: list[Row] = marked(self.notes, width)
        start = 0
        while start < len(sources):
            end, used = start + 1, sizes[start]
            while end < len(sources) and used + 1 + sizes[end] <= width - label:
                used += 1 + sizes[end]
                end += 1
            padded = [" " * (sizes[at] - cell_len(sources[at])) + sources[at] for at in range(start, end)]
            found.append((Span(" " * label), Span(" ".join(padded), "heading")))
            found += [self._line(at, name, label, sizes, range(start, end)) for at, name in enumerate(names)]
            start = end
        pairs = [
            Span(f"{sources[s]}→{names[t]}  ")
            for s, t in sorted(self.alignment, key=lambda pair: (pair[1], pair[0]))
            if s < len(sources) and t < len(names)
        ]
        return [*found, (Span("▸ aligned", "muted"),), *flow(pairs, width)]

    def _line(self, at: int, name: str, label: int, sizes: Sequence[int], columns: range) -> Row:
        spans = [Span(name + " " * (label - cell_len(name)), "strong")]
        for column in columns:
            weight = self.weights[at][column]
            step = max(0, min(LEVELS - 1, int(weight * LEVELS)))
            sign = "▸" if (column, at) in self.alignment else " "
            text = f"{sign}{weight:.2f}{MARKS[step]}"
            spans += [Span(" " * (sizes[column] - cell_len(text))), Span(text, f"heat{step}"), Span(" ")]
        return tuple(span for span in spans[:-1] if span.text)


def hard(weights: Sequence[Sequence[float]]) -> tuple[tuple[int, int], ...]:
    """(source, target) pairs: the source token that each target token looks at most; of equals the first."""
    return tuple((max(range(len(row)), key=row.__getitem__), at) for at, row in enumerate(weights) if row)


def _named(piece: bytes, width: int) -> str:
    text = piece_text(piece)
    return cut(text.strip("·") or text or "∅", width)
