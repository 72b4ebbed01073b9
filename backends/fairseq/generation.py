"""Sets fairseq's own generator up for some requests that decode alike, and runs it.

The parameters of a request are put into fairseq's terms here, and nowhere else.
"""

from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from fairseq.data.data_utils import collate_tokens
from fairseq.models import FairseqIncrementalDecoder
from fairseq.token_generation_constraints import pack_constraints

from backends.cut import Cut
from backends.fairseq import wording
from backends.fairseq.load import Model
from backends.fairseq.luck import Luck
from backends.fairseq.plan import Plan
from backends.fairseq.probe import Probe
from backends.fairseq.prompt import Prompt
from backends.fairseq.rules import Biased, EndAtStop, NoRepeat, Written
from backends.fairseq.sampling import Draws, KeyedSampling
from backends.fairseq.search import Limits, Rule, Watch, Watched, Watcher
from repl.messages import Request

Hypotheses = list[dict[str, Any]]
"""What fairseq has found for a sentence, best first."""


class Listener(Watcher, Protocol):
    """Hears also of what is complete."""

    def ended(self, sentence: int, hypotheses: Hypotheses) -> None:
        """A sentence is complete; it is out of the batch."""
        ...


@dataclass(frozen=True)
class Sentence:
    """One row of the batch."""

    request: Request
    prompt: Prompt
    plan: Plan
    matching: bool = False
    """Its answer has as many tokens as its prompt, and the end does not count."""
    sample: int = 0
    """Which of the samples of its request it is."""

    @property
    def limits(self) -> Limits:
        """fairseq counts a language model's prompt, and never lets a translation be empty."""
        prompt = self.prompt
        most = prompt.start + prompt.limit
        least = max(1, prompt.start + self.request.params.min_new)
        if self.matching:
            least = most
        return Limits(
            prompt.start,
            len(prompt.forced),
            least,
            most,
            free=self.matching,
            breaks=prompt.breaks,
            known=self.request.known,
        )


class Generation:
    """One call of fairseq's generator, watched. Longer sentences come first, as its LSTM wants them.

    Several may take turns with one model: each step belongs to the generation whose turn it is.
    """

    def __init__(self, model: Model, probe: Probe, sentences: Sequence[Sentence], listener: Listener) -> None:
        self._model, self._probe, self._sentences = model, probe, sentences
        self._listener = listener
        luck = sentences[0].plan.luck
        self._luck = None if luck is None else Luck(luck, model.device)
        self._limits = [sentence.limits for sentence in sentences]
        self._generator = self._build()
        first = sentences[0].request
        stops = sentences[0].prompt.stops
        watch = Watch(self._limits, first.params.logprobs, self._rules(), first.distributions, stops)
        dictionary = model.task.target_dictionary
        self.watched = Watched(dictionary, self._generator.search, probe, watch, listener)
        """The search."""
        self._generator.search = self.watched
        self._beam: int = self._generator.beam_size
        self._generator.is_finished = self._is_finished
        self._generator.finalize_hypos = self._settling(self._generator.finalize_hypos)
        if any(limits.breaks for limits in self._limits):
            self._mend(self._generator.model)

    def run(self) -> None:
        """Until every sentence is complete, or the listener raises."""
        self.resume()
        # A task's own ``inference_step`` knows the languages of the task only, not those of a line.
        self._generator.generate(
            self._model.networks,
            self._sample(),
            prefix_tokens=self._prefix(),
            constraints=self._constraints(),
            bos_token=self._sentences[0].prompt.begin,
        )

    def resume(self) -> None:
        """Call it before a step when another generation may have had its turn.

        fairseq has the means to keep what it attends to in the source once for each sentence rather than
        once for each hypothesis, but never switches it on: the models lack the method it asks for.
        """
        self._probe.clear(self._sentences[0].plan.temperature)
        if self._luck is not None:
            self._luck.resume()
        for network in self._model.networks:
            if isinstance(network.decoder, FairseqIncrementalDecoder):
                network.decoder.set_beam_size(self._beam)

    def pause(self) -> None:
        """Call it after a step when another generation may have its turn."""
        if self._luck is not None:
            self._luck.pause()

    def _build(self) -> Any:
        model, first = self._model, self._sentences[0]
        settings = Namespace(
            beam=first.plan.beam,
            temperature=first.plan.temperature,
            lenpen=first.request.params.length_penalty,
            unkpen=first.request.params.unkpen,
            # The search holds each sentence to its own limits; these are the whole batch's.
            max_len_a=0,
            max_len_b=max(limits.most for limits in self._limits),
            min_len=min(limits.least for limits in self._limits),
            **_of_search(first),
        )
        fused = {} if model.fusion is None else model.fusion.settings
        generator = model.task.build_generator(model.networks, settings, extra_gen_cls_kwargs=fused)
        if first.plan.seed is not None:
            params = first.request.params
            cut = Cut(params.top_k, params.top_p, params.min_p, params.typical_p)
            draws = [_draws(sentence) for sentence in self._sentences]
            generator.search = KeyedSampling(model.task.target_dictionary, draws, cut)
        return generator

    def _rules(self) -> tuple[Rule, ...]:
        first = self._sentences[0]
        params, rules = first.request.params, list[Rule]()
        if sequences := wording.biases(self._model.codec, params):
            rules.append(Biased(sequences))
        if params.presence_penalty or params.frequency_penalty:
            written = (params.presence_penalty, params.frequency_penalty, first.plan.temperature)
            rules.append(Written(*written))
        if params.no_repeat_ngram:
            rules.append(NoRepeat(params.no_repeat_ngram))
        if params.stop:
            rules.append(EndAtStop(self._model.codec, params.stop))
        return tuple(rules)

    def _sample(self) -> dict[str, Any]:
        """The batch. Only an encoder reads what is padded, and it masks it."""
        device = self._model.device
        ids = [sentence.prompt.ids for sentence in self._sentences]
        lengths = torch.tensor([len(tokens) for tokens in ids], device=device)
        tokens = self._padded(ids, left=self._model.pads_left)
        return {
            "id": torch.arange(len(ids), device=device),
            "net_input": {"src_tokens": tokens, "src_lengths": lengths},
        }

    def _prefix(self) -> torch.Tensor | None:
        """What the decoder is made to begin with: a language model's prompt, and the answer's beginning."""
        begins = [
            (sentence.prompt.ids if self._model.causal else []) + sentence.prompt.forced
            for sentence in self._sentences
        ]
        pad = self._model.task.target_dictionary.pad()
        for sentence, begin in zip(self._sentences, begins, strict=True):
            for step in sentence.prompt.breaks:
                begin[step] = pad  # nothing that fairseq forces: it would take an end token for the end
        return self._padded(begins, left=False) if any(begins) else None

    def _constraints(self) -> torch.Tensor | None:
        if self._sentences[0].plan.searching != "constraints":
            return None
        phrases = [
            [torch.tensor(phrase) for phrase in sentence.prompt.constraints] for sentence in self._sentences
        ]
        packed: torch.Tensor = pack_constraints(phrases)
        return packed.to(self._model.device)

    def _mend(self, ensemble: Any) -> None:
        """Let the decoder read the end tokens of the prompts, see ``Watched.mended``."""
        forward = ensemble.forward_decoder

        def forward_decoder(tokens: torch.Tensor, *more: Any, **named: Any) -> Any:
            if tokens.shape[1] > 1:
                self.watched.mended(tokens)
            return forward(tokens, *more, **named)

        ensemble.forward_decoder = forward_decoder

    def _padded(self, rows: Sequence[list[int]], *, left: bool) -> torch.Tensor:
        pad = self._model.task.target_dictionary.pad()
        tensors = [torch.tensor(row, dtype=torch.long) for row in rows]
        padded: torch.Tensor = collate_tokens(tensors, pad, left_pad=left)
        return padded.to(self._model.device)

    def _is_finished(self, step: int, place: int, most: int, found: int, beam: int) -> bool:
        """As fairseq's own, but with the sentence's own limit."""
        return found == beam or self.watched.is_over(place, step)

    def _settling(self, finalize: Callable[..., list[int]]) -> Callable[..., list[int]]:
        """``finalize_hypos``, which tells of a sentence as soon as it is complete."""

        def finalize_hypos(
            step: int,
            places: Any,
            scores: Any,
            tokens: Any,
            all_scores: Any,
            finalized: list[Hypotheses],
            finished: list[bool],
            *more: Any,
        ) -> list[int]:
            before = finished[:]
            newly = finalize(step, places, scores, tokens, all_scores, finalized, finished, *more)
            if newly:
                for sentence, (was, now) in enumerate(zip(before, finished, strict=True)):
                    if now and not was and not self.watched.is_dropped(sentence):
                        self._listener.ended(sentence, self._ranked(sentence, finalized[sentence]))
            return newly

        return finalize_hypos

    def _ranked(self, sentence: int, found: Hypotheses) -> Hypotheses:
        """Best first, in fairseq's order where scores are equal; attention without the padding."""
        scores = torch.tensor([float(hypothesis["score"]) for hypothesis in found])
        ranked = [dict(found[place]) for place in scores.sort(descending=True).indices.tolist()]
        length = len(self._sentences[sentence].prompt.ids)
        for hypothesis in ranked:
            attention = hypothesis["attention"]
            if attention.numel():
                hypothesis["attention"] = (
                    attention[-length:] if self._model.attends_left else attention[:length]
                )
        return ranked


def _of_search(sentence: Sentence) -> dict[str, Any]:
    """What makes fairseq choose another search than that of plain beams."""
    params = sentence.request.params
    match sentence.plan.searching:
        case "groups":
            strength = params.diverse_strength
            return {"diverse_beam_groups": params.diverse_groups, "diverse_beam_strength": strength}
        case "siblings":
            return {"diversity_rate": params.diversity_rate}
        case "constraints":
            return {"constraints": params.constraint_order}
        case _:
            return {}


def _draws(sentence: Sentence) -> Draws:
    assert sentence.plan.seed is not None
    return Draws(sentence.plan.seed, sentence.request.sample + sentence.sample, sentence.prompt.start)
