"""Answers to one prompt under several settings, side by side."""

import math
from collections import Counter
from collections.abc import Sequence

import msgspec

from repl.params import Value
from repl.probe.figure import Figure, Row, Span, plural
from repl.probe.table import cut, marked, table
from repl.safe import visible_line

HEADS = 6
"""Different texts shown of each cell; the data has all."""


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One answer."""

    exchange: int
    """Its number in the record."""
    text: str
    tokens: int
    bits: float | None = None
    """Mean surprisal of its tokens under the model itself, at temperature 1; None where it was not told."""
    state: str = "finished"


class Cell(msgspec.Struct, frozen=True, kw_only=True):
    """The answers of one model under one setting, and what they have in common."""

    model: str
    settings: dict[str, Value]
    samples: tuple[Sample, ...]
    distinct_1: float
    """Share of the words that are different words."""
    distinct_2: float
    """The same for pairs of neighbouring words."""
    duplicates: int
    """Answers whose text another one before them has."""
    tokens: float
    """Mean length."""
    bits: float | None
    """Mean surprisal of a token; None where none was told."""


def cell(model: str, settings: dict[str, Value], samples: Sequence[Sample]) -> Cell:
    """Sums up the finished samples; the others stay in the list."""
    done = [s for s in samples if s.state == "finished"]
    texts = [s.text for s in done]
    scored = [(s.bits * s.tokens, s.tokens) for s in done if s.bits is not None]
    size = sum(tokens for _, tokens in scored)
    return Cell(
        model=model,
        settings=settings,
        samples=tuple(samples),
        distinct_1=distinct(texts, 1),
        distinct_2=distinct(texts, 2),
        duplicates=len(texts) - len(set(texts)),
        tokens=math.fsum(s.tokens for s in done) / len(done) if done else math.nan,
        bits=math.fsum(bits for bits, _ in scored) / size if size else None,
    )


def distinct(texts: Sequence[str], n: int) -> float:
    """Different n-grams of words over all n-grams, within each text; nan where there are none.

    Words are what white space separates, so that models of different vocabularies can be compared.
    """
    found: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        words = text.split()
        found.update(tuple(words[at : at + n]) for at in range(len(words) - n + 1))
    return len(found) / found.total() if found else math.nan


class Grid(Figure, frozen=True, kw_only=True):
    """A sweep: a cell for each model and setting."""

    name = "sweep"

    prompt: str
    seed: int | None
    """Of all cells: samples of one number draw with the same noise in each."""
    axes: tuple[tuple[str, tuple[str, ...]], ...]
    """What was varied, and over which values, as typed."""
    cells: tuple[Cell, ...]
    wanted: int
    """Answers asked for; fewer are there if the sweep was stopped."""
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """How large it is."""
        done = sum(s.state == "finished" for c in self.cells for s in c.samples)
        count = plural(done, "answer") if done == self.wanted else f"{done:,} of {self.wanted:,} answers"
        return f"sweep of '{cut(visible_line(self.prompt), 40)}' · {count}"

    def rows(self, width: int) -> Sequence[Row]:
        """For each model a table with a row for each setting, then the texts of each setting."""
        found: list[Row] = marked(self.notes, width)
        names = [name for name, _ in self.axes]
        for model in dict.fromkeys(c.model for c in self.cells):
            cells = [c for c in self.cells if c.model == model]
            heading = (*names, "answers", "distinct-1", "distinct-2", "same", "tok", "bits/tok")
            body = [_figures(c, names) for c in cells]
            found += [(Span(visible_line(model), "strong"),)]
            found += table(heading, body, right=range(len(heading)), width=width, names=len(names))
            for c in cells:
                found += [(), (Span(_setting(c, names), "heading"),), *_heads(c, width)]
            found.append(())
        return found[:-1]


def _figures(c: Cell, names: Sequence[str]) -> list[str]:
    done = sum(s.state == "finished" for s in c.samples)
    return [
        *(shown(c.settings.get(name)) for name in names),
        f"{done:,}",
        _number(c.distinct_1, ".3f"),
        _number(c.distinct_2, ".3f"),
        f"{c.duplicates:,}",
        _number(c.tokens, ",.1f"),
        _number(c.bits, ".3f"),
    ]


def _number(value: float | None, form: str) -> str:
    return "–" if value is None or math.isnan(value) else format(value, form)


def shown(value: Value) -> str:
    """A parameter's value in a cell."""
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)


def _setting(c: Cell, names: Sequence[str]) -> str:
    return " · ".join(f"{name} {shown(c.settings.get(name))}" for name in names) or "as set"


def _heads(c: Cell, width: int) -> list[Row]:
    """The different texts, most frequent first, with how often and which is the first of them."""
    groups: dict[str, list[Sample]] = {}
    for sample in c.samples:
        if sample.state == "finished":
            groups.setdefault(sample.text, []).append(sample)
    rows: list[Row] = []
    for text, same in sorted(groups.items(), key=lambda item: -len(item[1]))[:HEADS]:
        lead = f"  #{same[0].exchange} " + (f"×{len(same)} " if len(same) > 1 else "")
        line = visible_line(" ".join(text.split())) or "∅"
        rows.append((Span(lead, "muted"), Span(cut(line, max(8, width - len(lead))))))
    if len(groups) > HEADS:
        rows.append((Span(f"  … {len(groups) - HEADS:,} more texts", "muted"),))
    faults = Counter(sample.state for sample in c.samples if sample.state != "finished")
    rows += [(Span(f"  ✗ {count:,} {state}", "bad"),) for state, count in faults.items()]
    return rows
