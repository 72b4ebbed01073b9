"""The sampler's keyed noise without torch: the numbers of ``backends.noise``, for draws made here.

A process that draws on a screen must not load torch, so the hash (SplitMix64 over seed, sample, position and
token) stands here once more, in numpy; a test holds the two together.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from numpy import ndarray

_GAMMA = 0x9E3779B97F4A7C15
_MIX_1 = 0xBF58476D1CE4E5B9
_MIX_2 = 0x94D049BB133111EB
_MASK = (1 << 64) - 1


def gumbel(seed: int, sample: int, position: int, size: int) -> "ndarray[Any, Any]":
    """Standard Gumbel noise of one draw for the token ids 0 to ``size - 1``: float64 ``[size]``."""
    import numpy as np

    bits = np.arange(1, size + 1, dtype=np.uint64) * np.uint64(_GAMMA) + np.uint64(
        _key(seed, sample, position)
    )
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(_MIX_1)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(_MIX_2)
    bits ^= bits >> np.uint64(31)
    uniform = ((bits >> np.uint64(12)).astype(np.float64) + 0.5) * 2.0**-52
    return -np.log(-np.log(uniform))


def _key(seed: int, sample: int, position: int) -> int:
    state = seed
    for part in (sample, position):
        state = _mix(state) + _GAMMA * (part + 1)
    return _mix(state)


def _mix(state: int) -> int:
    state &= _MASK
    state = ((state ^ (state >> 30)) * _MIX_1) & _MASK
    state = ((state ^ (state >> 27)) * _MIX_2) & _MASK
    return state ^ (state >> 31)
