"""What a decoder attended to in its source, told after an answer is complete.

The kernels that make answers fast do not tell their weights, so one more pass over the finished answer is made
without them: the same weights to rounding, at a cost only for those who ask.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec

from backends.hf.model import Model
from backends.hf.rows import integers
from repl.messages import Finished, Hypothesis

Matrix = tuple[tuple[float, ...], ...]


def attach(model: Model, source: Sequence[int], end: Finished, shown: Sequence[int]) -> Finished:
    """``end`` with ``Hypothesis.attention``; an answer that is just its steps, ``shown``, becomes a hypothesis."""
    found = end.hypotheses or (Hypothesis(text=end.text, tokens=tuple(shown)),)
    told = tuple(
        msgspec.structs.replace(one, attention=attention(model, source, one.tokens)) for one in found
    )
    return msgspec.structs.replace(end, hypotheses=told)


def attention(model: Model, source: Sequence[int], tokens: Sequence[int]) -> Matrix:
    """For each of ``tokens`` its weight on each token of ``source``: the last layer's, averaged over heads."""
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
