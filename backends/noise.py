"""The sampler's noise, keyed by (seed, sample, position, token).

Every backend that samples draws ``argmax(log p + g)`` with standard Gumbel noise ``g`` (the Gumbel-max
trick: the draw follows ``p`` exactly). The noise comes from no generator with state but is computed from
its key by a counter-based hash, so a draw depends on nothing but its own distribution and key: not on the
batch, the replica, the device or what was drawn before. Two models that share a vocabulary and a seed are
coupled: they disagree only as far as their distributions do (arXiv 2502.01754).

The hash is SplitMix64 (Steele, Lea and Flood 2014): token ``v`` gets output ``v`` of a generator seeded with
the key of (seed, sample, position). It is integer arithmetic modulo 2**64 and so equal bit for bit
everywhere; the logarithms after it are float64 and may differ in the last bit between devices.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from backends import upload

_GAMMA = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_MASK = (1 << 64) - 1


def key(seed: int, sample: int, position: int) -> int:
    """The key of one draw, a signed 64-bit integer.

    ``position`` is the token's index in the answer, ``sample`` tells apart several answers of one seed.
    """
    state = seed
    for part in (sample, position):
        state = _mix(state) + _GAMMA * (part + 1)
    return _signed(_mix(state))


def keys(parts: Sequence[tuple[int, int, int]], device: torch.device | str = "cpu") -> Tensor:
    """The keys of several draws, one (seed, sample, position) for each row: int64 ``[rows]``."""
    return upload.integers([key(*part) for part in parts], device)


def uniform(keys: Tensor, ids: Tensor) -> Tensor:
    """Uniform float64 noise in the open interval (0, 1) with 52 random bits.

    ``keys`` is int64 ``[rows]``; ``ids`` holds token ids, ``[tokens]`` for all rows or ``[rows, tokens]``.
    Returns ``[rows, tokens]``.
    """
    bits = (ids + 1).mul(_signed(_GAMMA)) + keys[:, None]
    bits = (bits ^ _shift(bits, 30)).mul_(_signed(_MIX_1))
    bits = (bits ^ _shift(bits, 27)).mul_(_signed(_MIX_2))
    bits = bits ^ _shift(bits, 31)
    return _shift(bits, 12).double().add_(0.5).mul_(2.0**-52)


def gumbel_rows(keys: Tensor, ids: Tensor) -> Tensor:
    """Standard Gumbel noise, float64 ``[rows, tokens]``; arguments as for ``uniform``."""
    return uniform(keys, ids).log_().neg_().log_().neg_()


def gumbel(seed: int, sample: int, position: int, size: int, device: torch.device | str = "cpu") -> Tensor:
    """Standard Gumbel noise of one draw for the token ids 0 to ``size - 1``: float64 ``[size]``."""
    ids = torch.arange(size, device=device)
    return gumbel_rows(keys([(seed, sample, position)], device), ids)[0]


def draw_rows(log_probs: Tensor, keys: Tensor, ids: Tensor | None = None) -> Tensor:
    """Draw one token for each row: int64 ``[rows]``.

    ``log_probs`` is ``[rows, tokens]``, normalised or not, ``-inf`` for tokens that must not be drawn.
    ``ids``, ``[rows, tokens]``, are the token ids of the columns where they are not 0, 1, 2 ...: a draw from
    ``k`` candidates costs ``k`` hashes and gives the token that the whole row gives when all others are
    ``-inf``.
    """
    if ids is None:
        ids = torch.arange(log_probs.shape[1], device=log_probs.device)
    best = (log_probs.double() + gumbel_rows(keys, ids)).argmax(-1)
    return ids.expand_as(log_probs).gather(1, best[:, None])[:, 0]


def draw(log_probs: Tensor, seed: int, sample: int, position: int, ids: Tensor | None = None) -> int:
    """Draw one token id from the row ``log_probs`` ``[tokens]``; ``ids`` as for ``draw_rows``."""
    row_key = keys([(seed, sample, position)], log_probs.device)
    return int(draw_rows(log_probs[None], row_key, ids))


def _mix(state: int) -> int:
    """SplitMix64's output function on a Python integer, modulo 2**64."""
    state &= _MASK
    state = ((state ^ (state >> 30)) * _MIX_1) & _MASK
    state = ((state ^ (state >> 27)) * _MIX_2) & _MASK
    return state ^ (state >> 31)


def _signed(bits: int) -> int:
    """The same 64 bits as the signed integer torch stores."""
    bits &= _MASK
    return bits - (1 << 64) if bits >> 63 else bits


def _shift(bits: Tensor, count: int) -> Tensor:
    """Logical shift to the right; torch's own copies the sign."""
    return (bits >> count).bitwise_and_((1 << (64 - count)) - 1)
