"""The task ``score``: a given text after the prompt, each of its tokens as a forced step.

The text is read as the forced beginning of an answer is, in passes of a fixed size, so that running answers
go on beside it and the numbers do not depend on them.
"""

from collections.abc import Sequence

import msgspec
import torch
from torch import Tensor
from transformers import ForcedBOSTokenLogitsProcessor, LogitsProcessorList

from backends.base import BackendError
from backends.hf.choosing.processors import Warp, apply, forbid, processors, warpers
from backends.hf.choosing.sampling import Choice
from backends.hf.events import not_a_number, started, step
from backends.hf.model import Model
from backends.hf.prompt import Prompt, check_ids, cut, encode, token_ids, too_long
from backends.hf.text import Writer
from repl.messages import Event, Finished, Request, Started

_ENDLESS = 1 << 60
"""A text that is given has no limit at which it must end."""


class Scoring:
    """A text to be scored, on its way through the model."""

    def __init__(self, model: Model, request: Request) -> None:
        """Raises ``BackendError`` if there is nothing to score, or too much."""
        self.request = request
        self._model = model
        self._notes: list[str] = []
        self._first: int | None = None
        """A token without a score: nothing stands before it."""
        ids, text = self._before()
        target = self._target(text, ids)
        if not target:
            raise BackendError("empty_prompt", "there is no text to score", "give at least one word")
        if not ids and not model.seq2seq:
            self._first, ids, target = target[0], target[:1], target[1:]
        check_ids(model, ids, target, given=bool(request.target_ids))
        kept = self._fitting(ids, len(target))
        dropped = len(ids) - len(kept)
        if dropped:
            ids, text = kept, model.codec.decode(kept, skip_special=False)
        self.prompt = Prompt(ids, text, target, len(target), dropped, tuple(self._notes))
        params = request.params
        before = list(model.start) if model.seq2seq else list(ids)
        self._history = before
        self._scored = 0
        chain = processors(params, model.fixed, len(before), _ENDLESS)
        # A text that is given need not begin as answers are made to.
        kinds = [each for each in chain if not isinstance(each, ForcedBOSTokenLogitsProcessor)]
        self._chain = LogitsProcessorList(kinds)
        self._warp = None
        if params.temperature > 0:
            warp = (params.temperature, params.top_k, params.top_p, params.min_p, params.typical_p)
            self._warp = Warp(*warp)
        self._ends = (*model.fixed.eos, *model.fixed.wording.ends(params))
        self._writer = Writer(model.codec.stream(() if model.seq2seq or self._first is not None else ids), ())
        self._told = 0

    @property
    def alternatives(self) -> int | None:
        """See ``sampling.force``: rank and entropy always."""
        return self.request.params.logprobs

    def started(self) -> Started:
        """The first event."""
        piece = self._model.codec.piece
        shown = self.prompt
        if self._first is not None:
            shown = Prompt([], "", [], 0, 0, ())
        return started(self.request, shown, self._notes, piece)

    def process(self, logits: Tensor, tokens: Sequence[int]) -> Tensor:
        """See ``sampling.Process``: what the request's settings make of the distributions, in their order."""
        begun = len(self._history)
        self._history += tokens
        index = self._scored
        self._scored += len(tokens)
        early = [self._ends if index + i < self.request.params.min_new else () for i in range(len(tokens))]
        scores, _ = forbid(logits, early)
        if self._chain:
            scores = torch.cat(
                [
                    apply(self._chain, [self._history[: begun + i]], scores[i : i + 1])
                    for i in range(len(tokens))
                ]
            )
        return warpers(self._warp)(None, scores) if self._warp else scores

    def take(self, choices: Sequence[Choice]) -> list[Event]:
        """The steps of the next tokens, and the end after the last one."""
        every = list(choices)
        if self._first is not None and not self._told:
            every.insert(0, Choice(self._first, float("nan"), None))
        events: list[Event] = []
        total = len(self.prompt.forced) + (self._first is not None)
        for choice in every:
            scored = self._told > 0 or self._first is None
            if scored and not choice.valid:
                raise not_a_number(self._told)
            text, _ = self._writer.push(choice.token, last=self._told == total - 1)
            made = step(self.request, self._model.codec.piece, self._told, choice, text, forced=True)
            events.append(made if scored else msgspec.structs.replace(made, raw_lp=None))
            self._told += 1
        if self._told == total:
            length = len(self._model.start) + len(self.prompt.ids) + len(self.prompt.forced)
            text = self._writer.text
            events.append(Finished(id=self.request.id, reason="done", text=text, padded=length))
        return events

    def _fitting(self, ids: list[int], length: int) -> list[int]:
        """The prompt, cut if the request allows it, so that a text of ``length`` tokens fits after it."""
        model, side = self._model, self.request.params.truncate
        if model.seq2seq:
            room, held = model.max_prompt, len(model.start)
        else:
            room, held = None if model.context is None else model.context - length, 0
        if model.context is not None and held + length >= model.context + model.seq2seq:
            raise BackendError(
                "prompt_too_long",
                f"the text has {length} tokens; model '{model.name}' has {model.context} positions",
                "score it in parts",
            )
        if room is None or len(ids) <= room:
            return ids
        if side == "off" and model.seq2seq:
            raise too_long(model, len(ids))
        if side == "off":
            raise BackendError(
                "prompt_too_long",
                f"prompt and text have {len(ids) + length} tokens; model '{model.name}' has "
                f"{model.context} positions",
                "score it in parts, or /set truncate left (drops the prompt's beginning)",
            )
        return cut(model, ids, room, side)

    def _before(self) -> tuple[list[int], str]:
        """What stands before the text: its tokens, and the same as text."""
        model, request = self._model, self.request
        if request.prompt or request.history or model.seq2seq:
            text, ids = encode(model, request, list(request.history))
            if model.seq2seq and request.opening not in ("auto", "bos"):
                self._notes.append(f"opening = {request.opening}: no effect, the decoder has a beginning")
            return ids, text
        ids = self._opening()
        text = model.codec.decode(ids, skip_special=False)
        self._notes.append(
            f"begins with {text}" if ids else "begins with nothing: the first token has no score"
        )
        return ids, text

    def _opening(self) -> list[int]:
        tokenizer, wanted = self._model.codec.tokenizer, self.request.opening
        if wanted == "none":
            return []
        if wanted == "auto":
            own = token_ids(tokenizer, "")
            if own and own[-1] in self._model.fixed.eos and own[-1] != tokenizer.bos_token_id:
                own = own[:-1]  # some tokenizers close every text
            if own:
                return own
        order = {"bos": ("bos",), "eos": ("eos",), "auto": ("bos", "eos")}[wanted]
        for name in order:
            token = getattr(tokenizer, f"{name}_token_id")
            if token is not None:
                return [token]
        if wanted == "auto":
            return []
        raise BackendError(
            "bad_parameter",
            f"model '{self._model.name}' has no {wanted.upper()} token",
            "opening=auto, or none",
        )

    def _target(self, text: str, ids: list[int]) -> list[int]:
        """The tokens to score: as they are when they follow the prompt, where that can be told."""
        request, tokenizer = self.request, self._model.codec.tokenizer
        if request.target_ids:
            target = list(request.target_ids)
        elif self._model.seq2seq:
            target = list(tokenizer(text_target=request.target, add_special_tokens=False)["input_ids"])
        else:
            target = token_ids(tokenizer, request.target, add_special_tokens=False)
            if request.prompt:
                target = self._joined(text, ids, target)
        if request.closing:
            if not self._model.fixed.eos:
                raise BackendError(
                    "bad_parameter", f"model '{self._model.name}' has no end token", "closing=off"
                )
            target.append(self._model.fixed.eos[0])
        return target

    def _joined(self, text: str, ids: list[int], alone: list[int]) -> list[int]:
        special = not (self._model.chat and self.request.template)
        whole = token_ids(self._model.codec.tokenizer, text + self.request.target, add_special_tokens=special)
        if whole[: len(ids)] == ids:
            return whole[len(ids) :]
        self._notes.append("the text's first token would melt into the prompt's last: they are kept apart")
        return alone
