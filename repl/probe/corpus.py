"""What models make of many texts: totals over all, and the texts that surprised most."""

from collections.abc import Sequence
from typing import ClassVar

import msgspec

from repl.probe.figure import Figure, Row, Span, heat, plural
from repl.probe.table import cut, table
from repl.probe.tokens import SUMS, Totals
from repl.safe import visible_line

SHOWN = 10
"""Texts listed."""


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """One text of a file."""

    line: int
    """Where it stands, counted from 1."""
    text: str
    totals: tuple[Totals | None, ...]
    """Of each model; None where it could not."""
    errors: tuple[str, ...] = ()


class Corpus(Figure, frozen=True, kw_only=True):
    """The texts of a file as several models find them."""

    name = "corpus"

    file: str
    models: tuple[str, ...]
    opening: str
    texts: tuple[Scored, ...]

    DERIVED: ClassVar = ("totals",)

    @property
    def title(self) -> str:
        """What was read."""
        return f"{plural(len(self.texts), 'text')} of {visible_line(self.file)}"

    @property
    def totals(self) -> tuple[Totals, ...]:
        """Of each model over all texts that it could score."""
        return tuple(
            added([t for text in self.texts if (t := text.totals[at]) is not None])
            for at in range(len(self.models))
        )

    def rows(self, width: int) -> Sequence[Row]:
        """The models' totals, then the texts that surprised the first of them most."""
        body: list[Sequence[Span | str]] = []
        for at, (model, sums) in enumerate(zip(self.models, self.totals, strict=True)):
            failed = sum(text.totals[at] is None for text in self.texts)
            body.append(
                (
                    Span(visible_line(model), "strong"),
                    *sums.cells(),
                    Span(f"{failed:,} failed" if failed else "", "bad"),
                )
            )
        heading = ("", *SUMS, "")
        found = table(heading, body, right=(1, 2, 3, 4, 5), width=width)
        found.append((Span(f"opening {self.opening}", "muted"),))
        listed = [text for text in self.texts if any(t is not None and t.bytes for t in text.totals)]
        worst = sorted(listed, key=lambda text: -max(_rate(t) for t in text.totals))[:SHOWN]
        if worst:
            found += [(), (Span("the most surprising, in bits/byte", "heading"),)]
            found += table(
                ("line", *map(visible_line, self.models), "text"),
                [_line(text, width) for text in worst],
                right=range(len(self.models) + 1),
                width=width,
            )
        failures = [(text.line, error) for text in self.texts for error in text.errors]
        found += [(Span(f"✗ line {line}: {visible_line(error)}", "bad"),) for line, error in failures[:SHOWN]]
        return found


def added(sums: Sequence[Totals]) -> Totals:
    """The totals of several texts together."""
    return Totals(
        tokens=sum(total.tokens for total in sums),
        bytes=sum(total.bytes for total in sums),
        nats=sum(total.nats for total in sums),
    )


def _rate(totals: Totals | None) -> float:
    return totals.bits_per_byte if totals is not None and totals.bytes else -1.0


def _line(text: Scored, width: int) -> list[Span | str]:
    rates = [None if t is None or not t.bytes else t.bits_per_byte for t in text.totals]
    room = max(16, width - 12 * (len(rates) + 1))
    cells = [Span("–") if rate is None else Span(f"{rate:.3f}", heat(rate * 3)) for rate in rates]
    return [f"{text.line:,}", *cells, cut(visible_line(text.text), room)]
