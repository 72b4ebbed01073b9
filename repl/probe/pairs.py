"""Minimal pairs: which of two texts a model finds likelier, and how often it is right over many."""

import math
from collections.abc import Sequence
from typing import ClassVar

import msgspec

from repl.probe.figure import Figure, Row, Span, heat, nats_to_bits, piece_text, plural
from repl.probe.heatmap import Reading, remarks
from repl.probe.spans import diff
from repl.probe.table import cut, table
from repl.safe import visible_line

SHOWN = 20
"""Pairs listed that a model gets wrong."""
Z = 1.959963984540054
"""The standard normal's 97.5 % point: intervals hold in 95 of 100 cases."""


class Pair(msgspec.Struct, frozen=True, kw_only=True):
    """Two texts as one model finds them."""

    a: Reading
    b: Reading

    DERIVED: ClassVar = ("difference",)

    @property
    def difference(self) -> float:
        """ln P(A) - ln P(B), in nats: above 0 where A is likelier. 0 if both are impossible."""
        a, b = self.a.totals.nats, self.b.totals.nats
        return 0.0 if a == b else a - b


class MinimalPair(Figure, frozen=True, kw_only=True):
    """Two texts as several models find them."""

    name = "minpair"

    a: str
    b: str
    pairs: tuple[Pair, ...]

    @property
    def title(self) -> str:
        """What the figures are."""
        return "ln P(A) - ln P(B)"

    def rows(self, width: int) -> Sequence[Row]:
        """A line for each model, then its tokens side by side where the texts differ."""
        found: list[Row] = [
            (Span("A ", "strong"), Span(cut(visible_line(self.a.strip()), width - 2))),
            (Span("B ", "strong"), Span(cut(visible_line(self.b.strip()), width - 2))),
        ]
        body = [_verdict(pair) for pair in self.pairs]
        heading = ("", "prefers", "difference", "", "nats A", "nats B", "bits/byte A", "bits/byte B")
        found += table(heading, body, right=(2, 4, 5, 6, 7), width=width)
        for pair in self.pairs:
            found += [(), (Span(visible_line(pair.a.model), "strong"),)]
            found += [*remarks(pair.a, width), *aligned(pair, width)]
        return found


def aligned(pair: Pair, width: int) -> list[Row]:
    """The tokens of both texts side by side, matched on their bytes; ``≠`` where they differ."""
    a, b = pair.a.tokens, pair.b.tokens
    body: list[list[Span | str]] = []
    for block in diff([token.piece for token in a], [token.piece for token in b]):
        mine, other = a[slice(*block.a)], b[slice(*block.b)]
        sums = [
            math.fsum(token.bits for token in side if token.bits is not None) if side else None
            for side in (mine, other)
        ]
        changed = block.kind != "same"
        body.append(
            [
                Span("≠" if changed else " ", "warning"),
                *_side([token.piece for token in mine], sums[0], "removed" if changed else "", width),
                *_side([token.piece for token in other], sums[1], "added" if changed else "", width),
                f"{(sums[1] or 0.0) - (sums[0] or 0.0):+.2f}",
            ]
        )
    return table(("", "A", "bits", "B", "bits", "B - A, bits"), body, right=(2, 4, 5), width=width, names=2)


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """One pair of a file, by one model."""

    line: int
    """Counted from 1."""
    good: str
    bad: str
    group: str = ""
    nats: float | None = None
    """ln P(good) - ln P(bad); None where it could not be had."""
    error: str = ""

    DERIVED: ClassVar = ("right",)

    @property
    def right(self) -> bool:
        """The good one is likelier; a tie is wrong."""
        return self.nats is not None and self.nats > 0


class Accuracy(msgspec.Struct, frozen=True, kw_only=True):
    """How often a model is right."""

    right: int
    count: int
    ties: int = 0

    DERIVED: ClassVar = ("share", "interval")

    @property
    def share(self) -> float:
        """Of the pairs that could be judged; nan if there are none."""
        return self.right / self.count if self.count else math.nan

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval."""
        return wilson(self.right, self.count)


class Judgement(msgspec.Struct, frozen=True, kw_only=True):
    """A file's pairs, by one model."""

    model: str
    judged: tuple[Judged, ...]

    DERIVED: ClassVar = ("accuracy", "groups", "margin")

    @property
    def accuracy(self) -> Accuracy:
        """Over all pairs."""
        return accuracy(self.judged)

    @property
    def groups(self) -> dict[str, Accuracy]:
        """Over the pairs of each group, where the file names groups."""
        names = dict.fromkeys(pair.group for pair in self.judged if pair.group)
        return {name: accuracy([p for p in self.judged if p.group == name]) for name in names}

    @property
    def margin(self) -> float:
        """Mean difference in nats of the pairs that could be judged; nan without any."""
        known = [p.nats for p in self.judged if p.nats is not None]
        return math.fsum(known) / len(known) if known and all(map(math.isfinite, known)) else math.nan


class PairReport(Figure, frozen=True, kw_only=True):
    """The pairs of a file, by several models."""

    name = "minpairs"

    file: str
    judgements: tuple[Judgement, ...]

    @property
    def title(self) -> str:
        """What was read."""
        return f"{plural(len(self.judgements[0].judged), 'pair')} of {visible_line(self.file)}"

    def rows(self, width: int) -> Sequence[Row]:
        """A line for each model and group, then the pairs each model gets most wrong."""
        heading = ["", "right", "of", "accuracy", "95 % interval", "ties", "mean difference"]
        heading += ["failed"] if any(p.nats is None for j in self.judgements for p in j.judged) else []
        body = [line[: len(heading)] for j in self.judgements for line in _accuracies(j)]
        found = table(heading, body, right=(1, 2, 3, 5, 6, 7), width=width)
        for judgement in self.judgements:
            found += _mistakes(judgement, width)
        return found


def accuracy(judged: Sequence[Judged]) -> Accuracy:
    """Over the pairs that could be judged."""
    known = [pair for pair in judged if pair.nats is not None]
    return Accuracy(
        right=sum(pair.right for pair in known),
        count=len(known),
        ties=sum(pair.nats == 0 for pair in known),
    )


def wilson(right: int, count: int, z: float = Z) -> tuple[float, float]:
    """Wilson's score interval of a share; 0 to 1 where nothing was counted."""
    if not count:
        return (0.0, 1.0)
    share, square = right / count, z * z
    middle = (share + square / (2 * count)) / (1 + square / count)
    half = z / (1 + square / count) * math.sqrt(share * (1 - share) / count + square / (4 * count**2))
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return (low if right else 0.0, high if right < count else 1.0)


def _verdict(pair: Pair) -> list[Span | str]:
    a, b, by = pair.a.totals, pair.b.totals, pair.difference
    return [
        Span(visible_line(pair.a.model), "strong"),
        Span("A" if by > 0 else "B" if by < 0 else "neither", "chosen"),
        f"{by:+.4f} nats",
        f"{nats_to_bits(by):+.3f} bits",
        f"{a.nats:,.4f}",
        f"{b.nats:,.4f}",
        f"{a.bits_per_byte:.3f}" if a.bytes else "–",
        f"{b.bits_per_byte:.3f}" if b.bytes else "–",
    ]


def _side(pieces: Sequence[bytes], bits: float | None, style: str, width: int) -> list[Span | str]:
    room = max(12, (width - 36) // 2)
    text = "|".join(piece_text(piece) or "∅" for piece in pieces)
    return [Span(cut(text, room), style), "" if bits is None else Span(f"{bits:.2f}", heat(bits))]


def _accuracies(judgement: Judgement) -> list[list[Span | str]]:
    failed = sum(pair.nats is None for pair in judgement.judged)
    whole = _accuracy(judgement.accuracy, Span(visible_line(judgement.model), "strong"))
    found = [[*whole, f"{judgement.margin:+.4f} nats", f"{failed:,}" if failed else ""]]
    groups = judgement.groups
    if len(groups) > 1:
        found += [
            [*_accuracy(figures, Span(f"  {cut(visible_line(name), 48)}")), "", ""]
            for name, figures in groups.items()
        ]
    return found


def _accuracy(figures: Accuracy, name: Span) -> list[Span | str]:
    low, high = figures.interval
    return [
        name,
        f"{figures.right:,}",
        f"{figures.count:,}",
        f"{figures.share:.2%}",
        f"{low:.2%} to {high:.2%}",
        f"{figures.ties:,}" if figures.ties else "",
    ]


def _mistakes(judgement: Judgement, width: int) -> list[Row]:
    wrong = sorted(
        (pair for pair in judgement.judged if pair.nats is not None and not pair.right),
        key=lambda pair: pair.nats or 0.0,
    )
    failed = [pair for pair in judgement.judged if pair.nats is None]
    if not wrong and not failed:
        return []
    room = max(16, (width - 20) // 2)
    body: list[list[Span | str]] = [
        [
            f"{pair.line:,}",
            f"{pair.nats:+.3f}",
            cut(visible_line(pair.good), room),
            cut(visible_line(pair.bad), room),
        ]
        for pair in wrong[:SHOWN]
    ]
    model = visible_line(judgement.model)
    found: list[Row] = [(), (Span(f"{model} gets wrong", "heading"), Span(f"  {len(wrong):,}", "muted"))]
    if body:
        found += table(("line", "nats", "should be likelier", "than"), body, right=(0, 1), width=width)
    if len(wrong) > SHOWN:
        found.append((Span(f"and {len(wrong) - SHOWN:,} more", "muted"),))
    return found + [(Span(f"✗ line {p.line}: {visible_line(p.error)}", "bad"),) for p in failed[:SHOWN]]
