"""One pass of the networks over texts that are known: what they think of each of their tokens."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from fairseq.data.data_utils import collate_tokens
from torch import Tensor

from backends.fairseq.load import Model


class Thoughts(NamedTuple):
    """Log-probabilities at some positions, ``[positions, vocab]``, float32."""

    raw: Tensor
    searched: Tensor
    """As a search has them: with its temperature and the penalty on the unknown symbol."""


class Text(NamedTuple):
    """What is read: ``source`` by the encoder, if there is one, and ``before`` by the decoder."""

    source: Sequence[int]
    before: Sequence[int]


class Forced:
    """Position ``i`` of the outcome is about the token after ``before[i]``.

    An ensemble's is the mean of the probabilities, as fairseq's ``SequenceScorer`` has it.
    """

    def __init__(self, model: Model, text: Text, outputs: list[tuple[Tensor, Tensor | None]]) -> None:
        self._model = model
        self._outputs = outputs
        """Of each network the logits ``[1, positions, vocab]`` and the attention ``[positions, source]``."""
        self.rows, self.padded = 1, max(len(text.source), len(text.before))
        """Texts of the pass, and the longest length in it."""
        self._added = None
        if model.fusion is not None:
            with torch.no_grad():
                self._added = model.fusion.thoughts(torch.tensor([list(text.before)], device=model.device))

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
        found = [attention for _, attention in self._outputs if attention is not None]
        return torch.stack(found).mean(0) if found else None

    def _mean(self, start: int, stop: int, temperature: float) -> Tensor:
        seen = []
        for network, (logits, _) in zip(self._model.networks, self._outputs, strict=True):
            part = logits[:, start:stop]
            divided = part if temperature == 1 else part / temperature
            seen.append(network.decoder.get_normalized_probs((divided, None), True, None)[0].float())
        if len(seen) == 1:
            return seen[0]
        return torch.stack(seen).logsumexp(0) - math.log(len(seen))


def read(model: Model, texts: Sequence[Text]) -> list[Forced]:
    """What the networks think of each of ``texts``, read in one pass.

    An encoder masks its padding. A decoder never looks ahead, to where shorter texts are filled up; one that
    does (``looks_ahead``) reads one text at a time.
    """
    order = sorted(range(len(texts)), key=lambda place: len(texts[place].source), reverse=True)
    ordered = [texts[place] for place in order]  # as an LSTM wants them
    dictionary = model.task.target_dictionary
    befores = _filled(model, [text.before for text in ordered], dictionary.eos(), left=False)
    inputs = [befores]
    if not model.causal:
        lengths = torch.tensor([len(text.source) for text in ordered], device=model.device)
        sources = [text.source for text in ordered]
        inputs = [_filled(model, sources, dictionary.pad(), left=model.pads_left), lengths, befores]
    with torch.no_grad():
        outputs = [_run(network, inputs) for network in model.networks]
    found = [_row(model, text, row, outputs) for row, text in enumerate(ordered)]
    longest = max(forced.padded for forced in found)
    for forced in found:
        forced.rows, forced.padded = len(texts), longest
    return [found[order.index(place)] for place in range(len(texts))]


def _row(model: Model, text: Text, row: int, outputs: list[tuple[Tensor, Any]]) -> Forced:
    """One text of a pass, without what others were longer by."""
    length, width = len(text.before), len(text.source)
    own: list[tuple[Tensor, Tensor | None]] = []
    for logits, told in outputs:
        attention = None if model.causal else _attention(told)
        if attention is not None:
            weights = attention[row, :length].float()
            attention = weights[:, -width:] if model.attends_left else weights[:, :width]
        own.append((logits[row : row + 1, :length], attention))
    return Forced(model, text, own)


def looks_ahead(model: Model) -> bool:
    """Whether a decoder sees what comes after a token, as one does that was trained to align like this."""
    return any(getattr(network, "full_context_alignment", False) for network in model.networks)


def _filled(model: Model, rows: Sequence[Sequence[int]], filler: int, *, left: bool) -> Tensor:
    filled: Tensor = collate_tokens([torch.tensor(list(row)) for row in rows], filler, left_pad=left)
    return filled.to(model.device)


def _run(network: Any, inputs: list[Tensor]) -> tuple[Tensor, Any]:
    """The logits ``[texts, positions, vocab]``, and what the decoder tells beside them."""
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
