"""Sets fairseq's own generator up for a request, and runs it.

The parameters of a request are put into fairseq's terms here, and nowhere else.
"""

import secrets
from argparse import Namespace
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from backends.base import BackendError
from backends.fairseq.load import Model
from backends.fairseq.prompt import Prompt
from backends.fairseq.rules import EndAtStop, NoRepeat
from backends.fairseq.sampling import Cut, KeyedSampling
from backends.fairseq.search import Probe, Report, Rule, Watch, Watched
from repl.messages import Request
from repl.params import Params, changed

_FRESH_SEED_BITS = 63
_OF_SAMPLING = ("top_k", "top_p", "min_p")


@dataclass(frozen=True)
class Plan:
    """How a request is decoded."""

    sentences: int
    """Rows of the batch: one, or one for each sample."""
    beam: int
    temperature: float
    """fairseq divides the logits by it, under beams too."""
    seed: int | None
    """Of the sampler; None where nothing is drawn."""
    notes: tuple[str, ...]

    @classmethod
    def of(cls, params: Params, vocabulary: int) -> "Plan":
        """Raises ``BackendError`` where parameters contradict one another."""
        if params.n > params.beam > 1:
            raise BackendError(
                "bad_parameter",
                f"n = {params.n} is more than beam = {params.beam}, the number of answers it ends with",
                f"/set beam {params.n} or /set n {params.beam}",
            )
        if params.beam > 1:
            return cls._beams(params, vocabulary)
        if params.temperature == 0:
            notes = ("n has no effect without sampling or beams",) if params.n > 1 else ()
            return cls(1, 1, 1.0, None, notes)
        if params.seed is not None:
            return cls(params.n, 1, params.temperature, params.seed, ())
        seed = secrets.randbits(_FRESH_SEED_BITS)
        return cls(params.n, 1, params.temperature, seed, (f"seed {seed}",))

    @classmethod
    def _beams(cls, params: Params, vocabulary: int) -> "Plan":
        notes = []
        if ignored := [name for name in _OF_SAMPLING if name in changed(params)]:
            notes.append(f"{', '.join(ignored)}: no effect under beams")
        if params.temperature not in (0, 1):
            notes.append("temperature: divides the logits of the beam search; nothing is drawn")
        if params.beam >= vocabulary:
            notes.append(f"beam is {vocabulary - 1} here: the dictionary has {vocabulary} symbols")
        return cls(1, min(params.beam, vocabulary - 1), params.temperature or 1.0, None, tuple(notes))


class Generation:
    """One call of fairseq's generator, watched."""

    def __init__(self, model: Model, request: Request, prompt: Prompt, plan: Plan) -> None:
        self._model, self._request, self._prompt, self._plan = model, request, prompt, plan
        self._generator = self._build()
        self._probe = Probe(model.networks, plan.temperature)
        self.watched: Watched | None = None
        """The search of the running or the last call."""

    def run(self, report: Callable[[Report], None]) -> list[list[dict[str, Any]]]:
        """What ``generate`` returns: for each sentence its hypotheses, best first.

        ``report`` is called after each step and ends the generation by raising.
        """
        model, prompt, sentences = self._model, self._prompt, self._plan.sentences
        watch = Watch(
            start=prompt.start,
            forced=len(prompt.forced),
            alternatives=self._request.params.logprobs,
            rules=self._rules(),
            report=report,
        )
        inner = self._generator.search
        self.watched = Watched(model.task.target_dictionary, inner, self._probe, watch)
        self._generator.search = self.watched
        try:
            with self._probe.attached():
                found: list[list[dict[str, Any]]] = model.task.inference_step(
                    self._generator,
                    model.networks,
                    self._sample(sentences),
                    prefix_tokens=self._prefix(sentences),
                )
        finally:
            self._generator.search = inner
        return found

    def _build(self) -> Any:
        model, params, prompt, plan = self._model, self._request.params, self._prompt, self._plan
        settings = Namespace(
            beam=plan.beam,
            temperature=plan.temperature,
            lenpen=params.length_penalty,
            unkpen=params.unkpen,
            max_len_a=0,
            max_len_b=prompt.start + prompt.limit,
            # fairseq counts a language model's prompt, and never lets a translation be empty.
            min_len=max(1, prompt.start + params.min_new),
        )
        generator = model.task.build_generator(model.networks, settings)
        if plan.seed is not None:
            cut = Cut(params.top_k, params.top_p, params.min_p)
            dictionary = model.task.target_dictionary
            generator.search = KeyedSampling(dictionary, plan.seed, self._request.sample, prompt.start, cut)
        return generator

    def _rules(self) -> tuple[Rule, ...]:
        params, rules = self._request.params, list[Rule]()
        if params.no_repeat_ngram:
            rules.append(NoRepeat(params.no_repeat_ngram))
        if params.stop:
            rules.append(EndAtStop(self._model.codec, params.stop, self._prompt.start))
        return tuple(rules)

    def _sample(self, sentences: int) -> dict[str, Any]:
        """The batch: the same prompt in every row. Nothing is padded."""
        tokens = torch.tensor([self._prompt.ids] * sentences, device=self._model.device)
        lengths = torch.full((sentences,), tokens.shape[1], device=self._model.device)
        return {
            "id": torch.arange(sentences, device=self._model.device),
            "net_input": {"src_tokens": tokens, "src_lengths": lengths},
        }

    def _prefix(self, sentences: int) -> torch.Tensor | None:
        """What the decoder is made to begin with: a language model's prompt, and the answer's beginning."""
        tokens = (self._prompt.ids if self._model.causal else []) + self._prompt.forced
        return torch.tensor([tokens] * sentences, device=self._model.device) if tokens else None
