"""The logits processors of one request: transformers' own, in the order ``generate`` applies them.

What belongs to the model (its forced, suppressed and forbidden tokens) comes from the checkpoint's generation
configuration; what is a matter of taste (penalties, temperature and the rest) from the request alone.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import (
    ForcedBOSTokenLogitsProcessor,
    ForcedEOSTokenLogitsProcessor,
    InfNanRemoveLogitsProcessor,
    LogitsProcessor,
    LogitsProcessorList,
    MinPLogitsWarper,
    NoBadWordsLogitsProcessor,
    NoRepeatNGramLogitsProcessor,
    RepetitionPenaltyLogitsProcessor,
    SequenceBiasLogitsProcessor,
    SuppressTokensAtBeginLogitsProcessor,
    SuppressTokensLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
    TypicalLogitsWarper,
)

from backends import upload
from backends.hf.wording import Wording
from repl.params import Params


class Warp(NamedTuple):
    """What reshapes the distribution before a draw; rows with the same values are processed together."""

    temperature: float
    top_k: int
    top_p: float
    min_p: float
    typical_p: float = 1.0


class Fixed(NamedTuple):
    """What the checkpoint decides."""

    generation: Any
    """Its ``GenerationConfig``."""
    eos: tuple[int, ...]
    unknown: int | None
    device: Any
    wording: Wording


class WrittenPenalty(LogitsProcessor):  # type: ignore[misc]
    """Presence and frequency penalties, over what the answer has written and not its prompt.

    As OpenAI's API defines them: ``logit - presence * (count > 0) - frequency * count``.
    """

    def __init__(self, presence: float, frequency: float, begin: int) -> None:
        self._presence = presence
        self._frequency = frequency
        self._begin = begin

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """``input_ids`` is ``[rows, length]``, ``scores`` ``[rows, vocab]``."""
        written = input_ids[:, self._begin :]
        counts = torch.zeros_like(scores).scatter_add_(
            1, written, torch.ones_like(written, dtype=scores.dtype)
        )
        return scores - self._frequency * counts - self._presence * (counts > 0)


def processors(params: Params, fixed: Fixed, begin: int, limit: int) -> LogitsProcessorList:
    """Processors that look at the history, in the order of ``generate``.

    ``begin`` is the length of the history before the first new token, ``limit`` the most new tokens.
    ``min_new`` is left to ``forbid``, which goes first and does it for all rows at once; only forced tokens
    overrule it, as they do in ``generate``.
    """
    own, device = fixed.generation, fixed.device
    chain = LogitsProcessorList()
    bias = _bias(params, fixed)
    if bias:
        chain.append(SequenceBiasLogitsProcessor(bias))
    if params.repetition_penalty != 1:
        chain.append(RepetitionPenaltyLogitsProcessor(params.repetition_penalty))
    if params.presence_penalty or params.frequency_penalty:
        chain.append(WrittenPenalty(params.presence_penalty, params.frequency_penalty, begin))
    if params.no_repeat_ngram:
        chain.append(NoRepeatNGramLogitsProcessor(params.no_repeat_ngram))
    banned = [*(own.bad_words_ids or ()), *fixed.wording.banned(params)]
    if banned:
        chain.append(
            NoBadWordsLogitsProcessor(banned, upload.integers(fixed.eos, device) if fixed.eos else None)
        )
    if own.forced_bos_token_id is not None:
        chain.append(ForcedBOSTokenLogitsProcessor(own.forced_bos_token_id))
    if own.forced_eos_token_id is not None:
        chain.append(ForcedEOSTokenLogitsProcessor(begin + limit, own.forced_eos_token_id, device=device))
    if own.remove_invalid_values:
        chain.append(InfNanRemoveLogitsProcessor())
    if own.suppress_tokens:
        chain.append(SuppressTokensLogitsProcessor(own.suppress_tokens, device=device))
    if own.begin_suppress_tokens:
        first = begin if begin > 1 or own.forced_bos_token_id is None else begin + 1
        chain.append(SuppressTokensAtBeginLogitsProcessor(own.begin_suppress_tokens, first, device=device))
    return chain


@lru_cache(maxsize=64)
def warpers(warp: Warp) -> LogitsProcessorList:
    """Processors that look at the distribution alone, in the order of ``generate``."""
    chain = LogitsProcessorList()
    if warp.temperature != 1:
        chain.append(TemperatureLogitsWarper(warp.temperature))
    if warp.top_k:
        chain.append(TopKLogitsWarper(warp.top_k))
    if warp.top_p < 1:
        chain.append(TopPLogitsWarper(warp.top_p))
    if warp.min_p:
        chain.append(MinPLogitsWarper(warp.min_p))
    if warp.typical_p < 1:
        chain.append(TypicalLogitsWarper(warp.typical_p))
    return chain


def _bias(params: Params, fixed: Fixed) -> dict[tuple[int, ...], float]:
    own = fixed.generation.sequence_bias or {}
    if isinstance(own, list):
        own = {tuple(tokens): value for tokens, value in own}
    bias = {tuple(tokens): float(value) for tokens, value in own.items()}
    for tokens, value in fixed.wording.biases(params).items():
        bias[tokens] = bias.get(tokens, 0.0) + value
    if params.unkpen and fixed.unknown is not None:
        bias[(fixed.unknown,)] = bias.get((fixed.unknown,), 0.0) - params.unkpen
    return bias


def forbid(scores: Tensor, tokens: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor | None]:
    """``scores`` ``[rows, vocab]`` without the given tokens of each row, and what that took away.

    The latter is the logsumexp of the forbidden ones, ``[rows]``; None where nothing is forbidden.
    """
    if not any(tokens):
        return scores, None
    left = scores.clone()
    return left, _take_out(left, tokens)[0]


@contextmanager
def without(scores: Tensor, tokens: Sequence[Sequence[int]]) -> Iterator[Tensor | None]:
    """As ``forbid``, but in place and for a while: a copy of a large vocabulary costs more than the rest."""
    if not any(tokens):
        yield None
        return
    taken, taken_out = _take_out(scores, tokens)
    try:
        yield taken
    finally:
        for place, values in taken_out:
            scores[place] = values


def _take_out(scores: Tensor, tokens: Sequence[Sequence[int]]) -> tuple[Tensor, list[tuple[Any, Tensor]]]:
    """Put ``-inf`` in the place of the tokens; their logsumexp in each row, and what stood where."""
    groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
    for row, each in enumerate(tokens):
        if each:
            groups[tuple(each)].append(row)
    taken, taken_out = scores.new_full((len(scores),), -torch.inf), []
    for each, rows in groups.items():
        if len(each) == 1 and len(rows) == len(scores):  # what most checkpoints have as their end
            place: Any = (slice(None), each[0])
            taken = values = scores[place].clone()
        else:
            places = upload.integers(rows, scores.device)
            place = (places[:, None], upload.integers(each, scores.device))
            values = scores[place]
            taken[places] = values.logsumexp(-1)
        scores[place] = torch.full_like(values, -torch.inf)
        taken_out.append((place, values))
    return taken, taken_out


def apply(chain: LogitsProcessorList, history: list[list[int]], scores: Tensor) -> Tensor:
    """``chain`` over ``scores`` ``[rows, vocab]``, given what was read and written so far, one list a row."""
    ids = upload.integers(history, scores.device)
    return chain(ids, scores)
