"""What a decoder attended to in its source, told after an answer is complete.

The kernels that make answers fast do not tell their weights, so one more pass over the finished answer is
made without them: the same weights to rounding, at a cost only for those who ask.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import msgspec
import transformers

from backends.base import BackendError
from backends.hf.errors import while_generating
from backends.hf.model import Model
from backends.hf.state.rows import integers
from repl.messages import Event, Failed, Finished, Hypothesis, Request, Step

Matrix = tuple[tuple[float, ...], ...]


class _Asked(NamedTuple):
    """A request that wants to know."""

    source: Sequence[int]
    shown: list[int]
    """Tokens of its answer so far."""


class Attentive:
    """Adds to the ends of answers what was asked of them."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._asked: dict[int, _Asked] = {}

    def watch(self, request: Request, source: Sequence[int]) -> None:
        """Do so for ``request``, if it asks; raises ``BackendError`` for a model without a source."""
        if not request.attention:
            return
        if not self._model.seq2seq:
            raise BackendError(
                "unsupported",
                f"model '{self._model.name}' has no source to attend to: it is decoder-only",
                "/align asks encoder-decoder models",
            )
        self._asked[request.id] = _Asked(source, [])

    def forget(self, request_id: int) -> None:
        """It was cancelled."""
        self._asked.pop(request_id, None)

    def over(self, events: Sequence[Event]) -> list[Event]:
        """``events``, the ends with what was asked."""
        return [self._told(event) if event.id in self._asked else event for event in events]

    def _told(self, event: Event) -> Event:
        asked = self._asked[event.id]
        if isinstance(event, Step):
            asked.shown.append(event.token)
        if not isinstance(event, Finished | Failed):
            return event
        self.forget(event.id)
        if isinstance(event, Failed):
            return event
        try:
            return self._attached(event, asked)
        except Exception as error:  # its neighbours have nothing to do with it
            return Failed(id=event.id, error=while_generating(error, 1, len(asked.source)))

    def _attached(self, end: Finished, asked: _Asked) -> Finished:
        """An answer that is just its steps becomes a hypothesis."""
        found = end.hypotheses or (Hypothesis(text=end.text, tokens=tuple(asked.shown)),)
        told = tuple(
            msgspec.structs.replace(one, attention=attention(self._model, asked.source, one.tokens))
            for one in found
        )
        return msgspec.structs.replace(end, hypotheses=told)


def attention(model: Model, source: Sequence[int], tokens: Sequence[int]) -> Matrix:
    """For each of ``tokens`` its weight on each of ``source``: the last layer's, averaged over heads."""
    if not tokens:
        return ()
    network = model.network
    read = [*model.start, *tokens[:-1]]
    with _telling(network):
        out = network(
            input_ids=integers([list(source)], network),
            decoder_input_ids=integers([read], network),
            output_attentions=True,
            use_cache=False,
        )
    if not out.cross_attentions:
        kind = type(network).__name__
        raise BackendError(
            "unsupported",
            f"transformers {transformers.__version__} does not tell what {kind} attended to",
            "a newer version may; T5's is told from 5.20 on",
        )
    weights = out.cross_attentions[-1][0].float().mean(0)[-len(tokens) :]
    return tuple(map(tuple, weights.tolist()))


@contextmanager
def _telling(network: Any) -> Iterator[None]:
    """Use the attention that tells its weights; the engine's thread is the only one that runs the network."""
    usual = network.config._attn_implementation
    network.set_attn_implementation("eager")
    try:
        yield
    finally:
        network.set_attn_implementation(usual)
