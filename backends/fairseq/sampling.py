"""Sampling as a fairseq search, beside ``fairseq.search.Sampling``, with noise that can be repeated.

fairseq draws from torch's global generator, so an answer depends on all that was drawn before it. Here the
noise is keyed by (seed, sample, position, token), see ``backends.noise``: the same everywhere, in any batch.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from fairseq.data import Dictionary
from fairseq.search import Search
from torch import Tensor

from backends import noise


@dataclass(frozen=True)
class Cut:
    """Which tokens may be drawn; 0, 1 and 0 let all through."""

    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0

    def __call__(self, lprobs: Tensor) -> Tensor:
        """``lprobs`` ``[rows, vocab]``, ``-inf`` at what is cut off, by top_k, then top_p, then min_p.

        Each looks at the renormalised rest of the one before it. Tokens that tie with the k-th stay.
        """
        if self.top_k:
            least = lprobs.topk(min(self.top_k, lprobs.shape[-1])).values[:, -1:]
            lprobs = lprobs.masked_fill(lprobs < least, float("-inf"))
        if self.top_p < 1:
            ranked, order = lprobs.softmax(-1).sort(descending=True, stable=True)
            before = ranked.cumsum(-1) - ranked
            outside = (before >= self.top_p).scatter(-1, order, before >= self.top_p)
            lprobs = lprobs.masked_fill(outside, float("-inf"))
        if self.min_p:
            least = lprobs.max(-1, keepdim=True).values + math.log(self.min_p)
            lprobs = lprobs.masked_fill(lprobs < least, float("-inf"))
        return lprobs


class Draws(NamedTuple):
    """Names the noise of one sentence."""

    seed: int
    sample: int
    start: int
    """Step of the answer's first token."""


class KeyedSampling(Search):  # type: ignore[misc]
    """Draws one continuation for each hypothesis. Use it with ``beam_size`` 1: one sentence for each sample.

    ``draws`` are those of the sentences by their ids.
    """

    def __init__(self, dictionary: Dictionary, draws: Sequence[Draws], cut: Cut) -> None:
        super().__init__(dictionary)
        self._draws = draws
        self._cut = cut
        self.proc_lp: Tensor | None = None
        """Of the last draw, under the distribution after the cut: ``[sentences, 1]``."""

    def step(
        self,
        step: int,
        lprobs: Tensor,
        scores: Tensor,
        prev_output_tokens: Tensor | None = None,
        original_batch_idxs: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See ``Search.step``: scores, tokens and beams, each ``[sentences, 1]``; ``lprobs`` is not altered.

        As in ``fairseq.search.Sampling`` the scores are those of the distribution before the cut.
        """
        assert original_batch_idxs is not None
        rows = lprobs[:, 0]
        draws = [self._draws[sentence] for sentence in original_batch_idxs.tolist()]
        parts = [(draw.seed, draw.sample, max(0, step - draw.start)) for draw in draws]
        keys = noise.keys(parts, rows.device)
        left = self._cut(rows)
        tokens = noise.draw_rows(left, keys)[:, None]
        self.proc_lp = left.gather(1, tokens) - left.logsumexp(-1, keepdim=True)
        drawn = rows.gather(1, tokens)
        if step > 0:
            drawn = drawn + scores[:, :, step - 1]
        return drawn, tokens, torch.zeros_like(tokens)
