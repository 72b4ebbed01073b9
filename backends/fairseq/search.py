"""Watches fairseq's search from the inside: what it thinks of each token, and which hypothesis leads.

``Watched`` stands in the place of ``generator.search``. After each step it reports the best live hypothesis
of every sentence as a ``Node``, the last token of a path back to the first; it also applies the rules that
fairseq lacks. The search itself stays fairseq's own. ``Probe`` sees the model's distribution before fairseq
changes it.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from fairseq.search import Search
from torch import Tensor

from backends.base import BackendError

Top = tuple[tuple[int, float], ...]
Report = list[tuple[int, "Node | None"]]
"""(sentence id, best live hypothesis) pairs; None where the leading one has just ended."""


@dataclass(slots=True, eq=False)
class Node:
    """A token of a partial answer; the nodes of all hypotheses of a sentence form a tree."""

    parent: "Node | None"
    token: int
    search_lp: float
    raw_lp: float
    proc_lp: float | None = None
    rank: int | None = None
    entropy: float | None = None
    top: Top = ()
    forced: bool = False

    def path(self) -> "list[Node]":
        """From the first token of the answer to this one."""
        nodes = [self]
        while (parent := nodes[-1].parent) is not None:
            nodes.append(parent)
        return nodes[::-1]

    def tokens(self) -> tuple[int, ...]:
        """The answer up to here."""
        return tuple(node.token for node in self.path())


class Rule(Protocol):
    """Changes what may follow a hypothesis."""

    def __call__(self, history: list[int], lprobs: Tensor) -> None:
        """``history`` holds all its tokens, a language model's prompt included; ``lprobs`` is ``[vocab]``."""
        ...


class Probe:
    """Keeps the log-probabilities of a step as the model gives them: float32, temperature 1, no penalty."""

    def __init__(self, models: Sequence[Any], temperature: float) -> None:
        self._models = models
        self._temperature = temperature
        self._seen: list[Tensor] = []

    @contextmanager
    def attached(self) -> Iterator[None]:
        """While this lasts each model's ``get_normalized_probs`` is listened to."""
        for model in self._models:
            model.get_normalized_probs = self._listening(model.get_normalized_probs)
        try:
            yield
        finally:
            for model in self._models:
                del model.get_normalized_probs

    def take(self) -> Tensor:
        """``[hypotheses, vocab]`` of the last step; an ensemble's is the mean of the probabilities."""
        seen, self._seen = self._seen, []
        if len(seen) == 1:
            return seen[0]
        return torch.stack(seen).logsumexp(0) - torch.tensor(float(len(seen))).log().item()

    def _listening(self, inner: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def get_normalized_probs(out: Any, log_probs: bool, sample: Any = None) -> Tensor:
            lprobs = inner(out, log_probs, sample)
            if self._temperature == 1:
                raw = lprobs.clone()  # the search writes into it
            else:
                raw = inner((out[0] * self._temperature, *out[1:]), log_probs, sample)
            self._seen.append(raw[:, -1].float())
            return lprobs

        return get_normalized_probs


@dataclass(frozen=True)
class Watch:
    """What to look at, and what to do about it."""

    start: int
    """Step of the answer's first token: the length of a language model's prompt, else 0."""
    forced: int
    """Number of tokens the answer is made to begin with."""
    alternatives: int
    """How many to keep for each token; with 0 neither rank nor entropy is computed."""
    rules: tuple[Rule, ...]
    report: Callable[[Report], None]
    """Called in each step; what it raises ends the generation."""


class Watched(Search):  # type: ignore[misc]
    """A search that does as ``inner`` does and tells of it."""

    def __init__(self, dictionary: Any, inner: Search, probe: Probe, watch: Watch) -> None:
        super().__init__(dictionary)
        self.supports_constraints = inner.supports_constraints
        self.stop_on_max_len = inner.stop_on_max_len
        self.ended: dict[tuple[int, tuple[int, ...]], Node] = {}
        """End tokens by sentence and by the answer up to and with them."""
        self._inner = inner
        self._probe = probe
        self._watch = watch
        self._rows: list[list[Node | None]] | None = None
        """The hypotheses that go on, by sentence and place in the beam; None for an empty answer."""
        self._candidates: list[list[Node | None]] | None = None

    def step(
        self,
        step: int,
        lprobs: Tensor,
        scores: Tensor,
        prev_output_tokens: Tensor | None = None,
        original_batch_idxs: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See ``Search.step``; ``lprobs`` is ``[sentences, beam, vocab]``."""
        assert prev_output_tokens is not None and original_batch_idxs is not None
        sentences, beam, _ = lprobs.shape
        raw = self._probe.take()
        before = scores[:, :, step - 1] if step else None
        _check(raw, before, index := max(0, step - self._watch.start))
        if step < self._watch.start:
            self._watch.report([])
            return self._search(step, lprobs, scores, prev_output_tokens, original_batch_idxs)
        if index >= self._watch.forced and self._watch.rules:
            for history, row in zip(prev_output_tokens[:, 1:].tolist(), lprobs.flatten(0, 1), strict=True):
                for rule in self._watch.rules:
                    rule(history, row)
        found = self._search(step, lprobs, scores, prev_output_tokens, original_batch_idxs)
        if self._rows is None:
            self._rows = [[None] * beam for _ in range(sentences)]
        figures = self._figures(raw, lprobs, before, found)
        ids = original_batch_idxs.tolist()
        self._watch.report(self._extend(ids, figures, index))
        return found

    def prune_sentences(self, batch_idxs: Tensor) -> None:
        """fairseq drops the sentences that are complete."""
        self._inner.prune_sentences(batch_idxs)
        if self._candidates is not None:
            self._candidates = [self._candidates[sentence] for sentence in batch_idxs.tolist()]

    def update_constraints(self, active_hypos: Tensor) -> None:
        """fairseq has chosen which candidates go on."""
        self._inner.update_constraints(active_hypos)
        if self._candidates is not None:
            chosen = zip(self._candidates, active_hypos.tolist(), strict=True)
            self._rows = [[candidates[place] for place in places] for candidates, places in chosen]

    def init_constraints(self, batch_constraints: Tensor | None, beam_size: int) -> None:
        """Passed on."""
        self._inner.init_constraints(batch_constraints, beam_size)

    def set_src_lengths(self, src_lengths: Tensor) -> None:
        """Passed on."""
        self._inner.set_src_lengths(src_lengths)

    def _search(self, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
        found: tuple[Tensor, Tensor, Tensor] = self._inner.step(*arguments)
        return found

    def _figures(
        self, raw: Tensor, lprobs: Tensor, before: Tensor | None, found: tuple[Tensor, Tensor, Tensor]
    ) -> list[list[list[float]]]:
        """For each candidate of each sentence the columns that ``_node`` reads, with one wait for the device.

        ``before`` are the summed scores of the hypotheses, ``[sentences, beam]``; None in the first step.
        """
        totals, tokens, beams = found
        sentences, beam, _ = lprobs.shape
        rows = (beams + torch.arange(sentences, device=beams.device)[:, None] * beam).flatten()
        chosen = raw[rows, tokens.flatten()]
        increments = totals if before is None else totals - before.gather(1, beams)
        columns = [tokens, beams, totals, increments, chosen, self._processed(lprobs, tokens)]
        table = torch.stack([column.flatten().double() for column in columns], dim=1)
        if count := min(self._watch.alternatives, raw.shape[1]):
            best = raw.topk(count)
            entropy = torch.special.entr(raw.exp()).sum(-1)
            rank = (raw[rows] > chosen[:, None]).sum(-1)
            more = [rank[:, None], entropy[rows][:, None], best.indices[rows], best.values[rows]]
            table = torch.cat([table, *(column.double() for column in more)], dim=1)
        return table.view(sentences, -1, table.shape[1]).tolist()  # type: ignore[no-any-return]

    def _processed(self, lprobs: Tensor, tokens: Tensor) -> Tensor:
        """Log-probabilities in what was chosen from, ``[sentences, candidates]``; NaN where beams compete."""
        drawn: Tensor | None = getattr(self._inner, "proc_lp", None)
        if drawn is not None:
            return drawn
        if lprobs.shape[1] > 1:
            return torch.full(tokens.shape, float("nan"), device=tokens.device)
        rest = lprobs[:, 0]
        return rest.gather(1, tokens) - rest.logsumexp(-1, keepdim=True)

    def _extend(self, ids: list[int], figures: list[list[list[float]]], index: int) -> Report:
        """Grow the trees by one token."""
        assert self._rows is not None
        report: Report = []
        self._candidates = []
        forced = index < self._watch.forced
        for sentence, rows, candidates in zip(ids, self._rows, figures, strict=True):
            nodes = [_node(rows[int(columns[1])], columns, forced) for columns in candidates]
            self._candidates.append(list(nodes))
            possible = [columns[2] != float("-inf") for columns in candidates]
            if not any(possible):
                raise _nothing_left(index)
            for node in (node for node, finite in zip(nodes, possible, strict=True) if finite):
                if node.token == self.eos:
                    self.ended[sentence, node.tokens()] = node
            leads = next(node for node, finite in zip(nodes, possible, strict=True) if finite)
            report.append((sentence, None if leads.token == self.eos else leads))
        return report


def _node(parent: Node | None, columns: list[float], forced: bool) -> Node:
    token, _, _, increment, raw_lp, proc_lp, *more = columns
    node = Node(parent, int(token), increment, raw_lp, None if proc_lp != proc_lp else proc_lp, forced=forced)
    if more:
        rank, node.entropy, *pairs = more
        node.rank = int(rank)
        half = len(pairs) // 2
        node.top = tuple(zip(map(int, pairs[:half]), pairs[half:], strict=True))
    return node


def _check(raw: Tensor, before: Tensor | None, index: int) -> None:
    """fairseq turns NaN into "impossible" and goes on; here it is an error of any hypothesis that counts."""
    strange = raw[:, 0].isnan()
    if before is not None:
        strange &= before.flatten().isfinite()
    if strange.any():
        raise BackendError(
            "nan_logits",
            f"the model's output is not a number at token {index}",
            "try dtype float32; if it stays, the checkpoint is damaged",
        )


def _nothing_left(index: int) -> BackendError:
    return BackendError(
        "bad_parameter",
        f"the settings forbid every token at token {index}",
        "lower no_repeat_ngram or min_new",
    )
