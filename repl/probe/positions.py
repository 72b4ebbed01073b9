"""Each position of a text with what else could have stood there."""

import math
from collections.abc import Sequence

from rich.cells import cell_len

from repl.probe.figure import MARKS, Figure, Row, Span, heat, likelier, nats_to_bits, piece_text, plural
from repl.probe.options import bar
from repl.probe.table import GAP, cut, phrases, row_width, table
from repl.probe.tokens import Alternative, Token
from repl.safe import visible_line

PIECE = 20
"""Cells of a piece in a table."""


class Positions(Figure, frozen=True, kw_only=True):
    """A line for each token, with its surprisal, its rank and the likeliest tokens there."""

    name = "positions"

    model: str
    exchange: int
    tokens: tuple[Token, ...]

    @property
    def title(self) -> str:
        """Whose tokens."""
        return f"#{self.exchange} {self.model} · {plural(len(self.tokens), 'token')}"

    def rows(self, width: int) -> Sequence[Row]:
        """A table; as many alternatives as fit."""
        heading = ("", "token", "bits", "", "rank", "entropy", "likeliest")
        body = [_line(at, token) for at, token in enumerate(self.tokens)]
        left = table(heading, body, right=(0, 2, 4, 5))
        return [
            left[0],
            *(
                (*row, Span("  "), *_alternatives(token, width - row_width(row) - 2))
                for row, token in zip(left[1:], self.tokens, strict=True)
            ),
        ]


class Position(Figure, frozen=True, kw_only=True):
    """One token and the alternatives there."""

    name = "position"

    model: str
    exchange: int
    index: int
    before: str
    """The text of the answer up to there."""
    token: Token

    @property
    def title(self) -> str:
        """Where it stands."""
        return f"#{self.exchange} {self.model} @{self.index}"

    def rows(self, width: int) -> Sequence[Row]:
        """The text before, the token, then a line for each alternative; ``▸`` marks the one that stands."""
        token = self.token
        before = cut(visible_line(self.before.replace("\n", "⏎"))[::-1], width - PIECE)[::-1]
        figures = []
        if token.bits is not None:
            figures += [f"{token.bits:.3f} bits", f"p {math.exp(-token.bits * math.log(2)):.3%}"]
        if token.rank is not None:
            figures.append(likelier(token.rank))
        if token.entropy is not None:
            figures.append(f"entropy {nats_to_bits(token.entropy):.3f} bits")
        body = [_alternative(at, other, token) for at, other in enumerate(token.top, 1)]
        if token.nats is not None and token.top and all(other.id != token.id for other in token.top):
            own = Alternative(id=token.id, piece=token.piece, nats=token.nats)
            body.append(_alternative(None if token.rank is None else token.rank + 1, own, token))
        found: list[Row] = [
            (Span(before, "muted"), Span(_piece(token.piece), "strong")),
            *phrases(figures or ["no figures were kept"], width, "muted"),
        ]
        if body:
            found += table(
                ("", "", "token", "p", "bits", "id", ""), body, right=(1, 3, 4, 5), width=width, names=3
            )
        return found


def _line(at: int, token: Token) -> list[Span | str]:
    bits, level = token.bits, token.heat()
    return [
        f"@{at}",
        Span(cut(_piece(token.piece), PIECE), heat(bits)),
        "–" if bits is None else f"{bits:.2f}",
        Span("·" if level is None else MARKS[level], "muted"),
        "–" if token.rank is None else f"{token.rank:,}",
        "–" if token.entropy is None else f"{nats_to_bits(token.entropy):.2f}",
        "",
    ]


def _alternatives(token: Token, room: int) -> list[Span]:
    """As many as fit, the one that stands there marked."""
    spans: list[Span] = []
    for other in token.top:
        stands = other.id == token.id
        sign = "▸" if stands else ""
        text = f"{sign}{cut(_piece(other.piece), PIECE)} {math.exp(other.nats):.1%}"
        gap = GAP if spans else ""
        room -= cell_len(gap + text)
        if room < 0:
            break
        spans += [Span(gap), Span(text, "chosen" if stands else "")]
    return spans


def _alternative(rank: int | None, other: Alternative, token: Token) -> list[Span | str]:
    stands = other.id == token.id
    bits = -nats_to_bits(other.nats)
    return [
        Span("▸" if stands else " ", "chosen"),
        "" if rank is None else str(rank),
        Span(cut(_piece(other.piece), 2 * PIECE), "strong" if stands else ""),
        f"{math.exp(other.nats):.3%}",
        Span(f"{bits:.2f}", heat(bits)),
        str(other.id),
        Span(bar(math.exp(other.nats)), "muted"),
    ]


def _piece(piece: bytes) -> str:
    return piece_text(piece) or "∅"
