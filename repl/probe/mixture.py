"""One distribution out of several models', and the token drawn from it.

Rows are normalised log-probabilities over one vocabulary, float64 ``[vocab]``.

- ``mean``: the mean of the probabilities, ``ln sum p - ln K``, as fairseq mixes an ensemble.
- ``geo``: the mean of the log-probabilities, renormalised.
- ``contrast``: what the first model expects more than the second, ``ln p_a - ln p_b`` renormalised, among
  the tokens that have at least a tenth of the first model's greatest probability (Li et al. 2023).
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from repl.params import Params
from repl.probe.divergence import normalised
from repl.probe.keyed import gumbel

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

Mode = Literal["mean", "geo", "contrast"]
PLAUSIBLE = 0.1
"""Share of the greatest probability below which a contrast looks at no token."""
LEAST = -80.0
"""A log-probability below which a contrast takes the second model's for this: 0 would be infinitely far."""
HONOURED = ("temperature", "top_k", "top_p", "min_p", "max_new", "seed", "stop", "logprobs", "truncate")
"""The parameters that a mixture heeds."""


class Drawn(msgspec.Struct, frozen=True, kw_only=True):
    """The next token of a mixture, and what was known of it."""

    token: int
    raw_lp: float
    """Under the mixture."""
    proc_lp: float
    """Under what it was drawn from."""
    rank: int
    entropy: float


def mixed(rows: "Sequence[Array]", mode: Mode) -> "Array":
    """The mixture of at least one row.

    Raises ``ValueError`` where the vocabularies differ, a contrast is not of two, or no token is left.
    """
    import numpy as np

    if len({row.shape for row in rows}) != 1:
        raise ValueError("the models have vocabularies of different sizes")
    if mode == "contrast":
        if len(rows) != 2:
            raise ValueError("a contrast is of two models")
        expert, amateur = rows
        plausible = expert >= expert.max() + math.log(PLAUSIBLE)
        return normalised(np.where(plausible, expert - np.maximum(amateur, LEAST), -np.inf))
    stacked = np.stack(rows)
    if mode == "geo":
        averaged = stacked.mean(axis=0)
        if averaged.max() == -np.inf:
            raise ValueError("no token is possible under all models")
        return normalised(averaged)
    found: Array = np.logaddexp.reduce(stacked, axis=0) - math.log(len(rows))
    return found


def cut(row: "Array", *, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0) -> "Array":
    """``-inf`` at what is cut off by top_k, then top_p, then min_p, each of the rest of the one before it.

    Tokens that tie with the k-th stay.
    """
    import numpy as np

    if top_k:
        least = np.sort(row)[-min(top_k, row.size)]
        row = np.where(row < least, -np.inf, row)
    if top_p < 1:
        order = np.argsort(-row, kind="stable")
        ranked = np.exp(normalised(row))[order]
        outside = np.zeros(row.size, dtype=bool)
        outside[order] = ranked.cumsum() - ranked >= top_p
        row = np.where(outside, -np.inf, row)
    if min_p:
        row = np.where(row < row.max() + math.log(min_p), -np.inf, row)
    return row


def draw(row: "Array", params: Params, sample: int, position: int) -> Drawn:
    """The next token: the likeliest at temperature 0, else drawn with the noise that all backends use."""
    import numpy as np

    if params.temperature == 0:
        token, proc_lp = int(row.argmax()), 0.0
    else:
        left = cut(
            normalised(row / params.temperature), top_k=params.top_k, top_p=params.top_p, min_p=params.min_p
        )
        processed = normalised(left)
        token = int((processed + gumbel(params.seed or 0, sample, position, row.size)).argmax())
        proc_lp = float(processed[token])
    possible = row[row > -np.inf]
    return Drawn(
        token=token,
        raw_lp=float(row[token]),
        proc_lp=proc_lp,
        rank=int((row > row[token]).sum()),
        entropy=float(-(np.exp(possible) * possible).sum()),
    )
