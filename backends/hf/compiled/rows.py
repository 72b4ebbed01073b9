"""The rows that requests share, in a buffer where each step is like the last."""

import weakref
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from backends.hf.compiled.steps import Steps
from backends.hf.state.causal import CausalRows, KeptLayer, Snapshot
from backends.hf.state.growing import GrowingCache
from backends.hf.state.rows import held_bytes


class Place:
    """Who has the buffer, which is one batch at a time."""

    def __init__(self) -> None:
        self._owner: weakref.ref[StaticRows] | None = None

    def take(self, rows: "StaticRows") -> None:
        """Give it to ``rows``; who had it goes on without."""
        before = self._owner() if self._owner is not None else None
        if before is not None and before is not rows:
            before.leave()
        self._owner = weakref.ref(rows)


class StaticRows(CausalRows):
    """As ``CausalRows``, and in the buffer as soon as they are shared and there is a step for them.

    There row ``i`` lies in ``_slots[i]``, without padding; ``length`` and ``_pads`` tell of it what they
    always do. The slots are the first ones, in any order.
    """

    def __init__(self, network: Any, steps: Steps, place: Place) -> None:
        super().__init__(network)
        self._steps = steps
        self._place = place
        self._shared = False
        self._slots: list[int] | None = None

    @property
    def memory(self) -> dict[torch.device, int]:
        """See ``CausalRows``."""
        if self._slots is None:
            return super().memory
        return held_bytes(layer for row in range(self.size) for layer in self._held(row))

    @property
    def static(self) -> bool:
        """Whether they are in the buffer."""
        return self._slots is not None

    def share(self) -> None:
        """See ``CausalRows``."""
        self._shared = True

    def decode(self, tokens: Tensor) -> Tensor:
        """See ``CausalRows``, as for all below."""
        if not self._enter():
            return super().decode(tokens)
        assert self._slots is not None
        positions = [self.length - gap for gap in self._pads]
        self.length += 1
        return self._steps.run(tokens, self._slots, positions)

    def feed(self, tokens: Sequence[int]) -> Tensor:
        """Not a step of fixed shape, but nothing needs to be moved for it."""
        if self._slots is None or self.length + len(tokens) > self._steps.buffer.length:
            self.leave()
            return super().feed(tokens)
        start = self.length
        self.length += len(tokens)
        return self._steps.feed(tokens, self._slots[0], start)

    def select(self, indices: Sequence[int]) -> None:
        """Rows that stay keep their slots, unless one further to the front is free."""
        if self._slots is None or len(set(indices)) < len(indices):
            self.leave()
            super().select(indices)
            return
        chosen = [self._slots[i] for i in indices]
        free = iter(sorted(set(range(len(chosen))).difference(chosen)))
        for at, (i, slot) in enumerate(zip(indices, chosen, strict=True)):
            if slot >= len(chosen):
                chosen[at] = next(free)
                self._steps.buffer.put(chosen[at], self._held(i))
        self._slots = chosen
        self._pads = [self._pads[i] for i in indices]
        cut = min(self._pads)
        self._pads = [gap - cut for gap in self._pads]
        self.length -= cut

    def join(self, other: CausalRows) -> None:
        """Into free slots, where they are enough."""
        assert isinstance(other, StaticRows)
        other.leave()
        length = max(self.length, other.length)
        if self._slots is None or not self._steps.fits(self.size + other.size, length):
            self.leave()
            super().join(other)
            return
        slots = range(self.size, self.size + other.size)
        for row, slot in enumerate(slots):
            self._steps.buffer.put(slot, other._held(row))
        mine, theirs = length - self.length, length - other.length
        self._pads = [gap + mine for gap in self._pads] + [gap + theirs for gap in other._pads]
        self._slots += slots
        self.length = length

    def snapshot(self, row: int) -> Snapshot:
        """A copy."""
        if self._slots is None:
            return super().snapshot(row)
        return Snapshot([KeptLayer(at, keys.clone(), values.clone()) for at, keys, values in self._held(row)])

    def crop(self, length: int) -> None:
        """What is cut off is cleared, lest a number that is none stay behind the mask."""
        if self._slots is None:
            super().crop(length)
            return
        for slot, gap in zip(self._slots, self._pads, strict=True):
            self._steps.buffer.clear(slot, max(length - gap, 0), self.length - gap)
        self.length = length

    def leave(self) -> None:
        """Go on outside of the buffer."""
        if self._slots is None:
            return
        rows = [self._held(row) for row in range(self.size)]
        outside = GrowingCache(self._room)
        for layers in zip(*rows, strict=True):
            keys, values = (
                torch.cat([pad(held, (0, 0, gap, 0)) for held, gap in zip(parts, self._pads, strict=True)])
                for parts in ([layer.keys for layer in layers], [layer.values for layer in layers])
            )
            outside.update(keys, values, layers[0].at)
        self._cache, self._slots = outside, None

    def _enter(self) -> bool:
        """Be in the buffer, if that is possible now."""
        if not self._shared or not self._steps.fits(self.size, self.length):
            self.leave()
            return False
        if self._slots is None:
            self._place.take(self)
            for row in range(self.size):
                self._steps.buffer.put(row, self._held(row))
            self._slots, self._cache = list(range(self.size)), GrowingCache(self._room)
        return True

    def _held(self, row: int) -> list[KeptLayer]:
        """Keys and values of a row, without padding, where they lie."""
        if self._slots is not None:
            return self._steps.buffer.get(self._slots[row], self.held(row))
        gap = self._pads[row]
        return [
            KeptLayer(at, layer.keys[row : row + 1, :, gap:], layer.values[row : row + 1, :, gap:])
            for at, layer in enumerate(self._cache.layers)
            if layer.is_initialized
        ]
