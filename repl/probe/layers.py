"""The logit lens as a table: what each layer would predict at each position."""

import math
from collections.abc import Sequence

from rich.cells import cell_len

from repl.probe.figure import MARKS, Figure, Row, Span, heat, level, nats_to_bits, piece_text, plural
from repl.probe.options import bar
from repl.probe.table import cut, marked, phrases, table
from repl.readings import LensCell
from repl.safe import visible_line

PIECE = 9
"""Cells of a piece."""
CELL = PIECE + 2
"""A piece, a mark, a sign."""


class Layers(Figure, frozen=True, kw_only=True):
    """Every layer at every position."""

    name = "lens"

    model: str
    exchange: int
    ids: tuple[int, ...]
    pieces: tuple[bytes, ...]
    """The tokens read, one for each position."""
    layers: tuple[tuple[LensCell, ...], ...]
    """From the embeddings to the last; each has a cell for every position."""
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Whose, and how large."""
        return (
            f"lens #{self.exchange} {visible_line(self.model)} · "
            f"{plural(len(self.layers), 'layer')}, {plural(len(self.pieces), 'position')}"
        )

    def rows(self, width: int) -> Sequence[Row]:
        """As many positions side by side as fit, then the next ones below; the last layer on top."""
        label = len(f"{len(self.layers) - 1}") + 6
        count = max(1, (width - label) // (CELL + 1))
        found: list[Row] = marked(self.notes, width)
        for start in range(0, len(self.pieces), count):
            found += [*self._block(range(start, min(start + count, len(self.pieces))), label), ()]
        legend = ("= the token that follows", f"each step of {MARKS[1:]} is 1.5 bits of KL(last || layer)")
        return [*found, *phrases(legend, width, "muted")]

    def _block(self, places: range, label: int) -> list[Row]:
        def row(name: str, cells: Sequence[Span]) -> Row:
            padded = [Span(" " * (CELL - cell_len(cell.text)) + " ") for cell in cells]
            parts = [span for pair in zip(cells, padded, strict=True) for span in pair]
            return (Span(name.rjust(label - 1) + " ", "muted"), *parts)

        found = [row("at", [Span(f"@{at}", "muted") for at in places])]
        for number in range(len(self.layers) - 1, -1, -1):
            cells = [_cell(self.layers[number][at]) for at in places]
            found.append(row(f"layer {number}" if label > 7 else f"L{number}", cells))
        found.append(row("read", [Span(_piece(self.pieces[at], CELL), "strong") for at in places]))
        return found


class LayersAt(Figure, frozen=True, kw_only=True):
    """Every layer at one position, with its numbers."""

    name = "lens-position"

    model: str
    exchange: int
    position: int
    before: tuple[bytes, ...]
    """The tokens read up to and with this position."""
    following: bytes | None
    """The token that really follows; None at the end."""
    layers: tuple[LensCell, ...]

    @property
    def title(self) -> str:
        """Whose, and where."""
        return f"lens #{self.exchange} {visible_line(self.model)} @{self.position}"

    def rows(self, width: int) -> Sequence[Row]:
        """A line for each layer, the last on top."""
        read = piece_text(b"".join(self.before))
        body = [self._line(number) for number in range(len(self.layers) - 1, -1, -1)]
        follows = "the end" if self.following is None else (piece_text(self.following) or "∅")
        heading = ("layer", "predicts", "p", "bits", "rank of next", "KL, bits", "")
        return [
            (Span(read[-max(1, width - len(follows) - 4) :], "strong"), Span(f" → {follows}", "muted")),
            *table(heading, body, right=(0, 2, 3, 4, 5), width=width, names=2),
        ]

    def _line(self, number: int) -> list[Span | str]:
        cell = self.layers[number]
        kl = nats_to_bits(cell.kl)
        return [
            str(number),
            Span(_piece(cell.piece, 24) + (" =" if cell.rank == 0 else ""), "strong"),
            f"{math.exp(cell.raw_lp):.2%}",
            f"{-nats_to_bits(cell.raw_lp):.2f}",
            "–" if cell.rank is None else f"{cell.rank:,}",
            Span(f"{kl:.3f}", heat(kl)),
            Span(bar(min(1.0, kl / 12)), "muted"),
        ]


def _cell(cell: LensCell) -> Span:
    bits = nats_to_bits(cell.kl)
    sign = "=" if cell.rank == 0 else " "
    return Span(f"{_piece(cell.piece, PIECE)}{sign}{MARKS[level(bits)]}", heat(bits))


def _piece(piece: bytes, width: int) -> str:
    return cut(piece_text(piece) or "∅", width)
