"""Which tokens may be drawn, where parameters leave only the likely ones."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Cut:
    """0, 1, 0 and 1 let all through."""

    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    typical_p: float = 1.0

    def __call__(self, lprobs: Tensor) -> Tensor:
        """``lprobs`` ``[rows, vocab]``, ``-inf`` at what is cut off: by top_k, top_p, min_p, then typical_p.

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
        if self.typical_p < 1:
            lprobs = lprobs.masked_fill(_untypical(lprobs, self.typical_p), float("-inf"))
        return lprobs


def _untypical(lprobs: Tensor, most: float) -> Tensor:
    """Where ``lprobs`` are not in the smallest set of this probability that is nearest to the entropy.

    Locally typical sampling (Meister et al. 2023), as in transformers.
    """
    lprobs = lprobs.log_softmax(-1)
    probs = lprobs.exp()
    surprise = (-lprobs - torch.special.entr(probs).sum(-1, keepdim=True)).abs()
    order = surprise.sort(-1).indices
    ranked = probs.gather(-1, order)
    before = ranked.cumsum(-1) - ranked
    return (before >= most).scatter(-1, order, before >= most)
