"""The few tokens that top-k, top-p and min-p leave, found without sorting the whole vocabulary.

transformers' warpers sort or mask all logits of a row, which for 50,000 tokens costs a CPU more than a small
model's whole step. What they keep is nearly always among the first few hundred, and whether it is can be seen
from those alone. Where it is not, the caller goes the long way.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from backends.hf.choosing.processors import Warp

COUNT = 512
"""Tokens looked at; vocabularies of less than four times as many are quicker to process whole."""


class Few(NamedTuple):
    """Candidates of some rows."""

    scores: Tensor
    """Warped, ``[rows, COUNT]``, highest first and ``-inf`` where a token is dropped."""
    ids: Tensor
    """The tokens they belong to."""
    short: Tensor
    """Rows that would keep more, bool ``[rows]``."""


def narrow(scores: Tensor, warp: Warp) -> Few | None:
    """What ``processors.warpers(warp)`` keeps of ``scores`` ``[rows, vocab]``; None where it may be much.

    Among tokens of equal score at the edge of top-p the choice may differ from transformers'.
    """
    restricts = warp.top_k or warp.top_p < 1 or warp.min_p
    if not restricts or warp.typical_p < 1 or warp.top_k >= COUNT or scores.shape[-1] < 4 * COUNT:
        return None
    scores = scores / warp.temperature
    values, ids = scores.topk(COUNT)
    keep = torch.ones_like(values, dtype=torch.bool)
    if warp.top_k:
        keep &= values >= values[:, warp.top_k - 1, None]
    if warp.top_p < 1:
        left = values.masked_fill(~keep, -torch.inf) if warp.top_k else scores
        probs = (values - left.logsumexp(-1, keepdim=True)).exp()
        keep &= probs.cumsum(-1) - probs < warp.top_p
        keep[:, 0] = True
    if warp.min_p:
        keep &= values >= values[:, :1] + math.log(warp.min_p)
    # Each rule keeps a beginning of the sorted scores: with the last one out, all that follows is out.
    return Few(values.masked_fill(~keep, -torch.inf), ids, keep[:, -1])
