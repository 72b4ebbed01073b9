"""A position of a text looked at closely: what two models expected there."""

import math
from collections.abc import Sequence

import msgspec
from rich.cells import cell_len

from repl.messages import Step
from repl.probe.divergence import Apart, best, distribution
from repl.probe.figure import Row, Span, nats_to_bits, piece_text
from repl.probe.table import cut, table, wrapped
from repl.probe.tokens import Alternative
from repl.safe import visible_line

ALTERNATIVES = 5
CONTEXT = 40
"""Characters shown before the position."""
WIDEST = 24
"""Cells of a token in the table."""


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """A position looked at closely."""

    index: int
    why: str
    before: bytes
    """The text that leads to it."""
    top_a: tuple[Alternative, ...]
    top_b: tuple[Alternative, ...]


def spot_at(index: int, why: str, a: Sequence[Step], b: Sequence[Step]) -> Spot:
    """Where two readings of the same tokens are at ``index``."""
    return Spot(
        index=index,
        why=why,
        before=b"".join(step.piece for step in a[:index]),
        top_a=top(a[index], b[index]),
        top_b=top(b[index], a[index]),
    )


def top(step: Step, other: Step) -> tuple[Alternative, ...]:
    """A step's likeliest tokens, out of its distribution where it has no list of its own."""
    if step.top or not step.distribution:
        return tuple(Alternative(id=t, piece=piece, nats=lp) for t, lp, piece in step.top[:ALTERNATIVES])
    pieces = {t: piece for t, _, piece in other.top} | {step.token: step.piece}
    return tuple(
        Alternative(id=t, piece=pieces.get(t, f"#{t}".encode()), nats=lp)
        for t, lp in best(distribution(step.distribution), ALTERNATIVES)
    )


def look(
    spot: Spot, piece: bytes, chosen: int, found: Apart | None, names: tuple[str, str], width: int
) -> list[Row]:
    """The place in its text, and what either model expected there, the token that stands there marked ●."""
    words = f"token {spot.index}, {spot.why}"
    if found is not None:
        sign = ">=" if found.kind == "lower_bound" else ""
        words += f": KL {sign}{nats_to_bits(found.kl):.3g} bits, TV {sign}{found.tv:.3g}"
    before = piece_text(spot.before.decode(errors="replace")[-CONTEXT:].encode())
    heads = wrapped(words, "heading", width)
    stands = cut(piece_text(piece), max(1, width // 2))
    before = cut(before[::-1], width - cell_len(stands) - 1)[::-1]
    heads.append((Span(before, "muted"), Span("▏"), Span(stands, "chosen")))
    body: list[list[Span | str]] = [
        [f"{at + 1}", *_option(spot.top_a, at, chosen), *_option(spot.top_b, at, chosen)]
        for at in range(max(len(spot.top_a), len(spot.top_b)))
    ]
    a, b = map(visible_line, names)
    return heads + table(("", a, "p", b, "p"), body, right=(0, 2, 4), width=width)


def _option(options: Sequence[Alternative], at: int, chosen: int) -> list[Span | str]:
    if at >= len(options):
        return ["", ""]
    option = options[at]
    mark, style = ("●", "chosen") if option.id == chosen else (" ", "")
    return [Span(mark + cut(piece_text(option.piece), WIDEST), style), f"{math.exp(option.nats):.3f}"]
