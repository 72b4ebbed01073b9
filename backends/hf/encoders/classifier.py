"""The task ``classify``."""

from collections import deque
from collections.abc import Sequence
from typing import Any

from torch import Tensor
from torch.nn.functional import logsigmoid

from backends.base import BackendError
from backends.hf.encoders.engine import Encoder, fit
from backends.hf.prompt import token_ids
from repl.messages import Event, Finished, Request, Started
from repl.readings import Labelled


class Classification:
    """A ``Job``: one row."""

    def __init__(self, model: Encoder, request: Request) -> None:
        """Raises ``BackendError`` if there is nothing to read, or too much."""
        self.request = request
        self.batch = self.padded = 0
        self._model = model
        self._text = request.prompt + request.target
        if model.template is not None:
            self._text = model.template.replace("{prompt}", self._text)
        ids = token_ids(model.codec.tokenizer, self._text)
        if not self._text.strip() or not ids:
            raise BackendError("empty_prompt", "there is no text to classify", "give at least one word")
        self._ids = fit(model, ids, request.params.truncate)
        self._cut = len(ids) - len(self._ids)
        self.rows = deque([self._ids])

    def started(self) -> Started:
        """See ``Job``."""
        return reads(self._model, self.request, self._ids, self._text, self._cut)

    def take(self, logits: Tensor) -> list[Event]:
        """See ``Job``; ``logits`` is ``[labels]``."""
        self.rows.popleft()
        if not logits.isfinite().all():
            raise BackendError("nan_logits", "the model's output is not a number", "try dtype float32")
        config = self._model.network.config
        several = config.problem_type == "multi_label_classification"
        lps = (logsigmoid(logits) if several else logits.log_softmax(-1)).tolist()
        named = [(str(config.id2label[i]), lp) for i, lp in enumerate(lps)]
        named.sort(key=lambda pair: -pair[1])
        return [
            Finished(
                id=self.request.id,
                reason="done",
                text=named[0][0],
                batch=self.batch,
                padded=self.padded,
                reading=Labelled(labels=tuple(named), exclusive=not several),
            )
        ]


def check(name: str, config: Any) -> None:
    """Refuse what gives a number and no label."""
    if config.problem_type == "regression" or config.num_labels < 2:
        raise BackendError(
            "unsupported",
            f"model '{name}' gives a number (regression), not a label",
            "/classify needs a model with two labels or more",
        )


def reads(
    model: Encoder, request: Request, ids: Sequence[int], text: str, cut: int, notes: Sequence[str] = ()
) -> Started:
    """What an encoder will read."""
    return Started(
        id=request.id,
        prompt_ids=tuple(ids),
        prompt_text=text,
        truncated=cut,
        notes=tuple(notes),
        prompt_pieces=tuple(map(model.codec.piece, ids)),
    )
