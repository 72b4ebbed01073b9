"""Figures: what a probe has to show, in one form that every front end can draw.

A figure is data first: its fields are the result, and ``as_json`` gives them to programs. ``rows`` lays it
out for a width in cells as rows of styled spans. A terminal gives the styles colours, a page gives them
classes, a monochrome terminal drops them; so whatever a colour says a character must say too.
"""

import base64
import math
from collections.abc import Sequence
from typing import Any, ClassVar, NamedTuple

import msgspec

from repl.safe import visible_line

LEVELS = 8
"""Steps of the heat scale; their styles are ``heat0`` (expected) to ``heat7`` (surprising)."""
FULL = 12.0
"""Bits at the top of the heat scale."""
MARKS = " ▁▂▃▄▅▆▇"
"""The heat scale for eyes and terminals without colour."""
STYLES = (
    *("", "strong", "muted", "heading", "good", "bad", "warning"),
    *("added", "removed", "changed", "chosen"),
    *(f"heat{level}" for level in range(LEVELS)),
)
"""Every style a span may have."""


class Span(NamedTuple):
    """A stretch of text in one style."""

    text: str
    style: str = ""


Row = tuple[Span, ...]


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """What all figures have. A subclass sets ``name``; its fields are what programs get."""

    name: ClassVar[str] = "figure"
    """What it is called in JSON and in a page."""

    @property
    def title(self) -> str:
        """What it is about, on one line."""
        raise NotImplementedError

    def rows(self, width: int) -> Sequence[Row]:
        """The drawing, no row wider than ``width`` cells where that can be; texts are safe for a terminal."""
        raise NotImplementedError


def as_json(figure: Figure) -> dict[str, Any]:
    """The fields as plain values: bytes in base64, and what is no number as ``"-inf"`` or ``"nan"``.

    A struct's class may name in ``DERIVED`` the properties that belong to its data.
    """
    plain: dict[str, Any] = _plain(figure)
    return plain


def _plain(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return str(value)
        case bytes():
            return base64.b64encode(value).decode()
        case msgspec.Struct():
            derived = {name: getattr(value, name) for name in getattr(value, "DERIVED", ())}
            return _plain(msgspec.structs.asdict(value) | derived)
        case dict():
            return {str(key): _plain(item) for key, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value


def as_text(rows: Sequence[Row]) -> str:
    """The rows without their styles."""
    return "\n".join("".join(span.text for span in row).rstrip() for row in rows)


def heat(bits: float | None, *, full: float = FULL) -> str:
    """The style for a surprisal: even steps from 0 to ``full`` bits; plain where there is none."""
    return "" if bits is None else f"heat{level(bits, full=full)}"


def level(bits: float, *, full: float = FULL) -> int:
    """The step of the heat scale, 0 to ``LEVELS`` - 1, for a surprisal in bits."""
    if math.isnan(bits):
        return LEVELS - 1
    return max(0, min(LEVELS - 1, int(bits / full * LEVELS)))


def piece_text(piece: bytes) -> str:
    r"""A token's bytes to look at: white space as ``·``, ``⏎`` and ``⇥``, what is no UTF-8 as ``\xff``."""
    text = piece.decode(errors="backslashreplace")
    return visible_line(text.replace("\n", "⏎").replace("\t", "⇥").replace(" ", "·"))


def plural(count: int, what: str) -> str:
    """``2 models``, ``1 model``, ``2,048 models``."""
    return f"{count:,} {what}" if count == 1 else f"{count:,} {what}s"


def likelier(rank: int) -> str:
    """A rank that counts from 0, in words that need no such agreement."""
    return f"{rank:,} likelier" if rank else "the likeliest"


def nats_to_bits(nats: float) -> float:
    """Natural units to bits."""
    return nats / math.log(2)
