"""The task ``score``: a given text after the prompt, each of its tokens as a forced step.

The text is read as the forced beginning of an answer is, in passes of a fixed size, so that running answers
go on beside it and the numbers do not depend on them.
"""

from collections.abc import Sequence

import msgspec

from backends.base import BackendError
from backends.hf.events import not_a_number, started, step
from backends.hf.model import Model
from backends.hf.prompt import Prompt, check_ids, encode, token_ids, truncated
from backends.hf.sampling import Choice
from backends.hf.text import Writer
from repl.messages import Event, Finished, Request, Started


class Scoring:
    """A text to be scored, on its way through the model."""

    def __init__(self, model: Model, request: Request) -> None:
        """Raises ``BackendError`` if there is nothing to score, or too much."""
        self.request = request
        self._model = model
        self._notes: list[str] = []
        self._first: int | None = None
        """A token without a score: nothing stands before it."""
        ids, text, cut = self._before()
        target = self._target(text, ids)
        if not target:
            raise BackendError("empty_prompt", "there is no text to score", "give at least one word")
        if not ids and not model.seq2seq:
            self._first, ids, target = target[0], target[:1], target[1:]
        check_ids(model, ids, target, given=bool(request.target_ids))
        held = len(model.start) if model.seq2seq else len(ids)
        if model.context is not None and held + len(target) > model.context:
            raise BackendError(
                "prompt_too_long",
                f"prompt and text have {held + len(target)} tokens; model '{model.name}' has {model.context} "
                "positions",
                "score it in parts, or shorten the prompt",
            )
        self.prompt = Prompt(ids, text, target, len(target), cut, tuple(self._notes))

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

    def finish(self, choices: Sequence[Choice]) -> list[Event]:
        """All steps and the end; ``choices`` are those of the prompt's forced tokens."""
        codec = self._model.codec
        context = () if self._model.seq2seq or self._first is not None else self.prompt.ids
        writer = Writer(codec.stream(context), ())
        before = [] if self._first is None else [Choice(self._first, float("nan"), None)]
        events: list[Event] = []
        every = [*before, *choices]
        for index, choice in enumerate(every):
            if not choice.valid:
                raise not_a_number(index)
            text, _ = writer.push(choice.token, last=index == len(every) - 1)
            made = step(self.request, codec.piece, index, choice, text, forced=True)
            if index < len(before):
                made = msgspec.structs.replace(made, raw_lp=None)
            events.append(made)
        length = len(self._model.start) + len(self.prompt.ids) + len(choices)
        end = Finished(id=self.request.id, reason="done", text=writer.text, batch=1, padded=length)
        return [*events, end]

    def _before(self) -> tuple[list[int], str, int]:
        """What stands before the text: its tokens, the same as text, and how many were cut off."""
        model, request = self._model, self.request
        if request.prompt or request.history or model.seq2seq:
            text, ids = encode(model, request, list(request.history))
            if model.max_prompt is not None and len(ids) > model.max_prompt:
                return truncated(model, request, ids)
            if model.seq2seq and request.opening not in ("auto", "bos"):
                self._notes.append(f"opening = {request.opening}: no effect, the decoder has a beginning")
            return ids, text, 0
        ids = self._opening()
        text = model.codec.decode(ids, skip_special=False)
        self._notes.append(
            f"begins with {text}" if ids else "begins with nothing: the first token has no score"
        )
        return ids, text, 0

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
