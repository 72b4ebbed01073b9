"""Tokens as probes see them, and the quantities that come from their log-probabilities.

Log-probabilities are in nats (natural logarithms), surprisals in bits: ``-log2 p``.
"""

import math
from collections.abc import Iterable, Sequence
from typing import ClassVar, Literal

import msgspec

from repl.messages import Step
from repl.probe.figure import LEVELS, level, nats_to_bits

Heat = Literal["bits", "rank", "entropy"]
"""What the heat of a token tells: its surprisal, its rank in doublings, or the entropy where it stands."""


class Alternative(msgspec.Struct, frozen=True, kw_only=True):
    """A token that could have stood there."""

    id: int
    piece: bytes
    nats: float


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """One token of an answer or of a scored text."""

    id: int
    piece: bytes
    nats: float | None = None
    """``Step.raw_lp``; None where nothing stands before it."""
    rank: int | None = None
    entropy: float | None = None
    """Of the model's distribution there, in nats."""
    top: tuple[Alternative, ...] = ()
    forced: bool = False
    size: int | None = None
    """Bytes that it adds to the visible text, an end token none; None where only the piece is known."""

    DERIVED: ClassVar = ("bits",)

    @property
    def bits(self) -> float | None:
        """Surprisal."""
        return None if self.nats is None else -nats_to_bits(self.nats)

    def heat(self, kind: Heat = "bits") -> int | None:
        """Its step of the heat scale, 0 to ``LEVELS`` - 1; None where the figure is not known."""
        match kind:
            case "rank":
                return None if self.rank is None else min(LEVELS - 1, self.rank.bit_length())
            case "entropy":
                return None if self.entropy is None else level(nats_to_bits(self.entropy))
            case "bits":
                return None if self.bits is None else level(self.bits)


def tokens(steps: Iterable[Step]) -> tuple[Token, ...]:
    """The steps without what only an engine needs."""
    found = list(steps)
    told = any(step.text for step in found)
    return tuple(
        Token(
            id=s.token,
            piece=_spoken(s),
            nats=s.raw_lp,
            rank=s.rank,
            entropy=s.entropy,
            top=tuple(Alternative(id=t, piece=piece, nats=lp) for t, lp, piece in s.top),
            forced=s.forced,
            size=len(s.text.encode()) if told else None,
        )
        for s in found
    )


def _spoken(step: Step) -> bytes:
    """The token's bytes, with the space before it where only the text has that: words of a dictionary."""
    text = step.text.encode()
    return text if step.piece and text.lstrip(b" ") == step.piece else step.piece


LEGIBLE = 1e9
"""A perplexity that is written out."""


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """A text's log-probability, and what is derived from it."""

    tokens: int
    """Those that have a log-probability."""
    bytes: int
    """That these tokens add to the visible text."""
    nats: float
    """Sum of the log-probabilities."""

    DERIVED: ClassVar = ("bits_per_token", "bits_per_byte", "perplexity")

    @property
    def bits_per_token(self) -> float:
        """Mean surprisal; nan without tokens."""
        return -nats_to_bits(self.nats) / self.tokens if self.tokens else math.nan

    @property
    def bits_per_byte(self) -> float:
        """Comparable between models with different tokenizers; nan without bytes."""
        return -nats_to_bits(self.nats) / self.bytes if self.bytes else math.nan

    @property
    def perplexity(self) -> float:
        """exp of the mean negative log-probability of a token; inf where that is too large to hold."""
        if not self.tokens:
            return math.nan
        try:
            return math.exp(-self.nats / self.tokens)
        except OverflowError:
            return math.inf

    def cells(self) -> tuple[str, ...]:
        """For a table, under ``SUMS``."""
        return (
            f"{self.nats:,.4f}",
            f"{self.tokens:,}",
            f"{self.bits_per_token:.3f}",
            f"{self.bits_per_byte:.3f}" if self.bytes else "–",
            self.shown_perplexity,
        )

    @property
    def shown_perplexity(self) -> str:
        """In as many digits as can be read."""
        return f"{self.perplexity:,.2f}" if self.perplexity < LEGIBLE else f"{self.perplexity:.3g}"


SUMS = ("nats", "tokens", "bits/token", "bits/byte", "perplexity")
"""The headings of ``Totals.cells``."""


def totals(found: Sequence[Token]) -> Totals:
    """Of the tokens that have a log-probability."""
    scored = [token for token in found if token.nats is not None]
    return Totals(
        tokens=len(scored),
        bytes=sum(len(token.piece) if token.size is None else token.size for token in scored),
        nats=math.fsum(token.nats for token in scored if token.nats is not None),
    )
