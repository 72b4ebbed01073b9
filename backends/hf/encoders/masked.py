"""Masked language models: the tasks ``fill`` and ``score``.

The score of a text is its pseudo-log-likelihood (Salazar et al. 2020): each token is hidden in turn and the
model says how likely it is there. A long word is then scored too high, as its other pieces give it away; with
``within_word`` the pieces to the right of a hidden one are hidden too (Kauf and Ivanova 2023).
"""

from collections import deque
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from torch import Tensor

from backends.base import BackendError
from backends.hf.choosing import sampling
from backends.hf.encoders.classifier import reads
from backends.hf.encoders.engine import Encoder, fit
from backends.hf.events import not_a_number, step
from backends.hf.prompt import token_ids
from backends.hf.text import Writer
from repl.messages import Event, Finished, Request, Started
from repl.readings import Filled

CHOICES = 5
"""For each gap, where ``logprobs`` does not say how many."""
_GAPS = ("[MASK]", "<mask>")
"""How a gap is written, whatever the model's own word for it."""


class Filling:
    """A ``Job``: one row with gaps."""

    def __init__(self, model: Encoder, request: Request) -> None:
        """Raises ``BackendError`` if there is no gap, or too much text."""
        tokenizer = model.codec.tokenizer
        self.request = request
        self.batch = self.padded = 0
        self._model = model
        self._text = request.prompt + request.target
        if model.template is not None:
            self._text = model.template.replace("{prompt}", self._text)
        for gap in _GAPS:
            self._text = self._text.replace(gap, tokenizer.mask_token)
        ids = token_ids(tokenizer, self._text)
        gaps = [i for i, token in enumerate(ids) if token == tokenizer.mask_token_id]
        if not gaps:
            raise BackendError("bad_parameter", "the text has no gap", f"write {_GAPS[0]} where one is")
        self._ids = fit(model, ids, request.params.truncate, range(gaps[0], gaps[-1] + 1))
        self._cut = len(ids) - len(self._ids)
        self._gaps = [i for i, token in enumerate(self._ids) if token == tokenizer.mask_token_id]
        self.rows = deque([self._ids])

    def started(self) -> Started:
        """See ``Job``."""
        return reads(self._model, self.request, self._ids, self._text, self._cut)

    def take(self, logits: Tensor) -> list[Event]:
        """See ``Job``; ``logits`` is ``[tokens, vocab]``."""
        self.rows.popleft()
        codec = self._model.codec
        lps = logits[self._gaps].log_softmax(-1)
        if lps.isnan().any():
            raise not_a_number(0)
        best = lps.topk(min(self.request.params.logprobs or CHOICES, lps.shape[-1]))
        gaps = tuple(
            tuple((token, lp, codec.piece(token)) for token, lp in zip(tokens, values, strict=True))
            for tokens, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        )
        texts = tuple(self._filled(tokens) for tokens in best.indices.T.tolist())
        return [
            Finished(
                id=self.request.id,
                reason="done",
                text=texts[0],
                batch=self.batch,
                padded=self.padded,
                reading=Filled(gaps=gaps, texts=texts),
            )
        ]

    def _filled(self, tokens: Sequence[int]) -> str:
        ids = list(self._ids)
        for gap, token in zip(self._gaps, tokens, strict=True):
            ids[gap] = token
        special = self._model.codec.special
        first, last = int(ids[0] in special), len(ids) - int(ids[-1] in special)
        return self._model.codec.decode(ids[first:last], skip_special=False).strip()


class Likelihood:
    """A ``Job``: a row for each token of the text, which is hidden in it."""

    def __init__(self, model: Encoder, request: Request) -> None:
        """Raises ``BackendError`` if there is nothing to score, or too much."""
        self.request = request
        self.batch = self.padded = 0
        self._model = model
        self._notes: list[str] = []
        before, target, after = self._parts()
        whole = [*before, *target, *after]
        ids = fit(model, whole, request.params.truncate, range(len(before), len(before) + len(target)))
        self._cut = len(whole) - len(ids)
        self._begin = len(before) - (self._cut if request.params.truncate == "left" else 0)
        self._target = target
        self._ids = ids
        self.rows = deque(self._hidden(i) for i in range(len(target)))
        context = before[len(before) - self._begin :]
        self._writer = Writer(model.codec.stream(context), ())
        self._written = 0

    def started(self) -> Started:
        """See ``Job``; the prompt is all that stands before the text."""
        notes = ["pseudo-log-likelihood: each token hidden in turn, all others seen"]
        if self._model.within_word:
            notes = ["pseudo-log-likelihood: each token hidden in turn, with the rest of its word"]
        ids = self._ids[: self._begin]
        text = self._model.codec.decode(ids, skip_special=False)
        return reads(self._model, self.request, ids, text, self._cut, [*notes, *self._notes])

    def take(self, logits: Tensor) -> list[Event]:
        """See ``Job``; ``logits`` is ``[tokens, vocab]``."""
        self.rows.popleft()
        index = self._written
        token = self._target[index]
        row = logits[self._begin + index][None]
        (choice,) = sampling.given(row, [token], self.request.params.logprobs, self.request.distributions)
        if not choice.valid:
            raise not_a_number(index)
        self._written += 1
        text, _ = self._writer.push(token, last=not self.rows)
        events: list[Event] = [step(self.request, self._model.codec.piece, index, choice, text, forced=True)]
        if not self.rows:
            events.append(
                Finished(
                    id=self.request.id,
                    reason="done",
                    text=self._writer.text,
                    batch=self.batch,
                    padded=self.padded,
                )
            )
        return events

    def _parts(self) -> tuple[list[int], list[int], list[int]]:
        """What is before the text, the text, and what is after it: special tokens and the prompt."""
        request, tokenizer = self.request, self._model.codec.tokenizer
        frame = token_ids(tokenizer, "")
        first = frame[: (len(frame) + 1) // 2]
        last = frame[len(first) :]
        alone = tokenizer(request.target, add_special_tokens=False)
        before = token_ids(tokenizer, request.prompt, add_special_tokens=False)
        at = 0
        if before and request.target:
            whole = tokenizer(request.prompt + request.target, add_special_tokens=False)
            if whole["input_ids"][: len(before)] == before:
                alone, at = whole, len(before)
            else:
                self._notes.append("the text's first token would melt into the prompt's last: kept apart")
        target = [*request.target_ids, *alone["input_ids"][at:]]
        self._words = self._words_of(request.target_ids, alone, at)
        if not target:
            raise BackendError("empty_prompt", "there is no text to score", "give at least one word")
        size = self._model.network.get_input_embeddings().weight.shape[0]
        strange = [token for token in target if not 0 <= token < size]
        if strange:
            raise BackendError(
                "bad_parameter",
                f"model '{self._model.name}' has no token {strange[0]}: its ids go from 0 to {size - 1}",
                "the ids are those of another model: give the text instead",
            )
        if request.opening not in ("auto", "bos") or request.closing:
            self._notes.append("opening and closing have no effect: a masked model reads both ends")
        return [*first, *before], target, last

    def _words_of(self, given: Sequence[int], encoded: Any, at: int) -> list[int]:
        """For each token of the text a number of the word it is in, the tokenizer's where it tells them."""
        piece = self._model.codec.piece
        spaced = [piece(token)[:1].isspace() for token in given]
        tokens = encoded["input_ids"][at:]
        if encoded.is_fast:
            told = [None, *encoded.word_ids()[at:]]
            spaced += [number is None or number != last for last, number in pairwise(told)]
        else:
            spaced += [piece(token)[:1].isspace() for token in tokens]
        return list(accumulate(map(int, spaced)))

    def _hidden(self, index: int) -> list[int]:
        """The row without token ``index`` of the text."""
        mask = self._model.codec.tokenizer.mask_token_id
        row = list(self._ids)
        for i in range(index, len(self._target)):
            if i == index or (self._model.within_word and self._words[i] == self._words[index]):
                row[self._begin + i] = mask
        return row
