"""Watches fairseq's search from the inside: what it thinks of each token, and which hypothesis leads.

``Watched`` stands in the place of ``generator.search``. After each step it reports the best live hypothesis
of every sentence as a ``Node``, the last token of a path back to the first. It holds each sentence to its own
limits, which fairseq has only for a whole batch, applies the rules that fairseq lacks, and takes a sentence
out of the batch without touching the others. The search itself stays fairseq's own.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from fairseq.search import Search
from torch import Tensor

from backends.base import BackendError
from backends.fairseq import figures
from backends.fairseq.errors import not_a_number, nothing_left
from backends.fairseq.nodes import Ends, Node, grown
from backends.fairseq.probe import Probe

_IMPOSSIBLE = float("-inf")


class Rule(Protocol):
    """Changes what may follow a hypothesis."""

    def __call__(self, history: list[int], start: int, lprobs: Tensor) -> None:
        """``history`` holds all its tokens, the answer's from ``start`` on; ``lprobs`` is ``[vocab]``."""
        ...


@dataclass(frozen=True)
class Limits:
    """Of one sentence, as steps of the search."""

    start: int
    """Of the answer's first token: the length of a language model's prompt, else 0."""
    forced: int
    """Number of tokens the answer is made to begin with."""
    least: int
    """The first step at which the end may be chosen."""
    most: int
    """The step at which the end is forced."""
    free: bool = False
    """That end costs nothing."""
    breaks: frozenset[int] = frozenset()
    """The steps at which a language model's prompt has an end token, which must not end it."""
    known: int = 0
    """Number of tokens of the answer, from its first, whose distributions nobody asks for."""

    def told(self, step: int) -> bool:
        """Whether the distribution of a step is wanted, where any is."""
        return step >= self.start + self.known


@dataclass(frozen=True)
class Watch:
    """What to look at, and what to do about it."""

    limits: Sequence[Limits]
    """Of each sentence by its id."""
    alternatives: int
    """How many to keep for each token; with 0 neither rank nor entropy is computed."""
    rules: tuple[Rule, ...]
    distributions: bool = False
    """Keep the whole raw distribution of each token."""
    stops: frozenset[int] = frozenset()
    """After any of these, a hypothesis ends at no cost."""


class Watcher(Protocol):
    """Is told what happens. What it raises ends the generation."""

    def leads(self, sentence: int, node: Node) -> None:
        """The best live hypothesis of a sentence after a step."""
        ...

    def failed(self, sentence: int, error: BackendError) -> None:
        """A sentence cannot be gone on with; it is out of the batch."""
        ...

    def stepped(self) -> None:
        """A step is over, with all that ended in it."""
        ...


class Watched(Search):  # type: ignore[misc]
    """A search that does as ``inner`` does and tells of it."""

    def __init__(self, dictionary: Any, inner: Search, probe: Probe, watch: Watch, watcher: Watcher) -> None:
        super().__init__(dictionary)
        self.supports_constraints = inner.supports_constraints
        self.stop_on_max_len = inner.stop_on_max_len
        self.ends: list[Ends] = [{} for _ in watch.limits]
        """Of each sentence."""
        self._inner = inner
        self._probe = probe
        self._watch = watch
        self._watcher = watcher
        self._dropped: set[int] = set()
        self._ids: list[int] = []
        """The sentences that are still in the batch."""
        self._rows: list[list[Node | None]] | None = None
        """The hypotheses that go on, by sentence and place in the beam; None where no answer has begun."""
        self._candidates: list[list[Node | None]] = []

    def drop(self, sentences: Iterable[int]) -> None:
        """Take sentences out of the batch, at the end of the next step."""
        self._dropped.update(sentences)

    def is_dropped(self, sentence: int) -> bool:
        """Whether ``drop`` was called for it, or it has failed."""
        return sentence in self._dropped

    def is_over(self, place: int, step: int) -> bool:
        """Whether the sentence at ``place`` of the batch ends with ``step``, whatever it has found."""
        sentence = self._ids[place]
        return sentence in self._dropped or step >= self._watch.limits[sentence].most

    def step(
        self,
        step: int,
        lprobs: Tensor,
        scores: Tensor,
        prev_output_tokens: Tensor | None = None,
        original_batch_idxs: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See ``Search.step``; ``lprobs`` is ``[sentences, beam, vocab]``."""
        assert prev_output_tokens is not None
        sentences, beam, _ = lprobs.shape
        if self._rows is None:
            self._ids = list(range(sentences))
            self._rows = [[None] * beam for _ in range(sentences)]
        raw = self._probe.take()
        before = scores[:, :, step - 1] if step else None
        strange = self._strange(raw, before)
        self._restrict(step, lprobs, prev_output_tokens)
        found: tuple[Tensor, Tensor, Tensor] = self._inner.step(
            step, lprobs, scores, prev_output_tokens, original_batch_idxs
        )
        if any(step >= self._watch.limits[sentence].start for sentence in self._ids):
            wanted = any(self._watch.limits[sentence].told(step) for sentence in self._ids)
            distribution = figures.wire(raw) if self._watch.distributions and wanted else None
            candidates = self._figures(raw, lprobs, before, found, strange)
            beams = [[int(candidate.pop()) for candidate in each] for each in candidates]
            doubts = [[candidate.pop() for candidate in each] for each in candidates]
            self._check([any(each) for each in doubts], step)
            self._extend(step, beams, candidates, distribution)
        else:
            self._check(strange.tolist(), step)
            self._candidates = [[None] * found[0].shape[1] for _ in self._ids]
        return self._without_dropped(found)

    def mended(self, tokens: Tensor) -> None:
        """Put the end tokens of the prompts where they belong; ``tokens`` is what the decoder is to read."""
        step = tokens.shape[1] - 2
        beam = tokens.shape[0] // max(1, len(self._ids))
        for place, sentence in enumerate(self._ids):
            if step in self._watch.limits[sentence].breaks:
                tokens[place * beam : (place + 1) * beam, -1] = self.eos

    def prune_sentences(self, batch_idxs: Tensor) -> None:
        """fairseq drops the sentences that are complete."""
        self._inner.prune_sentences(batch_idxs)
        self._ids = [self._ids[place] for place in batch_idxs.tolist()]
        self._candidates = [self._candidates[sentence] for sentence in batch_idxs.tolist()]

    def update_constraints(self, active_hypos: Tensor) -> None:
        """fairseq has chosen which candidates go on; nothing more happens in this step."""
        self._inner.update_constraints(active_hypos)
        chosen = zip(self._candidates, active_hypos.tolist(), strict=True)
        self._rows = [[candidates[place] for place in places] for candidates, places in chosen]
        self._watcher.stepped()

    def init_constraints(self, batch_constraints: Tensor | None, beam_size: int) -> None:
        """Passed on."""
        self._inner.init_constraints(batch_constraints, beam_size)

    def set_src_lengths(self, src_lengths: Tensor) -> None:
        """Passed on."""
        self._inner.set_src_lengths(src_lengths)

    def _fail(self, sentence: int, error: BackendError) -> None:
        if sentence not in self._dropped:
            self._dropped.add(sentence)
            self._watcher.failed(sentence, error)

    def _strange(self, raw: Tensor, before: Tensor | None) -> Tensor:
        """fairseq turns NaN into "impossible" and goes on; here it is an error of any hypothesis that counts.

        ``before`` are the summed scores of the hypotheses, ``[sentences, beam]``; None in the first step.
        Says of each sentence whether it has one, and does not wait for the device.
        """
        strange = raw[:, 0].isnan().view(len(self._ids), -1)
        return (strange if before is None else strange & before.isfinite()).any(1)

    def _check(self, strange: Sequence[bool], step: int) -> None:
        """Fail the sentences that have no numbers any more."""
        for sentence, is_strange in zip(self._ids, strange, strict=True):
            if is_strange:
                self._fail(sentence, not_a_number(max(0, step - self._watch.limits[sentence].start)))

    def _restrict(self, step: int, lprobs: Tensor, history: Tensor) -> None:
        """Hold each sentence to its limits and to the rules, as fairseq does where there is but one."""
        tokens: list[list[list[int]]] | None = None
        for place, sentence in enumerate(self._ids):
            limits = self._watch.limits[sentence]
            row = lprobs[place]
            if step in limits.breaks:  # the unknown symbol stands in until ``mended``
                end = row[:, self.eos].clone()
                row.fill_(_IMPOSSIBLE)
                row[:, self.unk] = end
            if step < limits.start + limits.forced:
                continue
            if step >= limits.most:
                end = torch.zeros_like(row[:, self.eos]) if limits.free else row[:, self.eos].clone()
                row.fill_(_IMPOSSIBLE)
                row[:, self.eos] = end
            elif step < limits.least:
                for token in (self.eos, *self._watch.stops):
                    row[:, token] = _IMPOSSIBLE
            if self._watch.rules or self._watch.stops:
                if tokens is None:
                    tokens = history[:, 1:].view(*lprobs.shape[:2], -1).tolist()
                for past, hypothesis in zip(tokens[place], row, strict=True):
                    for rule in self._watch.rules:
                        rule(past, limits.start, hypothesis)
                    if len(past) > limits.start + limits.forced and past[-1] in self._watch.stops:
                        hypothesis.fill_(_IMPOSSIBLE)
                        hypothesis[self.eos] = 0.0

    def _without_dropped(self, found: tuple[Tensor, Tensor, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Whatever a dropped sentence has found, to fairseq it has ended."""
        for place, sentence in enumerate(self._ids):
            if sentence in self._dropped:
                for part, value in zip(found, (0.0, self.eos, 0), strict=True):
                    part[place] = value
        return found

    def _figures(
        self,
        raw: Tensor,
        lprobs: Tensor,
        before: Tensor | None,
        found: tuple[Tensor, Tensor, Tensor],
        strange: Tensor,
    ) -> list[list[list[float]]]:
        """Of each candidate of each sentence what ``nodes.grown`` reads, then whether its sentence is
        ``strange``, and its beam: all for which the host has to wait. ``before`` is that of ``_strange``.
        """
        totals, tokens, beams = found
        sentences, beam, _ = lprobs.shape
        rows = (beams + torch.arange(sentences, device=beams.device)[:, None] * beam).flatten()
        increments = totals if before is None else totals - before.gather(1, beams)
        columns = [tokens, totals, increments, self._processed(lprobs, tokens)]
        more = [strange[:, None].expand_as(tokens), beams]
        table = figures.table(
            raw,
            rows,
            [column.flatten() for column in columns],
            self._watch.alternatives or None,
            [column.flatten() for column in more],
        )
        size = len(table) // sentences
        return [table[place : place + size] for place in range(0, len(table), size)]

    def _processed(self, lprobs: Tensor, tokens: Tensor) -> Tensor:
        """Log-probabilities in what was chosen from, ``[sentences, candidates]``; NaN where beams compete."""
        drawn: Tensor | None = getattr(self._inner, "proc_lp", None)
        if drawn is not None:
            return drawn
        if lprobs.shape[1] > 1:
            return torch.full(tokens.shape, float("nan"), device=tokens.device)
        rest = lprobs[:, 0]
        return rest.gather(1, tokens) - rest.logsumexp(-1, keepdim=True)

    def _extend(
        self,
        step: int,
        beams: list[list[int]],
        found: list[list[list[float]]],
        distribution: Callable[[int], bytes] | None,
    ) -> None:
        """Grow the trees by one token; ``beams`` says which hypothesis each candidate goes on from."""
        assert self._rows is not None
        self._candidates = []
        for place, (sentence, rows) in enumerate(zip(self._ids, self._rows, strict=True)):
            candidates = found[place]
            limits = self._watch.limits[sentence]
            index = step - limits.start
            if index < 0 or sentence in self._dropped:
                self._candidates.append([None] * len(candidates))
                continue
            forced = index < limits.forced
            nodes = []
            for beam, columns in zip(beams[place], candidates, strict=True):
                whole = distribution(place * len(rows) + beam) if distribution and limits.told(step) else b""
                nodes.append(grown(rows[beam], columns, forced, whole))
            self._candidates.append(list(nodes))
            totals = [columns[1] for columns in candidates]
            possible = [each for each in zip(nodes, totals, strict=True) if each[1] != _IMPOSSIBLE]
            if not possible:
                self._fail(sentence, nothing_left(index))
                continue
            for node, _ in possible:
                if node.token == self.eos:
                    self.ends[sentence].setdefault(node.tokens(), []).append(node)
            best, _ = max(possible, key=lambda each: each[1])  # not every search has it first
            if best.token != self.eos:  # else what is shown stays until the beam goes on
                self._watcher.leads(sentence, best)
