"""Several texts that could follow one context, and how likely each is."""

import math
from collections.abc import Sequence

import msgspec

from repl.probe.figure import LEVELS, Figure, Row, Span, nats_to_bits
from repl.probe.heatmap import Reading, remarks
from repl.probe.table import cut, phrases, table
from repl.safe import visible_line

BAR = 12
"""Cells of the bar of a certain option."""


class Option(msgspec.Struct, frozen=True, kw_only=True):
    """One text, to one model."""

    text: str
    nats: float
    """Log-probability of the whole text."""
    bytes: int
    tokens: int
    share: float
    """Softmax of ``nats`` over the options."""
    share_per_byte: float
    """Softmax of ``nats / bytes``: long options are not at a disadvantage."""
    reading: Reading


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """What one model makes of all options."""

    model: str
    options: tuple[Option, ...]
    """As given."""
    best: int
    """Index of the likeliest."""
    best_per_byte: int


class Options(Figure, frozen=True, kw_only=True):
    """How several models choose between the same texts."""

    name = "target"

    context: str
    choices: tuple[Choice, ...]

    @property
    def title(self) -> str:
        """How many there are to choose from."""
        return f"{len(self.choices[0].options)} options"

    def rows(self, width: int) -> Sequence[Row]:
        """For each model a table with a line for each option, the best marked."""
        found: list[Row] = []
        for choice in self.choices:
            body = [_line(choice, at) for at in range(len(choice.options))]
            heading = ("", choice.model, "nats", "tokens", "P", "", "bits/byte", "P per byte")
            safe = [visible_line(name) for name in heading]
            found += table(safe, body, right=(2, 3, 4, 6, 7), width=width, names=2)
            found += dict.fromkeys(row for option in choice.options for row in remarks(option.reading, width))
        legend = ("▸ best by the whole text", "▹ best by its mean over bytes")
        return [*found, *phrases(legend, width, "muted")]


def choose(model: str, texts: Sequence[str], readings: Sequence[Reading]) -> Choice:
    """The choice of a model between texts that it has read."""
    sums = [reading.totals for reading in readings]
    whole = softmax([total.nats for total in sums])
    means = [total.nats / total.bytes if total.bytes else total.nats for total in sums]
    mean = softmax(means)
    options = tuple(
        Option(
            text=text,
            nats=total.nats,
            bytes=total.bytes,
            tokens=total.tokens,
            share=share,
            share_per_byte=per_byte,
            reading=reading,
        )
        for text, total, share, per_byte, reading in zip(texts, sums, whole, mean, readings, strict=True)
    )
    return Choice(
        model=model,
        options=options,
        best=max(range(len(options)), key=lambda at: options[at].nats),
        best_per_byte=max(range(len(options)), key=lambda at: means[at]),
    )


def softmax(nats: Sequence[float]) -> list[float]:
    """Shares that sum to 1; equal ones where nothing is possible at all."""
    top = max(nats)
    if top == -math.inf:
        return [1 / len(nats)] * len(nats)
    weights = [math.exp(value - top) for value in nats]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def _line(choice: Choice, at: int) -> list[Span | str]:
    option = choice.options[at]
    best = at == choice.best
    return [
        Span("▸" if best else " ", "chosen"),
        Span(cut(visible_line(option.text.strip()), 40), "strong" if best else ""),
        f"{option.nats:,.4f}",
        f"{option.tokens:,}",
        f"{option.share:.2%}",
        Span(bar(option.share), "muted"),
        f"{-nats_to_bits(option.nats) / option.bytes:.3f}" if option.bytes else "–",
        Span(f"{option.share_per_byte:.2%} ▹", "chosen")
        if at == choice.best_per_byte
        else f"{option.share_per_byte:.2%}  ",
    ]


def bar(share: float, cells: int = BAR) -> str:
    """A bar for a share of 1, its last cell in eighths."""
    eighths = round(max(0.0, min(1.0, share)) * cells * LEVELS)
    rest = eighths % LEVELS
    return "█" * (eighths // LEVELS) + ("▏▎▍▌▋▊▉"[rest - 1] if rest else "")
