"""Speculative decoding foretold: how often a target model would take what a draft proposes.

A token proposed from the draft's distribution ``q`` is taken with probability ``min(1, p / q)``, on average
``sum min(p, q) = 1 - TV(p, q)`` (Leviathan et al. 2023). With ``g`` proposals a round that are taken
independently with probability ``a``, a pass of the target brings ``(1 - a^(g+1)) / (1 - a)`` tokens.
"""

from collections.abc import Sequence

import msgspec

from repl.probe.figure import Figure, Row, Span, piece_text, plural
from repl.probe.parting import Position
from repl.probe.strip import strip
from repl.probe.table import cut, marked, phrases, table, wrapped

LENGTHS = (1, 2, 4, 8)
"""Proposals in a round."""
LISTED = 5


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What a round of proposals brings."""

    proposals: int
    tokens: float
    """For each pass of the target."""


class Acceptance(Figure, frozen=True, kw_only=True):
    """Where a draft would be believed."""

    name = "acceptance"

    draft: str
    target: str
    along: int | None
    pieces: tuple[bytes, ...]
    accepted: tuple[float | None, ...]
    """For each token the probability that a proposal in its place is taken."""
    upper_bound: bool
    """The whole distributions are not known, so it may be less."""
    mean: float
    expected: tuple[Expected, ...]
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Who proposes to whom."""
        return f"acceptance of {self.draft} by {self.target}"

    def rows(self, width: int) -> Sequence[Row]:
        """The mean, a strip, what a round would bring, and where the draft fails most."""
        most = "<= " if self.upper_bound else ""
        along = f" along #{self.along}" if self.along is not None else ""
        count = plural(len(self.accepted), "token")
        head = f"{self.draft} > {self.target}: {most}{self.mean:.1%} of {count}{along}"
        found = wrapped(head, "strong", width)
        found += marked(self.notes, width)
        found += [(), *phrases(("rejected at each token, ▇ = always", "▲ listed below"), width, "muted")]
        worst = self._worst()
        marks = ["▲" if at in worst else " " for at in range(len(self.accepted))]
        rejected = [None if value is None else 1 - value for value in self.accepted]
        found += strip(rejected, width, marks=marks, muted=[False] * len(marks), full=1.0)
        body: list[list[Span | str]] = [[f"{x.proposals}", f"{most}{x.tokens:.2f}"] for x in self.expected]
        found += [(), *table(("proposals a round", "tokens a pass"), body, right=(0, 1), width=width)]
        if worst:
            least: list[list[Span | str]] = [
                [f"{at}", Span(cut(piece_text(self.pieces[at]), 24)), f"{self.accepted[at]:.1%}"]
                for at in worst
            ]
            found += [(), *table(("token", "", "taken"), least, right=(0, 2), width=width)]
        return found

    def _worst(self) -> list[int]:
        known = [(value, at) for at, value in enumerate(self.accepted) if value is not None and value < 1]
        return [at for _, at in sorted(known)[:LISTED]]


def acceptance(
    draft: str,
    target: str,
    positions: Sequence[Position],
    *,
    along: int | None = None,
    notes: Sequence[str] = (),
) -> Acceptance:
    """From how far the two are apart at each token; raises ``ValueError`` where that is nowhere known."""
    accepted = tuple(None if p.apart is None else 1 - p.apart.tv for p in positions)
    known = [value for value in accepted if value is not None]
    if not known:
        raise ValueError("no position has a distribution")
    mean = sum(known) / len(known)
    return Acceptance(
        draft=draft,
        target=target,
        along=along,
        pieces=tuple(p.piece for p in positions),
        accepted=accepted,
        upper_bound=any(p.apart is not None and p.apart.kind == "lower_bound" for p in positions),
        mean=mean,
        expected=tuple(Expected(proposals=count, tokens=tokens_a_pass(mean, count)) for count in LENGTHS),
        notes=tuple(notes),
    )


def tokens_a_pass(accepted: float, proposals: int) -> float:
    """The sum of ``accepted ** i`` for i from 0 to ``proposals``: those taken, and the target's own."""
    return sum(accepted**i for i in range(proposals + 1))
