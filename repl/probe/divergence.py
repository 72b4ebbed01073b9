"""How far two distributions over the next token are apart.

``KL(a || b) = sum p_a (ln p_a - ln p_b)``; the Jensen-Shannon divergence is the mean KL of both from their
mean; the total variation is half the sum of ``|p_a - p_b|``. All in nats, in float64, each distribution
renormalised first. Where only the likeliest tokens are known, those known of both are kept apart and all
others are counted as one: that can only make the three smaller, so they are lower bounds.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec

if TYPE_CHECKING:
    from numpy import ndarray

    Array = ndarray[Any, Any]

K = TypeVar("K", bound=Hashable)
Kind = Literal["full", "lower_bound"]

ROUNDING = 1e-6
"""What a float32 distribution's sum may be off by: no smaller rest is believed."""


class Apart(msgspec.Struct, frozen=True, kw_only=True):
    """The distance of two distributions."""

    kl: float
    """KL(a || b); inf where b rules out what a allows."""
    js: float
    """0 to ln 2."""
    tv: float
    """Total variation, 0 to 1."""
    same_argmax: bool | None
    """Of tokens that tie the one with the lowest id counts. None where it is unknown."""
    kind: Kind = "full"


def distribution(packed: bytes) -> "Array":
    """``Step.distribution`` as normalised log-probabilities, float64 ``[vocab]``."""
    (row,) = unpacked(packed)
    return normalised(row)


def unpacked(*packed: bytes) -> "list[Array]":
    """The ``Step.distribution`` of models of one vocabulary, each float64 ``[tokens that all have]``.

    The head of a model may be padded to a round number of columns, which no tokens belong to; checkpoints
    with one tokenizer differ in how many those are.
    """
    import numpy as np

    rows = [np.frombuffer(one, dtype="<f4").astype(np.float64) for one in packed]
    width = min(row.size for row in rows)
    return [row[:width] for row in rows]


def normalised(scores: "Array") -> "Array":
    """``scores`` less the logarithm of their summed exponentials, along the last axis."""
    import numpy as np

    top = scores.max(axis=-1, keepdims=True)
    summed = np.exp(scores - top).sum(axis=-1, keepdims=True)
    found: Array = scores - top - np.log(summed)
    return found


def apart(a: "Array", b: "Array") -> Apart:
    """Two normalised rows of log-probabilities over one vocabulary; ``ValueError`` if their sizes differ."""
    import numpy as np

    if a.shape != b.shape:
        raise ValueError(f"vocabularies of {a.size} and {b.size} tokens cannot be compared")
    p, q = np.exp(a), np.exp(b)
    mean = (p + q) / 2
    return Apart(
        kl=_relative(p, a, b),
        js=min(math.log(2), (_from_mean(p, mean) + _from_mean(q, mean)) / 2),
        tv=min(1.0, float(np.abs(p - q).sum()) / 2),
        same_argmax=int(a.argmax()) == int(b.argmax()),
    )


def at_least(a: "Mapping[K, float]", b: "Mapping[K, float]", *, same_argmax: bool | None) -> Apart:
    """A lower bound from the log-probabilities of some tokens in either, whatever tells the tokens apart."""
    import numpy as np

    common = [token for token in a if token in b]
    rows = []
    for known in (a, b):
        kept = np.array([known[token] for token in common], dtype=np.float64)
        rest = max(ROUNDING, 1 - math.fsum(np.exp(kept)))
        rows.append(np.append(kept, math.log(rest)))
    found = apart(normalised(rows[0]), normalised(rows[1]))
    return msgspec.structs.replace(found, same_argmax=same_argmax, kind="lower_bound")


def best(row: "Array", count: int) -> Sequence[tuple[int, float]]:
    """(id, nats) of the likeliest tokens of a row, best first, those that tie by their ids."""
    import numpy as np

    order = np.argsort(-row, kind="stable")[:count]
    return [(int(token), float(row[token])) for token in order]


def _relative(p: "Array", a: "Array", b: "Array") -> float:
    """sum p (a - b), over what ``p`` allows; rounding cannot make it negative."""
    allowed = p > 0
    return max(0.0, float((p[allowed] * (a[allowed] - b[allowed])).sum()))


def _from_mean(p: "Array", mean: "Array") -> float:
    """KL of ``p`` from the mean of it and another."""
    import numpy as np

    allowed = (p > 0) & (mean > 0)
    return max(0.0, float((p[allowed] * np.log(p[allowed] / mean[allowed])).sum()))
