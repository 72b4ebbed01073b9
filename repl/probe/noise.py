"""What a model's own arithmetic does to its numbers: the same tokens read in several ways.

A difference between two models means nothing while the same model, read twice, differs as much.
"""

from collections.abc import Sequence

import msgspec

from repl.messages import Step
from repl.probe.divergence import unpacked
from repl.probe.figure import Figure, Row, Span, nats_to_bits, plural
from repl.probe.parting import between
from repl.probe.table import marked, table, wrapped
from repl.safe import visible_line


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way to read, against the first reading."""

    way: str
    """In words."""
    exchange: int | None = None
    """Number of the reading in the record."""
    batch: int | None = None
    """Rows it shared a pass with, itself included."""
    bit_equal: bool | None = None
    """Every number is the same; None where it could not be read so."""
    difference: float | None = None
    """The largest of a log-probability of the text's tokens, in nats."""
    widest: float | None = None
    """The largest of any token's log-probability, in nats; None where not all are known."""
    flips: int | None = None
    """Positions whose first choice is another."""
    js: float | None = None
    """The largest, in nats."""
    parted: int | None = None
    """The token from which on something else was written, where it was; what follows cannot be compared."""
    why_not: str = ""
    """Why it could not be read so."""


class Noise(Figure, frozen=True, kw_only=True):
    """A model's noise floor."""

    name = "noise"

    model: str
    dtype: str
    positions: int
    along: int | None
    ways: tuple[Way, ...]
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Whose noise."""
        return f"noise of {self.model}"

    @property
    def floor_js(self) -> float | None:
        """The largest JS seen in any way, in nats; None where none was measured."""
        return max((way.js for way in self.ways if way.js is not None), default=None)

    def rows(self, width: int) -> Sequence[Row]:
        """A line for each way."""
        along = f" of #{self.along}" if self.along is not None else ""
        count = plural(self.positions, "token")
        head = f"{self.model} ({self.dtype or 'unknown dtype'}), {count}{along} read again"
        body: list[list[Span | str]] = [_line(way) for way in self.ways if way.bit_equal is not None]
        heading = ("", "batch", "max |Δ ln p|", "of any token", "flips", "max JS bits", "")
        found: list[Row] = [
            *wrapped(head, "strong", width),
            *table(heading, body, right=(1, 2, 3, 4, 5), width=width),
        ]
        for way in self.ways:
            if way.bit_equal is None:
                found += wrapped(f"{way.way}: {way.why_not}", "muted", width)
        found += marked(self.notes, width)
        if self.floor_js:
            words = f"/diverge marks what is within JS {nats_to_bits(self.floor_js):.3g} bits with ~"
            found += wrapped(words, "muted", width)
        return found


def _line(way: Way) -> list[Span | str]:
    verdict = Span("= bit for bit", "good") if way.bit_equal else Span("≠ differs", "warning")
    if way.parted is not None:
        verdict = Span(f"≠ writes another token {way.parted}", "bad")
    return [
        visible_line(way.way),
        "" if way.batch is None else f"{way.batch}",
        "–" if way.difference is None else f"{way.difference:.3g}",
        "–" if way.widest is None else f"{way.widest:.3g}",
        "–" if way.flips is None else f"{way.flips}",
        "–" if way.js is None else f"{nats_to_bits(way.js):.3g}",
        verdict,
    ]


def against(
    first: Sequence[Step],
    again: Sequence[Step],
    way: str,
    *,
    exchange: int | None = None,
    batch: int | None = None,
) -> Way:
    """Compare a reading with the first one, up to the first token that is another."""
    parted = next(
        (at for at, (a, b) in enumerate(zip(first, again, strict=False)) if a.token != b.token), None
    )
    if parted is None and len(again) < len(first):
        parted = len(again)
    until = None if parted is None else parted + 1
    pairs = list(zip(first[:until], again[:until], strict=False))
    moved = [
        abs(a.raw_lp - b.raw_lp)
        for a, b in pairs
        if a.token == b.token and a.raw_lp is not None and b.raw_lp is not None and a.raw_lp != b.raw_lp
    ]
    found = [x for a, b in pairs if (x := between(a, b)) is not None]
    known = [x.same_argmax for x in found if x.same_argmax is not None]
    whole = all(a.distribution and b.distribution for a, b in pairs)
    return Way(
        way=way,
        exchange=exchange,
        batch=batch,
        parted=parted,
        bit_equal=parted is None
        and all(_numbers(a, whole=whole) == _numbers(b, whole=whole) for a, b in pairs),
        difference=max(moved, default=0.0),
        widest=max((_widest(a, b) for a, b in pairs), default=0.0) if whole else None,
        flips=known.count(False) if known else None,
        js=max((x.js for x in found), default=None) if whole else None,
    )


def _widest(a: Step, b: Step) -> float:
    """The largest change of a log-probability; what is -inf in both has none."""
    import numpy as np

    first, second = unpacked(a.distribution, b.distribution)
    moved = first != second
    return float(np.abs(first[moved] - second[moved]).max(initial=0.0))


def _numbers(step: Step, *, whole: bool) -> object:
    return (step.token, step.raw_lp, step.distribution if whole else b"")
