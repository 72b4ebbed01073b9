"""Two models read one text: how far apart they are at each of its tokens."""

from collections.abc import Sequence

import msgspec

from repl.messages import Step
from repl.probe.divergence import Apart, Kind, apart, at_least, normalised, unpacked
from repl.probe.figure import Figure, Row, nats_to_bits, plural
from repl.probe.spots import Spot, look, spot_at
from repl.probe.strip import strip
from repl.probe.table import marked, phrases, wrapped
from repl.probe.tokens import tokens, totals

NEGLIGIBLE = 1e-10
"""JS in nats up to which two distributions are one, rounded to float32 on different ways."""


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two models."""

    model: str
    exchange: int
    """Number of its reading in the record."""
    first_choices: int
    """Tokens that were its own first choice."""
    bits_per_byte: float


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """One token of the text."""

    id: int
    piece: bytes
    nats_a: float | None
    """Its log-probability under the first model."""
    nats_b: float | None
    apart: Apart | None
    """None where nothing stands before it."""


class Divergence(Figure, frozen=True, kw_only=True):
    """How far two models are apart along a text."""

    name = "divergence"

    a: Side
    b: Side
    along: int | None
    """The answer that both were forced along; None for a text of its own."""
    kind: Kind
    positions: tuple[Position, ...]
    first: int | None
    """The first position where the first choices differ, and beyond the noise where that is known."""
    worst: int | None
    """That of the greatest JS."""
    spots: tuple[Spot, ...]
    noise_js: float | None = None
    """What the models' own noise comes to, in nats: divergences up to that say nothing."""
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Who is compared."""
        return f"{self.a.model} and {self.b.model} apart"

    @property
    def known(self) -> list[Apart]:
        """Of all positions that have one."""
        return [position.apart for position in self.positions if position.apart is not None]

    def rows(self, width: int) -> Sequence[Row]:
        """The totals, a strip of JS with ≠ where the first choices differ, the alternatives at two spots."""
        seen = [None if p.apart is None else p.apart.js for p in self.positions]
        js = [None if x is None else nats_to_bits(x) if x > NEGLIGIBLE else 0.0 for x in seen]
        full = max((value for value in js if value is not None), default=0.0)
        found = [*self._summary(width), ()]
        sign = ">=" if self.kind == "lower_bound" else "="
        ruler = ("JS at each token", f"▇ {sign} {full:.3g} bits", "≠ other first choice", "▲ shown below")
        found += phrases(ruler, width, "muted")
        found += strip(
            js, width, marks=self._marks(), muted=[self._noisy(p.apart) for p in self.positions], full=full
        )
        names = (self.a.model, self.b.model)
        for spot in self.spots:
            position = self.positions[spot.index]
            found += [(), *look(spot, position.piece, position.id, position.apart, names, width)]
        return found

    def _summary(self, width: int) -> list[Row]:
        known = self.known
        sign = " >=" if self.kind == "lower_bound" else ""
        along = f" along #{self.along}" if self.along is not None else ""
        head = f"KL({self.a.model} || {self.b.model}), {plural(len(self.positions), 'token')}{along}"
        rows = wrapped(head, "strong", width)
        if known:
            mean = [
                sum(values) / len(known) for values in zip(*((x.kl, x.js, x.tv) for x in known), strict=True)
            ]
            other = sum(x.same_argmax is False for x in known)
            rows += phrases(
                (
                    f"mean KL{sign} {nats_to_bits(mean[0]):.4g} bits",
                    f"JS{sign} {nats_to_bits(mean[1]):.4g} bits",
                    f"TV{sign} {mean[2]:.4g}",
                    f"other first choice at {other:,} of {len(known):,}",
                ),
                width,
            )
        if self.noise_js is not None:
            words = f"~ no further apart than noise alone: JS {nats_to_bits(self.noise_js):.3g} bits"
            rows += wrapped(words, "muted", width)
        sides = [
            f"{x.model} #{x.exchange}: {x.bits_per_byte:.3f} bits/byte, first choice at {x.first_choices:,}"
            for x in (self.a, self.b)
        ]
        rows += [row for side in sides for row in wrapped(side, "muted", width)]
        return [*rows, *marked(self.notes, width)]

    def _marks(self) -> list[str]:
        looked_at = {spot.index for spot in self.spots}
        marks = []
        for index, position in enumerate(self.positions):
            if position.apart is not None and self._noisy(position.apart):
                marks.append("~")
            elif index in looked_at:
                marks.append("▲")
            else:
                marks.append(
                    "≠" if position.apart is not None and position.apart.same_argmax is False else " "
                )
        return marks

    def _noisy(self, found: Apart | None) -> bool:
        return found is not None and self.noise_js is not None and 0 < found.js <= self.noise_js


def part(
    a: tuple[str, int, Sequence[Step]],
    b: tuple[str, int, Sequence[Step]],
    *,
    along: int | None = None,
    noise_js: float | None = None,
    notes: Sequence[str] = (),
) -> Divergence:
    """Compare two readings of the same tokens, each (model, number in the record, steps).

    Raises ``ValueError`` where the tokens are not the same.
    """
    steps_a, steps_b = a[2], b[2]
    if [step.token for step in steps_a] != [step.token for step in steps_b]:
        raise ValueError("the two readings are not of the same tokens")
    positions = tuple(_position(x, y) for x, y in zip(steps_a, steps_b, strict=True))
    known = {at: p.apart for at, p in enumerate(positions) if p.apart is not None}
    beyond = {at: x for at, x in known.items() if x.js > max(NEGLIGIBLE, noise_js or 0.0)}
    first = next((at for at, x in beyond.items() if x.same_argmax is False), None)
    worst = max(beyond, key=lambda at: beyond[at].js, default=None)
    spots = []
    if first is not None:
        why = "the first choices differ first" + (", and furthest apart" if first == worst else "")
        spots.append(spot_at(first, why, steps_a, steps_b))
    if worst is not None and worst != first:
        spots.append(spot_at(worst, "furthest apart", steps_a, steps_b))
    return Divergence(
        a=_side(*a),
        b=_side(*b),
        along=along,
        kind="lower_bound" if any(x.kind == "lower_bound" for x in known.values()) else "full",
        positions=positions,
        first=first,
        worst=worst,
        spots=tuple(spots),
        noise_js=noise_js,
        notes=tuple(notes),
    )


def between(a: Step, b: Step) -> Apart | None:
    """The distance of what two models expected before the same token; None where nothing is known."""
    if a.distribution and b.distribution:
        return apart(*map(normalised, unpacked(a.distribution, b.distribution)))
    if a.raw_lp is None or b.raw_lp is None:
        return None
    known_a, known_b = ({x.token: x.raw_lp or 0.0, **{t: lp for t, lp, _ in x.top}} for x in (a, b))
    same = a.top[0][0] == b.top[0][0] if a.top and b.top else None
    return at_least(known_a, known_b, same_argmax=same)


def _position(a: Step, b: Step) -> Position:
    return Position(id=a.token, piece=a.piece, nats_a=a.raw_lp, nats_b=b.raw_lp, apart=between(a, b))


def _side(model: str, exchange: int, steps: Sequence[Step]) -> Side:
    return Side(
        model=model,
        exchange=exchange,
        first_choices=sum(step.rank == 0 for step in steps),
        bits_per_byte=totals(tokens(steps)).bits_per_byte,
    )
