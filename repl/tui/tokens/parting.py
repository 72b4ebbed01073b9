"""Where the answers to one line part, while they grow: a mark under each, and a strip for two of them."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from repl.probe.diff import first_divergence
from repl.probe.figure import MARKS, level, nats_to_bits
from repl.probe.spans import diff

if TYPE_CHECKING:
    from repl.messages import Step
    from repl.session.exchange import Exchange

DIFFERS = "≠"
QUIET = 0.5
"""Bits of difference that are not worth a mark."""
FULL = 6.0
"""Bits of difference that are the top of the scale."""


class Parting:
    """The answers to one line, and where they part. Each byte is compared once."""

    def __init__(self, exchanges: Sequence[Exchange]) -> None:
        self.exchanges = tuple(exchanges)
        self.tokens: tuple[int | None, ...] = (None,) * len(self.exchanges)
        """For each answer the token in which it parts; None while it has not."""
        self._texts = [bytearray() for _ in self.exchanges]
        self._read = [0] * len(self.exchanges)
        self._versions = [self._version(x) for x in self.exchanges]
        self._agreed = [0] * len(self.exchanges)
        """Of each text, what is known to be as the longest begins."""
        self._parted = False

    @property
    def same(self) -> bool:
        """All have ended with the same bytes."""
        ended = all(x.done for x in self.exchanges)
        return ended and any(self._texts) and all(text == self._texts[0] for text in self._texts)

    def update(self) -> bool:
        """Read what the answers have more; whether ``tokens`` or ``same`` may have changed."""
        taken_back = [self._grow(at) for at in range(len(self.exchanges))]
        if any(taken_back):
            self._agreed, self._parted = [0] * len(self.exchanges), False
        before, was_parted = self.tokens, self._parted
        self._parted = self._parted or self._differ()
        if not self._parted:
            self.tokens = (None,) * len(self.exchanges)
        elif not was_parted or None in self.tokens:
            pieces = [shown(x.answer.steps) for x in self.exchanges]
            self.tokens = first_divergence(pieces, running=[not complete(x) for x in self.exchanges])
        return before != self.tokens or all(x.done for x in self.exchanges)

    def _grow(self, at: int) -> bool:
        """Read one answer; whether it was taken back, so that nothing known of it holds."""
        exchange = self.exchanges[at]
        version = self._version(exchange)
        anew = version != self._versions[at] or self._read[at] > len(exchange.answer.steps)
        if anew:
            self._versions[at] = version
            self._texts[at].clear()
            self._read[at] = 0
        steps = exchange.answer.steps
        self._texts[at] += b"".join(shown(steps[self._read[at] :]))
        self._read[at] = len(steps)
        return anew

    @staticmethod
    def _version(exchange: Exchange) -> tuple[int, int]:
        """Changes when what was read of an answer no longer holds."""
        return exchange.answer.rewrites, id(exchange.answer.started)

    def _differ(self) -> bool:
        """Whether one of the texts is not how the longest begins, or ended before it."""
        sizes = [len(text) for text in self._texts]
        most = max(range(len(sizes)), key=sizes.__getitem__)
        longest = self._texts[most]
        for at, text in enumerate(self._texts):
            begun = min(self._agreed[at], self._agreed[most])
            if text[begun:] != longest[begun : len(text)]:
                return True
        self._agreed = sizes
        return any(complete(x) and size < len(longest) for x, size in zip(self.exchanges, sizes, strict=True))


def shown(steps: Sequence[Step]) -> list[bytes]:
    """What each token adds to the text: its own bytes may lack the space before a word, or be no text."""
    return [step.text.encode(errors="replace") for step in steps]


def complete(exchange: Exchange) -> bool:
    """Whether an answer ended by itself: one that was cut, stopped or failed might have gone on."""
    return exchange.finish in ("eos", "stop")


class Cell(NamedTuple):
    """One place of the strip."""

    differs: bool
    bits: float | None
    """How much more surprising the token was to the second model; None where one does not know."""


def profile(a: Sequence[Step], b: Sequence[Step], *, complete: bool) -> list[Cell]:
    """Two answers token by token, aligned on their bytes.

    While they grow only what comes before their parting is aligned; the rest differs until it is known.
    """
    if not a or not b:
        return []
    pieces_a, pieces_b = shown(a), shown(b)
    cells: list[Cell] = []
    if not complete:
        both = min(len(a), len(b))
        same = next((at for at in range(both) if pieces_a[at] != pieces_b[at]), both)
        cells = [_cell(a[at : at + 1], b[at : at + 1]) for at in range(same)]
        return cells + [Cell(True, None)] * (both - same)
    for block in diff(pieces_a, pieces_b):
        part_a, part_b = a[slice(*block.a)], b[slice(*block.b)]
        if block.kind == "same":
            cells.append(_cell(part_a, part_b))
        else:
            cells += [Cell(True, None)] * max(len(part_a), len(part_b))
    return cells


def _cell(a: Sequence[Step], b: Sequence[Step]) -> Cell:
    known_a = [s.raw_lp for s in a if s.raw_lp is not None]
    known_b = [s.raw_lp for s in b if s.raw_lp is not None]
    if len(known_a) < len(a) or len(known_b) < len(b):
        return Cell(False, None)
    return Cell(False, nats_to_bits(sum(known_a) - sum(known_b)))


def strip(cells: Sequence[Cell], width: int) -> list[tuple[str, str]]:
    """``cells`` in at most ``width`` cells of a screen, as signs in their styles.

    ``≠`` is where tokens differ; a bar is how much the surprisal of a shared token does. Where there is no
    room for each, one sign stands for several and tells the most.
    """
    if not cells or width <= 0:
        return []
    count = min(width, len(cells))
    ends = [len(cells) * at // count for at in range(count + 1)]
    return [_sign(cells[a:b]) for a, b in pairwise(ends)]


def _sign(cells: Sequence[Cell]) -> tuple[str, str]:
    if any(cell.differs for cell in cells):
        return DIFFERS, "warning"
    known = [cell.bits for cell in cells if cell.bits is not None]
    most = max(known, key=abs, default=0.0)
    if abs(most) < QUIET:
        return "·", "muted"
    return MARKS[max(1, level(abs(most), full=FULL))], "" if most > 0 else "success"


def words(cells: Sequence[Cell]) -> str:
    """The strip in figures: ``12 of 40 tokens shared · mean Δ +0.31 bits``."""
    alike = [cell for cell in cells if not cell.differs]
    known = [cell.bits for cell in alike if cell.bits is not None]
    mean = f" · mean Δ {sum(known) / len(known):+.2f} bits" if known else ""
    return f"{len(alike)} of {len(cells)} tokens shared{mean}"
