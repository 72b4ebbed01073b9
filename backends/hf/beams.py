"""Beam search that can be watched: the best partial answer after each step, n-best at the end.

The search is that of transformers' ``generate(num_beams=..., early_stopping=True)``, candidate for candidate:
``max(2, 1 + eos tokens)`` times the beam width of continuations are looked at, those that end among the best
``beam`` of them become hypotheses, the best others go on, and the search is over when there are ``beam``
hypotheses. The score of a hypothesis is its summed log-probability over its length to the power of the length
penalty.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from backends import upload
from backends.base import BackendError
from backends.hf.answer import writer
from backends.hf.choosing import sampling
from backends.hf.choosing.processors import apply, forbid, processors
from backends.hf.events import no_token_left, not_a_number, started, step
from backends.hf.model import Model
from backends.hf.prompt import Prompt
from backends.hf.state.rows import Rows
from backends.hf.text import Writer
from repl.messages import Event, Finished, FinishReason, Hypothesis, Request, Rewound, Started
from repl.params import changed

_WITHOUT_EFFECT = ("temperature", "top_k", "top_p", "min_p", "typical_p")


@dataclass(slots=True, eq=False)
class Node:
    """A token of a partial answer; the nodes of all partial answers form a tree."""

    parent: "Node | None"
    choice: sampling.Choice
    text: str
    search_lp: float = 0.0
    forced: bool = False

    def path(self) -> "list[Node]":
        """From the first token of the answer to this one."""
        nodes = [self]
        while (parent := nodes[-1].parent) is not None:
            nodes.append(parent)
        return nodes[::-1]


class _Beam(NamedTuple):
    """A partial answer that goes on."""

    node: Node | None
    total: float
    """Summed ``search_lp``."""
    history: list[int]
    writer: Writer


class _Candidate(NamedTuple):
    """A beam and one token more."""

    beam: int
    choice: sampling.Choice
    search_lp: float
    total: float


class _Ended(NamedTuple):
    """A complete answer."""

    score: float
    node: Node
    text: str
    reason: FinishReason


class BeamSearch:
    """One request; after ``begin``, ``advance`` is called until ``done``."""

    def __init__(self, model: Model, request: Request, prompt: Prompt) -> None:
        params = request.params
        if params.n > params.beam:
            raise BackendError(
                "bad_parameter",
                f"n = {params.n} is more than beam = {params.beam}, the number of answers it ends with",
                f"/set beam {params.n} or /set n {params.beam}",
            )
        before = list(model.start) if model.seq2seq else prompt.ids
        self.request = request
        self.prompt = prompt
        self.done = False
        self._model = model
        self._rows: Rows | None = None
        self._processors = processors(params, model.fixed, len(before), prompt.limit)
        self._stops = model.fixed.wording.ends(params)
        self._ends = (*model.fixed.eos, *self._stops)
        self._beams = [_Beam(None, 0.0, list(before), writer(model, request, prompt))]
        self._tokens: Tensor | None = None
        self._written = 0
        """Tokens of each beam after the forced ones."""
        self._ended: list[_Ended] = []
        self._shown: list[Node] = []

    @property
    def alternatives(self) -> int | None:
        """What is told of the forced beginning's tokens; see ``sampling.force``."""
        return self.request.params.logprobs or None

    def started(self) -> Started:
        """The first event."""
        notes = list(self.prompt.notes)
        ignored = [name for name in _WITHOUT_EFFECT if name in changed(self.request.params)]
        if ignored:
            notes.append(f"{', '.join(ignored)}: no effect under beams")
        return started(self.request, self.prompt, notes, self._model.codec.piece)

    def begin(self, rows: Rows, logits: Tensor, forced: Sequence[sampling.Choice]) -> list[Event]:
        """The first candidates, after the prompt and the forced beginning, which no score counts.

        ``rows`` has one row that holds both, ``logits`` ``[1, vocab]`` follow them.
        """
        self._rows = rows
        node, _, history, text = self._beams[0]
        for choice in forced:
            node = Node(node, choice, text.push(choice.token, last=False)[0], forced=True)
            history.append(choice.token)
        self._beams = [_Beam(node, 0.0, history, text)]
        return self._continue(logits)

    def advance(self) -> list[Event]:
        """One forward pass for all beams."""
        assert self._rows is not None and self._tokens is not None
        return self._continue(self._rows.decode(self._tokens))

    def _continue(self, logits: Tensor) -> list[Event]:
        """Go on by one token, given ``logits`` ``[beams, vocab]``."""
        self._extend(self._candidates(logits))
        if not self.done:
            node = self._beams[0].node
            assert node is not None
            return self._show(node)
        best = self._ended[0]
        found = tuple(self._hypothesis(ended) for ended in self._ended[: self.request.params.n])
        return [
            *self._show(best.node),
            Finished(
                id=self.request.id,
                reason=best.reason,
                text=best.text,
                hypotheses=found,
                batch=self.request.params.beam,
            ),
        ]

    def _candidates(self, logits: Tensor) -> list[_Candidate]:
        """The best continuations of all beams, best first; ``logits`` is ``[beams, vocab]``."""
        params = self.request.params
        lps = logits.log_softmax(-1)
        early = self._written + len(self.prompt.forced) < params.min_new
        scores = forbid(lps, [self._ends] * len(self._beams))[0] if early else lps
        if self._processors:
            scores = apply(self._processors, [beam.history for beam in self._beams], scores)
        totals = scores + upload.floats([beam.total for beam in self._beams], scores)[:, None]
        count = max(2, 1 + len(self._ends)) * params.beam
        best = totals.flatten().topk(min(count, totals.numel()))
        beam, token = best.indices // lps.shape[1], best.indices % lps.shape[1]
        columns = [beam, token, lps[beam, token], scores[beam, token], best.values]
        table = torch.stack([column.double() for column in columns], dim=1).tolist()
        every = list(range(len(table))) if params.logprobs else []
        seen = lps[beam] if every else lps
        whole = sampling.distributions(lps, lps.new_zeros(len(lps))) if self.request.distributions else None
        more = sampling.examine(seen, lps.new_zeros(len(every)), token, every, params.logprobs)
        if table[0][-1] != table[0][-1]:  # topk puts NaN first
            raise not_a_number(self._written)
        return [
            _Candidate(
                int(at),
                sampling.Choice(int(token), raw, None, True, True, *more.get(place, ()))._replace(
                    distribution=whole[int(at)] if whole else b""
                ),
                search_lp,
                total,
            )
            for place, (at, token, raw, search_lp, total) in enumerate(table)
            if total != float("-inf")
        ]

    def _extend(self, candidates: list[_Candidate]) -> None:
        """Sort the candidates into complete answers and beams that go on."""
        params = self.request.params
        self._written += 1
        full = self._written + len(self.prompt.forced) >= self.prompt.limit
        beams: list[_Beam] = []
        sources: list[int] = []
        for place, candidate in enumerate(candidates):
            if place >= params.beam and len(beams) == params.beam:
                break
            beam, token = self._beams[candidate.beam], candidate.choice.token
            reason: FinishReason | None = "length" if full else None
            if token in self._model.fixed.eos:
                reason = "eos"
            writer = beam.writer.fork()
            if token in self._stops:
                text, reason = writer.end(), "stop"
            else:
                text, stopped = writer.push(token, last=reason is not None)
                reason = "stop" if stopped else reason
            node = Node(beam.node, candidate.choice, text, candidate.search_lp)
            if reason is None and len(beams) < params.beam:
                beams.append(_Beam(node, candidate.total, [*beam.history, token], writer))
                sources.append(candidate.beam)
            elif reason is not None and place < params.beam:
                score = candidate.total / self._written**params.length_penalty
                self._ended.append(_Ended(score, node, writer.text, reason))
        self._ended.sort(key=lambda ended: -ended.score)
        del self._ended[params.beam :]
        self.done = full or len(self._ended) == params.beam or not beams
        if self.done and not self._ended:
            raise no_token_left(self._written - 1)
        self._beams = beams
        if not self.done:
            assert self._rows is not None
            if sources != list(range(self._rows.size)):
                self._rows.select(sources)
            tokens = [beam.history[-1] for beam in beams]
            self._tokens = upload.integers(tokens, self._model.fixed.device)

    def _show(self, node: Node) -> list[Event]:
        """The steps that lead from what was shown last to ``node``."""
        path = node.path()
        keep = 0
        while keep < min(len(path), len(self._shown)) and path[keep] is self._shown[keep]:
            keep += 1
        events: list[Event] = []
        if keep < len(self._shown):
            events.append(Rewound(id=self.request.id, keep=keep))
        for index, new in enumerate(path[keep:], start=keep):
            search_lp = None if new.forced else new.search_lp
            piece = self._model.codec.piece
            events.append(
                step(
                    self.request,
                    piece,
                    index,
                    new.choice,
                    new.text,
                    search_lp=search_lp,
                    forced=new.forced,
                )
            )
        self._shown = path
        return events

    def _hypothesis(self, ended: _Ended) -> Hypothesis:
        path = ended.node.path()
        return Hypothesis(
            text=ended.text,
            tokens=tuple(node.choice.token for node in path),
            score=ended.score,
            token_scores=tuple(node.search_lp for node in path),
        )
