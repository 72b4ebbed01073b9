"""One pass of the networks over a text that is known: what they think of each of its tokens."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from backends.fairseq.load import Model


class Thoughts(NamedTuple):
    """Log-probabilities at some positions, ``[positions, vocab]``, float32."""

    raw: Tensor
    searched: Tensor
    """As a search has them: with its temperature and the penalty on the unknown symbol."""


class Forced:
    """``source`` is read by the encoder, if there is one, and ``before`` by the decoder.

    Position ``i`` of the outcome is about the token after ``before[i]``. An ensemble's is the mean of the
    probabilities, as fairseq's ``SequenceScorer`` has it.
    """

    def __init__(self, model: Model, source: Sequence[int], before: Sequence[int]) -> None:
        self._model = model
        inputs = [[before]] if model.causal else [[source], [len(source)], [before]]
        tensors = [torch.tensor(values, device=model.device) for values in inputs]
        with torch.no_grad():
            self._outputs = [_run(network, tensors) for network in model.networks]
            self._added = model.fusion.thoughts(tensors[-1]) if model.fusion is not None else None

    def thoughts(self, start: int, stop: int, temperature: float = 1.0, unkpen: float = 0.0) -> Thoughts:
        """At the positions from ``start`` up to ``stop``."""
        with torch.no_grad():
            raw = searched = self._mean(start, stop, 1.0)
            if temperature != 1:
                searched = self._mean(start, stop, temperature)
            if self._added is not None:
                searched = searched + self._added[start:stop]
            if unkpen:
                searched = searched.clone()
                searched[:, self._model.task.target_dictionary.unk()] -= unkpen
        return Thoughts(raw, searched)

    @property
    def attention(self) -> Tensor | None:
        """Of the decoder over the source, ``[positions, source]``, the networks' mean; None without any."""
        found = [weights for _, more in self._outputs if (weights := _attention(more)) is not None]
        if self._model.causal or not found:
            return None
        return torch.stack([weights[0].float() for weights in found]).mean(0)

    def _mean(self, start: int, stop: int, temperature: float) -> Tensor:
        seen = []
        for network, (logits, more) in zip(self._model.networks, self._outputs, strict=True):
            part = logits[:, start:stop]
            divided = part if temperature == 1 else part / temperature
            seen.append(network.decoder.get_normalized_probs((divided, more), True, None)[0].float())
        if len(seen) == 1:
            return seen[0]
        return torch.stack(seen).logsumexp(0) - math.log(len(seen))


def _run(network: Any, inputs: list[Tensor]) -> tuple[Tensor, Any]:
    """The logits ``[1, positions, vocab]``, and what the decoder tells beside them."""
    if hasattr(network.decoder, "set_beam_size"):
        network.decoder.set_beam_size(1)  # a generation beside this one sets its own before each step
    out = network(*inputs)
    return out[0], out[1] if len(out) > 1 else None


def _attention(told: Any) -> Tensor | None:
    """The attention where decoders of the several families leave it."""
    held = told.get("attn") if isinstance(told, dict) else told
    if isinstance(held, list | tuple):
        held = held[0] if held else None
    return held if isinstance(held, Tensor) else None
