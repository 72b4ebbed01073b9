"""The tokens that could come next, to choose from."""

import math
from collections.abc import Sequence

from repl.probe.figure import Figure, Row, Span, heat, nats_to_bits, piece_text
from repl.probe.table import table
from repl.probe.tokens import Alternative
from repl.safe import visible_line

BAR = 20
"""Cells of the bar of a certain token."""


class Choices(Figure, frozen=True, kw_only=True):
    """What a model would write next, and how likely it finds each."""

    name = "choices"

    model: str
    prompt: str
    text: str
    """Written so far."""
    written: tuple[int, ...]
    """Its tokens."""
    options: tuple[Alternative, ...]
    """Best first."""
    entropy: float | None = None
    """Of the whole distribution, in nats."""

    @property
    def title(self) -> str:
        """Which token is next."""
        return f"{self.model} · token {len(self.written)}"

    def rows(self, width: int) -> Sequence[Row]:
        """The text so far, then a numbered row for each option."""
        body = [
            (
                str(rank),
                Span(piece_text(option.piece) or "∅", "strong"),
                f"{math.exp(option.nats):.2%}",
                Span(f"{-nats_to_bits(option.nats):.2f}", heat(-nats_to_bits(option.nats))),
                str(option.id),
                Span("█" * round(BAR * math.exp(option.nats)), "muted"),
            )
            for rank, option in enumerate(self.options, 1)
        ]
        shown = sum(math.exp(option.nats) for option in self.options)
        rest = f"others {max(0.0, 1 - shown):.2%}"
        if self.entropy is not None:
            rest += f" · entropy {nats_to_bits(self.entropy):.2f} bits"
        return [
            (Span(visible_line(self.text)[-4 * width :], "strong"), Span("▏")),
            *table(("", "token", "p", "bits", "id", ""), body, right=(0, 2, 3, 4), width=width, names=2),
            (Span(rest, "muted"),),
        ]
