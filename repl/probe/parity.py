"""Is it the same model in two backends? Both read the same texts, and every number is compared.

Where the vocabularies have one fingerprint, the whole distributions are. Otherwise tokens are matched by the
bytes they stand for: those of the text, and the likeliest that both tell; the KL is then a lower bound.
"""

import math
from collections.abc import Sequence
from typing import Literal

import msgspec

from repl.messages import Step
from repl.probe.divergence import at_least, unpacked
from repl.probe.figure import Figure, Row, Span, nats_to_bits, piece_text, plural
from repl.probe.parting import between
from repl.probe.spots import CONTEXT
from repl.probe.table import marked, phrases, table, wrapped
from repl.safe import visible_line

TOLERANCES = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 2e-1}
"""The largest difference of a log-probability, in nats, that rounding explains, by dtype."""
COARSE = 0.5
"""The same for what is quantised or unknown."""
CERTAIN = 1e-6
"""A probability from which on it matters that the other model rules the token out."""

Cause = Literal["tokens", "numbers"]


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """The first position at which the two are not the same."""

    text: int
    """Which text, from 1."""
    position: int
    """Which token, from 0."""
    cause: Cause
    """``tokens``: the text is taken apart differently; ``numbers``: the distributions differ."""
    before: bytes
    piece_a: bytes
    piece_b: bytes
    nats_a: float | None
    nats_b: float | None
    difference: float | None
    """The largest there, in nats."""


class Parity(Figure, frozen=True, kw_only=True):
    """The verdict, and what it rests on."""

    name = "parity"

    a: str
    b: str
    matched: Literal["ids", "bytes"]
    """Tokens were matched by their ids, the vocabularies being one, or by their bytes."""
    tolerance: float
    """In nats."""
    passed: bool
    texts: int
    positions: int
    compared: int
    """Log-probabilities compared."""
    largest: float
    """Difference of a log-probability, in nats."""
    mean_kl: float
    """KL(a || b) in nats; a lower bound where tokens were matched by their bytes."""
    first_choices: int
    """Positions where the first choice is the same."""
    failure: Failure | None
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Who is compared."""
        return f"parity of {self.a} and {self.b}"

    def rows(self, width: int) -> Sequence[Row]:
        """The verdict first."""
        verdict = Span("✓ pass", "good") if self.passed else Span("✗ fail", "bad")
        count = f"{plural(self.positions, 'token')} of {plural(self.texts, 'text')}"
        head = f"  {self.a} and {self.b}: {count}"
        sign = "=" if self.matched == "ids" else ">="
        by = "one vocabulary" if self.matched == "ids" else "tokens matched by their bytes"
        found: list[Row] = [(verdict, Span(visible_line(head), "strong"))]
        if self.positions:
            found += phrases(
                (
                    f"max |Δ ln p| {self.largest:.3g} (tolerance {self.tolerance:g})",
                    f"{self.compared:,} compared",
                    f"mean KL {sign} {nats_to_bits(self.mean_kl):.3g} bits",
                    f"same first choice at {self.first_choices:,} of {self.positions:,}",
                    by,
                ),
                width,
            )
        else:
            found.append((Span("no number could be compared", "warning"),))
        found += marked(self.notes, width)
        return found if self.failure is None else [*found, (), *self._failure(self.failure, width)]

    def _failure(self, failure: Failure, width: int) -> list[Row]:
        before = piece_text(failure.before.decode(errors="replace")[-CONTEXT:].encode())
        what = "the text is taken apart differently" if failure.cause == "tokens" else "the numbers differ"
        head = f"first at token {failure.position} of text {failure.text}: {what}"
        body: list[list[Span | str]] = []
        for name, piece, nats in (
            (self.a, failure.piece_a, failure.nats_a),
            (self.b, failure.piece_b, failure.nats_b),
        ):
            number = "–" if nats is None else f"{nats:.6f}"
            body.append([visible_line(name), Span(piece_text(piece) or "∅", "chosen"), number])
        numbers = table(("", "token", "ln p"), body, width=width)
        return [*wrapped(head, "heading", width), (Span(before[1 - width :] + "▏", "muted"),), *numbers]


class _Place(msgspec.Struct):
    """What was found at one position."""

    compared: int
    largest: float
    kl: float
    same_choice: bool


def tolerance(*dtypes: str) -> float:
    """What the coarsest of these dtypes is allowed."""
    return max(TOLERANCES.get(dtype, COARSE) for dtype in dtypes)


class Compared(msgspec.Struct):
    """What was found in one text."""

    places: list[_Place]
    failure: Failure | None


def compare(
    number: int, a: Sequence[Step], b: Sequence[Step], *, one_vocabulary: bool, allowed: float
) -> Compared:
    """Compare what both made of text ``number``; ``allowed`` is the tolerance."""
    places: list[_Place] = []
    failure: Failure | None = None
    shared = _shared(a, b)
    for at in range(shared):
        place = _compare(a[at], b[at], one_vocabulary=one_vocabulary)
        if place is None:
            continue
        places.append(place)
        if failure is None and not place.largest <= allowed:
            failure = _failure(number, at, "numbers", a, b, place.largest)
    if failure is None and shared < max(len(a), len(b)):
        failure = _failure(number, shared, "tokens", a, b, None)
    return Compared(places, failure)


def parity(
    a: str,
    b: str,
    texts: Sequence[Compared],
    *,
    one_vocabulary: bool,
    allowed: float,
    notes: Sequence[str] = (),
) -> Parity:
    """The verdict on all texts, in their order."""
    places = [place for text in texts for place in text.places]
    failure = next((text.failure for text in texts if text.failure is not None), None)
    return Parity(
        a=a,
        b=b,
        matched="ids" if one_vocabulary else "bytes",
        tolerance=allowed,
        passed=failure is None and bool(places),
        texts=len(texts),
        positions=len(places),
        compared=sum(place.compared for place in places),
        largest=_largest([place.largest for place in places]),
        mean_kl=sum(place.kl for place in places) / len(places) if places else math.nan,
        first_choices=sum(place.same_choice for place in places),
        failure=failure,
        notes=tuple(notes),
    )


def _largest(differences: Sequence[float]) -> float:
    """nan where one of them is, or there is none."""
    if not differences or any(math.isnan(difference) for difference in differences):
        return math.nan
    return max(differences)


def _shared(a: Sequence[Step], b: Sequence[Step]) -> int:
    """How many tokens both take the text apart into alike, white space at their ends aside."""
    pairs = zip(a, b, strict=False)
    return next(
        (at for at, (x, y) in enumerate(pairs) if _key(x.piece) != _key(y.piece)), min(len(a), len(b))
    )


def _key(piece: bytes) -> bytes:
    """What a token is matched by: backends differ in which side of a word its space belongs to."""
    return piece.strip() or piece


def _compare(a: Step, b: Step, *, one_vocabulary: bool) -> _Place | None:
    """The two at one position; None where neither has a number."""
    if a.raw_lp is None or b.raw_lp is None:
        return None
    if one_vocabulary and a.distribution and b.distribution:
        return _whole(a, b)
    known_a, known_b = _known(a), _known(b)
    common = known_a.keys() & known_b.keys()
    found = at_least(known_a, known_b, same_argmax=None)
    return _Place(
        compared=len(common),
        largest=max(_apart(known_a[key], known_b[key]) for key in common),
        kl=found.kl,
        same_choice=_first(a) == _first(b),
    )


def _whole(a: Step, b: Step) -> _Place:
    import numpy as np

    rows = unpacked(a.distribution, b.distribution)
    found = between(a, b)
    assert found is not None  # both have distributions
    finite = np.isfinite(rows[0]) & np.isfinite(rows[1])
    largest = float(np.abs(rows[0][finite] - rows[1][finite]).max(initial=0.0))
    for row, other in (rows, rows[::-1]):
        if (np.isneginf(other) & (row > math.log(CERTAIN))).any():
            largest = math.inf
    if any(np.isnan(row).any() for row in rows):
        largest = math.nan
    return _Place(
        compared=int(finite.sum()), largest=largest, kl=found.kl, same_choice=bool(found.same_argmax)
    )


def _known(step: Step) -> dict[bytes, float]:
    """Log-probabilities by bytes; pieces that stand for several tokens are left out."""
    found: dict[bytes, float] = {}
    twice: set[bytes] = set()
    for token, nats, piece in step.top:
        if token != step.token:
            key = _key(piece)
            twice |= {key} & found.keys()
            found[key] = nats
    own = _key(step.piece)
    return {key: nats for key, nats in found.items() if key not in twice | {own}} | {own: step.raw_lp or 0.0}


def _first(step: Step) -> bytes | None:
    return _key(step.top[0][2]) if step.top else None


def _apart(a: float, b: float) -> float:
    return 0.0 if a == b else abs(a - b)


def _failure(
    text: int, at: int, cause: Cause, a: Sequence[Step], b: Sequence[Step], difference: float | None
) -> Failure:
    here_a, here_b = (steps[at] if at < len(steps) else None for steps in (a, b))
    return Failure(
        text=text,
        position=at,
        cause=cause,
        before=b"".join(step.piece for step in a[:at]),
        piece_a=here_a.piece if here_a is not None else b"",
        piece_b=here_b.piece if here_b is not None else b"",
        nats_a=here_a.raw_lp if here_a is not None else None,
        nats_b=here_b.raw_lp if here_b is not None else None,
        difference=difference,
    )
