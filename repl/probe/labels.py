"""What classifiers and masked models say: labels, and words for the gaps of a text."""

import math
from collections.abc import Sequence
from itertools import zip_longest

import msgspec

from repl.probe.figure import Figure, Row, Span, heat, nats_to_bits, piece_text
from repl.probe.options import bar
from repl.probe.table import cut, marked, table
from repl.readings import Filled
from repl.safe import visible_line


class Labels(msgspec.Struct, frozen=True, kw_only=True):
    """One classifier's labels."""

    model: str
    exchange: int
    labels: tuple[tuple[str, float], ...]
    """(label, natural log of its probability), best first."""
    exclusive: bool
    """The probabilities sum to 1."""
    notes: tuple[str, ...] = ()


class Classes(Figure, frozen=True, kw_only=True):
    """What several classifiers make of one text."""

    name = "classify"

    text: str
    models: tuple[Labels, ...]

    @property
    def title(self) -> str:
        """What they are asked."""
        return "labels"

    def rows(self, width: int) -> Sequence[Row]:
        """A row for each label; models with the same labels stand side by side."""
        alike = len({frozenset(name for name, _ in model.labels) for model in self.models}) == 1
        groups = [self.models] if alike else [(model,) for model in self.models]
        found: list[Row] = []
        for group in groups:
            known = [dict(model.labels) for model in group]
            heading = ["", *(part for m in group for part in (f"{visible_line(m.model)} #{m.exchange}", ""))]
            body = [
                [
                    Span(cut(visible_line(label), 40), "strong"),
                    *(
                        part
                        for model, by in zip(group, known, strict=True)
                        for part in _share(model, label, by)
                    ),
                ]
                for label, _ in group[0].labels
            ]
            found += table(heading, body, right=range(1, len(heading), 2), width=width)
        for model in self.models:
            found += marked([f"{model.model}: {note}" for note in model.notes], width)
        if any(not model.exclusive for model in self.models):
            names = ", ".join(visible_line(model.model) for model in self.models if not model.exclusive)
            found.append((Span(f"{names}: each label is a question of its own", "muted"),))
        return [*found, (Span("▸ the likeliest", "muted"),)]


def _share(model: Labels, label: str, by: dict[str, float]) -> list[Span | str]:
    share = math.exp(by[label])
    first = label == model.labels[0][0]
    return [Span(f"{'▸' if first else ''}{share:.2%}", "strong" if first else ""), Span(bar(share), "muted")]


class Gaps(msgspec.Struct, frozen=True, kw_only=True):
    """What one model puts into the gaps."""

    model: str
    exchange: int
    filled: Filled
    notes: tuple[str, ...] = ()


class Cloze(Figure, frozen=True, kw_only=True):
    """What several masked models put into the gaps of one text."""

    name = "cloze"

    text: str
    models: tuple[Gaps, ...]

    @property
    def title(self) -> str:
        """How many gaps."""
        count = len(self.models[0].filled.gaps)
        return f"{count} {'gap' if count == 1 else 'gaps'}"

    def rows(self, width: int) -> Sequence[Row]:
        """For each gap the models' choices side by side, best first; then the texts they make."""
        found: list[Row] = []
        for gap in range(max(len(model.filled.gaps) for model in self.models)):
            chosen = [model.filled.gaps[gap] if gap < len(model.filled.gaps) else () for model in self.models]
            heading = ["", *(part for m in self.models for part in (visible_line(m.model), "p", "bits"))]
            heading[0] = f"gap {gap + 1}"
            body: list[list[Span | str]] = []
            for rank, line in enumerate(zip_longest(*chosen), 1):
                cells = [part for option in line for part in _option(option)]
                body.append([str(rank), *cells])
            right = [0, *_numeric(len(self.models))]
            found += [*table(heading, body, right=right, width=width), ()]
        for model in self.models:
            text = model.filled.texts[0] if model.filled.texts else ""
            found.append(
                (Span(f"{visible_line(model.model)} #{model.exchange}  ", "muted"), Span(visible_line(text)))
            )
            found += marked(model.notes, width)
        return found


def _numeric(models: int) -> list[int]:
    return [1 + 3 * at + shift for at in range(models) for shift in (1, 2)]


def _option(option: tuple[int, float, bytes] | None) -> list[Span | str]:
    if option is None:
        return ["", "", ""]
    _, nats, piece = option
    bits = -nats_to_bits(nats)
    return [
        Span(cut(piece_text(piece) or "∅", 24), "strong"),
        f"{math.exp(nats):.2%}",
        Span(f"{bits:.2f}", heat(bits)),
    ]
