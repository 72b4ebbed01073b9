"""Sampling as a fairseq search, beside ``fairseq.search.Sampling``, with noise that can be repeated.

fairseq draws from torch's global generator, so an answer depends on all that was drawn before it. Here the
noise is keyed by (seed, sample, position, token), see ``backends.noise``: the same everywhere, in any batch.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from fairseq.data import Dictionary
from fairseq.search import Search
from torch import Tensor

from backends import noise
from backends.cut import Cut


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
        self._draws = list(draws)
        """Of the sentences that are still in the batch."""
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
        rows = lprobs[:, 0]
        parts = [(draw.seed, draw.sample, max(0, step - draw.start)) for draw in self._draws]
        keys = noise.keys(parts, rows.device)
        left = self._cut(rows)
        tokens = noise.draw_rows(left, keys)[:, None]
        self.proc_lp = left.gather(1, tokens) - left.logsumexp(-1, keepdim=True)
        drawn = rows.gather(1, tokens)
        if step > 0:
            drawn = drawn + scores[:, :, step - 1]
        return drawn, tokens, torch.zeros_like(tokens)

    def prune_sentences(self, batch_idxs: Tensor) -> None:
        """fairseq drops the sentences that are complete."""
        self._draws = [self._draws[place] for place in batch_idxs.tolist()]
