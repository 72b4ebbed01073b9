"""Keys and values of several rows at addresses that never change."""

from typing import Any

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin

from backends.hf.state.causal import CausalRows, KeptLayer

Held = list[tuple[Tensor, Tensor]]
"""Keys and values of each layer, ``[slots, heads, tokens, size]``."""


class Buffer:
    """Room for ``rows`` rows of up to ``length`` tokens each; the first token of each row is at place 0."""

    def __init__(self, network: Any, rows: int, length: int) -> None:
        """Made for what the network's layers hold of a token."""
        self.rows, self.length = rows, length
        probe = CausalRows(network)
        with torch.inference_mode():
            probe.prefill([[0]])
        self._layers = [
            KeptLayer(at, *(_room(held, rows, length) for held in (keys, values)))
            for at, keys, values in probe.snapshot(0).layers
        ]

    def release(self) -> None:
        """Let go of the memory; nothing can be put here any more."""
        self._layers = []

    def put(self, slot: int, layers: list[KeptLayer]) -> None:
        """Have ``slot`` hold one text and nothing else: what is masked must still be a number."""
        for mine, theirs in zip(self._layers, layers, strict=True):
            for room, held in ((mine.keys, theirs.keys), (mine.values, theirs.values)):
                room[slot, :, : held.shape[2]] = held[0]
                room[slot, :, held.shape[2] :] = 0

    def get(self, slot: int, length: int) -> list[KeptLayer]:
        """The first ``length`` tokens of ``slot``, where they lie."""
        return [
            KeptLayer(at, keys[slot : slot + 1, :, :length], values[slot : slot + 1, :, :length])
            for at, keys, values in self._layers
        ]

    def clear(self, slot: int, start: int, stop: int) -> None:
        """Forget what is held at the places from ``start`` to before ``stop``."""
        for _, keys, values in self._layers:
            keys[slot, :, start:stop] = 0
            values[slot, :, start:stop] = 0

    def slots(self, first: int, count: int, length: int | None = None) -> Held:
        """The first ``length`` tokens of ``count`` slots, or all of these, where they lie."""
        part = slice(first, first + count), slice(None), slice(length)
        return [(keys[part], values[part]) for _, keys, values in self._layers]


def cache(held: Held, places: Tensor) -> Cache:
    """What a network is given that reads tokens into these slots, int64 ``[slots, tokens]`` tells where."""
    return Cache(layers=[_Layer(keys, values, places) for keys, values in held])


class _Layer(CacheLayerMixin):  # type: ignore[misc]
    """Some slots of one layer, each of which is written at its own place."""

    is_compileable = True

    def __init__(self, keys: Tensor, values: Tensor, places: Tensor) -> None:
        super().__init__()
        self.keys, self.values, self._places = keys, values, places
        self._slots = torch.arange(len(keys), device=keys.device)[:, None]
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Nothing is left to do."""

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Write what the layer computed, each ``[slots, heads, tokens, size]``; returns all there is."""
        self.keys[self._slots, :, self._places] = key_states.transpose(1, 2)
        self.values[self._slots, :, self._places] = value_states.transpose(1, 2)
        return self.keys, self.values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """See ``CacheLayerMixin``."""
        return self.get_max_length(), 0

    def get_seq_length(self) -> int:
        """Each slot has its own: networks are told positions instead."""
        return 0

    def get_max_length(self) -> int:
        """See ``CacheLayerMixin``."""
        return int(self.keys.shape[2])


def _room(held: Tensor, rows: int, length: int) -> Tensor:
    return torch.zeros(rows, held.shape[1], length, held.shape[3], dtype=held.dtype, device=held.device)
