"""Minimum Bayes risk: of several samples, the one that agrees best with all others."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import msgspec

from repl.probe.figure import Figure, Row, Span, plural
from repl.probe.grid import Sample
from repl.probe.table import GAP, cut, marked, row_width, table, wrapped
from repl.safe import visible_line

UTILITIES = ("chrf", "bleu", "exact")
Utility = Callable[[str, str], float]
"""How good a candidate is if a reference is the truth, 0 to 100."""


class Missing(Exception):
    """A utility needs a package that is not installed."""


def utility(name: str) -> Utility:
    """One of ``UTILITIES``: sentence chrF2 or BLEU as sacrebleu has them, or being the same text.

    Raises ``Missing`` without sacrebleu.
    """
    if name == "exact":
        return lambda candidate, reference: 100.0 * (candidate == reference)
    if find_spec("sacrebleu") is None:
        raise Missing(f"{name} needs the package sacrebleu")
    import sacrebleu

    metric = sacrebleu.CHRF() if name == "chrf" else sacrebleu.BLEU(effective_order=True)
    return lambda candidate, reference: float(metric.sentence_score(candidate, [reference]).score)


def expected(texts: Sequence[str], measure: Utility) -> list[float]:
    """For each text its mean utility against all others; nan where there is no other.

    Equal texts are measured once, so the cost is the square of how many different ones there are.
    """
    counts = Counter(texts)
    means = {}
    for candidate in counts:
        others = [(reference, counts[reference] - (reference == candidate)) for reference in counts]
        total = math.fsum(measure(candidate, reference) * count for reference, count in others if count)
        means[candidate] = total / (len(texts) - 1) if len(texts) > 1 else math.nan
    return [means[text] for text in texts]


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """One of the different texts."""

    text: str
    utility: float
    """Mean over the other samples."""
    samples: tuple[Sample, ...]
    """Those with this text."""


class Choice(Figure, frozen=True, kw_only=True):
    """The samples of one model by their expected utility."""

    name = "mbr"

    model: str
    prompt: str
    measure: str
    candidates: tuple[Candidate, ...]
    """Best first."""
    notes: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """What was compared how."""
        count = sum(len(c.samples) for c in self.candidates)
        return f"{self.model} · minimum Bayes risk, {self.measure}, {plural(count, 'sample')}"

    def rows(self, width: int) -> Sequence[Row]:
        """The chosen text whole, then a table of all candidates."""
        found: list[Row] = marked(self.notes, width)
        if not self.candidates:
            return found
        best = self.candidates[0]
        for line in best.text.strip("\n").split("\n"):
            found += wrapped(line, "strong", width) or [()]
        body = [
            (
                Span("▸", "chosen") if at == 0 else "",
                "–" if math.isnan(c.utility) else f"{c.utility:.2f}",
                f"×{len(c.samples)}",
                _bits(c),
                f"#{c.samples[0].exchange}",
            )
            for at, c in enumerate(self.candidates)
        ]
        head, *rows = table(("", self.measure, "", "bits/tok", "#"), body, right=(1, 2, 3, 4))
        texts = [visible_line(" ".join(c.text.split())) or "∅" for c in self.candidates]
        return [*found, (), head, *(_with(row, text, width) for row, text in zip(rows, texts, strict=True))]


def choice(
    model: str, prompt: str, measure: str, samples: Sequence[Sample], notes: tuple[str, ...] = ()
) -> Choice:
    """Measures every sample; of equal utility the one that was drawn first goes first."""
    texts = [sample.text for sample in samples]
    means = dict(zip(texts, expected(texts, utility(measure)), strict=True))
    candidates = [
        Candidate(text=text, utility=mean, samples=tuple(s for s in samples if s.text == text))
        for text, mean in means.items()
    ]
    best = sorted(candidates, key=lambda c: -c.utility if not math.isnan(c.utility) else 0.0)
    return Choice(model=model, prompt=prompt, measure=measure, candidates=tuple(best), notes=notes)


def _bits(c: Candidate) -> str:
    bits = c.samples[0].bits
    return "–" if bits is None else f"{bits:.3f}"


def _with(row: Row, text: str, width: int) -> Row:
    """The text behind the figures, cut so that the row stays one."""
    before = row_width(row) + len(GAP)
    return (*row, Span(GAP), Span(cut(text, max(8, width - before))))
