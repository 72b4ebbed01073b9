"""Two models of different vocabularies read one text: their surprisals, aligned on the bytes."""

from collections.abc import Sequence

import msgspec

from repl.probe.figure import Figure, Row, Span, nats_to_bits, piece_text, plural
from repl.probe.spans import Block, diff
from repl.probe.strip import strip
from repl.probe.table import cut, marked, phrases, table
from repl.probe.tokens import Token, totals
from repl.safe import visible_line

WIDEST = 10
"""Gaps listed with their numbers."""


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """One model's reading of the text."""

    model: str
    exchange: int
    tokens: tuple[Token, ...]
    """The piece of each is what it adds to the text."""


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of text that both tokenizers delimit."""

    piece: bytes
    offset: int
    """Of its first byte."""
    tokens_a: int
    tokens_b: int
    nats_a: float | None
    """Summed log-probability of its tokens; None where one has none."""
    nats_b: float | None
    alike: bool = True
    """Both read the same there, white space aside; one may have normalised it or not know a word."""

    @property
    def bits(self) -> float | None:
        """How much more surprised the second model is."""
        if self.nats_a is None or self.nats_b is None or not self.alike:
            return None
        return nats_to_bits(self.nats_a - self.nats_b)


class Gaps(Figure, frozen=True, kw_only=True):
    """The surprisals of two models side by side."""

    name = "gaps"

    a: Read
    b: Read
    along: int | None
    gaps: tuple[Gap, ...]
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Who is compared."""
        return f"surprisal of {self.a.model} and {self.b.model}"

    def rows(self, width: int) -> Sequence[Row]:
        """Totals, a strip of the differences, and the widest of them in numbers."""
        found: list[Row] = marked(self.notes, width)
        for read in (self.a, self.b):
            sums = totals(read.tokens)
            words = f"  {plural(sums.tokens, 'token')} · {sums.bits_per_byte:.3f} bits/byte"
            found.append(
                (Span(visible_line(f"{read.model} #{read.exchange}"), "strong"), Span(words, "muted"))
            )
        bits = [gap.bits for gap in self.gaps]
        full = max((abs(value) for value in bits if value is not None), default=0.0)
        ruler = (
            f"▇ = {full:.3g} bits apart",
            f"+ more surprising to {self.b.model}, - less",
            "≠ not one text",
        )
        found += [(), *phrases([visible_line(part) for part in ruler], width, "muted")]
        found += strip(
            [None if value is None else abs(value) for value in bits],
            width,
            marks=[_mark(gap) for gap in self.gaps],
            muted=[False] * len(bits),
            full=full,
        )
        return [*found, (), *self._widest(width)]

    def _widest(self, width: int) -> list[Row]:
        known = [(abs(gap.bits), at) for at, gap in enumerate(self.gaps) if gap.bits]
        body: list[list[Span | str]] = []
        for _, at in sorted(known, key=lambda pair: (-pair[0], pair[1]))[:WIDEST]:
            gap = self.gaps[at]
            bits = [-nats_to_bits(nats) for nats in (gap.nats_a, gap.nats_b) if nats is not None]
            difference = f"{gap.bits:+.2f}"
            shown = cut(piece_text(gap.piece), 24)
            body.append([f"{at}", f"{gap.offset}", shown, *(f"{value:.2f}" for value in bits), difference])
        names = [visible_line(read.model) for read in (self.a, self.b)]
        heading = ("", "byte", "text", *names, "bits")
        return table(heading, body, right=(0, 1, 3, 4, 5), width=width, names=3) if body else []


def gaps(a: Read, b: Read, *, along: int | None = None, notes: Sequence[str] = ()) -> Gaps:
    """Compare two readings of one text; raises ``ValueError`` where they have nothing in common."""
    found = tuple(_gap(a, b, block) for block in diff(_pieces(a), _pieces(b)))
    if not any(gap.alike for gap in found):
        raise ValueError("the tokens are not of the same text")
    return Gaps(a=a, b=b, along=along, gaps=found, notes=tuple(notes))


def _gap(a: Read, b: Read, block: Block) -> Gap:
    piece_a, piece_b = (b"".join(_pieces(x)[slice(*at)]) for x, at in ((a, block.a), (b, block.b)))
    return Gap(
        piece=piece_a,
        offset=block.bytes_a[0],
        tokens_a=block.a[1] - block.a[0],
        tokens_b=block.b[1] - block.b[0],
        nats_a=_summed(a.tokens[slice(*block.a)]),
        nats_b=_summed(b.tokens[slice(*block.b)]),
        alike=piece_a.split() == piece_b.split(),
    )


def _pieces(read: Read) -> list[bytes]:
    return [token.piece for token in read.tokens]


def _mark(gap: Gap) -> str:
    if not gap.alike:
        return "≠"
    return " " if not gap.bits else "+" if gap.bits > 0 else "-"


def _summed(found: Sequence[Token]) -> float | None:
    nats = [token.nats for token in found]
    return None if None in nats else sum(value for value in nats if value is not None)
