"""An answer and its replay: whether they are the same and, if not, what may have made the difference."""

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

import msgspec

from repl.messages import Step
from repl.probe.figure import Figure, Row, Span, nats_to_bits, piece_text, plural
from repl.probe.table import table, wrapped
from repl.safe import visible_line

Verdict = Literal["equal", "differs", "failed"]

CAUSES = (
    *("checkpoint", "vocabulary", "path", "backend", "options", "prompt template", "prompt tokens"),
    *("parameters", "dtype", "package", "device", "batch", "padding", "replica"),
)
"""Kinds of circumstance, the likeliest to change an answer first."""


NAMED = 6
"""Answers named with their cause."""
ROUNDING = {"float32": 1e-4, "float16": 0.05, "bfloat16": 0.4}
"""Nats that a log-probability moves by, at most, when only the batch differs, for each dtype."""


class Circumstance(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it was."""

    kind: str
    """One of ``CAUSES``."""
    name: str
    """What of it: the package, say; often the kind itself."""
    was: str
    now: str

    @property
    def words(self) -> str:
        """In a few words."""
        return f"{self.name} was {self.was or 'unknown'}, is {self.now or 'unknown'}"


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """Two answers, token by token."""

    first: int | None
    """Index of the first token that differs, or that only one of them has; None where none does."""
    compared: int
    """Tokens compared before that."""
    largest: float | None
    """Greatest difference of two log-probabilities of these, in nats; None where they have none."""
    moved: int
    """How many of these are not the same number, bit for bit."""


def compare(was: Sequence[Step], now: Sequence[Step], *, partial: bool = False) -> Comparison:
    """Tokens, and the raw and search log-probabilities of equal ones.

    ``partial`` says that the first was broken off: what goes on behind it is no difference.
    """
    first: int | None = None
    for at, (a, b) in enumerate(zip(was, now, strict=False)):
        if a.token != b.token:
            first = at
            break
    else:
        if len(was) > len(now) or (len(was) < len(now) and not partial):
            first = min(len(was), len(now))
    same = min(len(was), len(now)) if first is None else first
    gaps = [
        0.0 if x == y else abs(x - y)
        for a, b in zip(was[:same], now[:same], strict=True)
        for x, y in ((a.raw_lp, b.raw_lp), (a.search_lp, b.search_lp))
        if x is not None and y is not None
    ]
    return Comparison(
        first=first,
        compared=same,
        largest=max(gaps, default=None),
        moved=sum(gap != 0 for gap in gaps),
    )


def changed(was: Mapping[tuple[str, str], str], now: Mapping[tuple[str, str], str]) -> list[Circumstance]:
    """What differs between two sets of circumstances, each ``(kind, name) -> value``; likeliest cause first.

    What only one of them knows, such as the version of a package not installed, counts as a difference.
    """
    found = [
        Circumstance(kind=key[0], name=key[1], was=was.get(key, ""), now=now.get(key, ""))
        for key in dict.fromkeys((*was, *now))
        if was.get(key, "") != now.get(key, "")
    ]
    return sorted(found, key=lambda c: CAUSES.index(c.kind))


def allowance(lane: str, dtype: str) -> float:
    """Nats by which numbers may differ and still be equal: none on the exact lane, which repeats itself."""
    return 0.0 if lane == "exact" else ROUNDING.get(dtype, max(ROUNDING.values()))


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """One answer asked again."""

    exchange: int
    again: int
    """The number of the replay."""
    model: str
    verdict: Verdict
    comparison: Comparison
    was: bytes = b""
    """The first token that differs; empty where there is none."""
    now: bytes = b""
    other: str = ""
    """What else differs where the tokens do not: the hypotheses, the reading, the text."""
    circumstances: tuple[Circumstance, ...] = ()
    lane: str = "fast"
    error: str = ""
    within: float = 0.0
    """Nats by which log-probabilities may differ and still be equal."""

    DERIVED: ClassVar = ("numbers_equal",)

    @property
    def numbers_equal(self) -> bool:
        """No log-probability of the equal tokens has moved further than it may."""
        return (self.comparison.largest or 0.0) <= self.within

    @property
    def cause(self) -> str:
        """The likely cause of a difference; empty where there is none."""
        if self.verdict == "failed" or (self.verdict == "equal" and not self.comparison.moved):
            return ""
        causes = [c for c in self.circumstances if c.kind != "replica"]
        if causes:
            return causes[0].words
        if self.lane == "fast":
            return "nothing that was recorded; numbers of the fast lane depend on what else runs in the batch"
        return "nothing that was recorded: the model's own computation varies from run to run"

    @property
    def words(self) -> str:
        """The verdict in a sentence."""
        c = self.comparison
        if self.verdict == "failed":
            return self.error
        if c.first is not None:
            was, now = (piece_text(piece) or "∎" for piece in (self.was, self.now))
            return f"differs at @{c.first}: {was} → {now}"
        if self.other:
            return f"the tokens are equal, {self.other}"
        if not self.numbers_equal:
            return "the tokens are equal, the numbers are not"
        return f"equal, {plural(c.compared, 'token')}"

    @property
    def numbers(self) -> str:
        """What became of the log-probabilities."""
        c = self.comparison
        if c.largest is None:
            return "no numbers"
        if not c.moved:
            return "bit for bit"
        size = "∞" if math.isinf(c.largest) else f"{nats_to_bits(c.largest):.2g}"
        if self.numbers_equal:
            return f"equal within {size} bits"
        return f"{c.moved:,} differ, by up to {size} bits"


class Rerun(Figure, frozen=True, kw_only=True):
    """One or several answers asked again."""

    name = "rerun"

    replays: tuple[Replay, ...]

    @property
    def title(self) -> str:
        """How it came out."""
        equal = sum(replay.verdict == "equal" for replay in self.replays)
        return f"rerun · {equal:,} of {len(self.replays):,} equal"

    def rows(self, width: int) -> Sequence[Row]:
        """A table; below it what is not as it was, and the likely causes of differences."""
        signs = {"equal": Span("=", "good"), "differs": Span("≠", "bad"), "failed": Span("✗", "bad")}
        body = [
            (signs[r.verdict], f"#{r.exchange}", visible_line(r.model), visible_line(r.words), r.numbers)
            for r in self.replays
        ]
        found = table(("", "#", "model", "tokens", "numbers"), body, width=width, names=2)
        causes: dict[str, list[str]] = {}
        for r in self.replays:
            if r.cause:
                causes.setdefault(r.cause, []).append(f"#{r.exchange}")
        for cause, numbers in causes.items():
            named = " ".join(numbers[:NAMED]) + (" …" if len(numbers) > NAMED else "")
            found += wrapped(f"{named} likely cause: {cause}", "warning", width)
        others = dict.fromkeys(c.words for r in self.replays for c in r.circumstances)
        for words in others:
            found += [] if words in causes else wrapped(words, "muted", width)
        return found
