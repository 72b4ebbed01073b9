"""Keys and values that grow in place.

transformers' own layers are copied whole for each token that comes to them. These make room for some more
whenever they have to be copied, and then write each token where it belongs.
"""

from functools import partial
from typing import Any

from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

CHUNK = 32
"""Room is made for a multiple of so many tokens."""


class Room:
    """How far all layers of a cache may grow ahead of what they hold."""

    def __init__(self) -> None:
        self.most = 0
        """Tokens; 0 for no further than they must."""

    def for_tokens(self, count: int) -> int:
        """What a layer makes room for that is to hold ``count`` tokens."""
        return max(count, min(self.most, -(-count // CHUNK) * CHUNK))


class GrowingCache(DynamicCache):  # type: ignore[misc]
    """What a ``DynamicCache`` without a configuration is, in layers that grow in place."""

    def __init__(self, room: Room) -> None:
        super().__init__()
        self.layer_class_to_replicate = partial(GrowingLayer, room)

    def put(self, keys: Tensor, values: Tensor, at: int) -> None:
        """Have layer ``at`` hold these, which are not written to."""
        while len(self.layers) <= at:
            self.layers.append(self.layer_class_to_replicate())
        layer = self.layers[at]
        layer.lazy_initialization(keys, values)
        layer.keys, layer.values = keys, values
        layer.keep()

    def keep(self) -> None:
        """What is held now belongs to others too: from now on it is not written to."""
        for layer in self.layers:
            layer.keep()


class GrowingLayer(DynamicLayer):  # type: ignore[misc]
    """Keys and values ``[rows, heads, tokens, size]``, which lie at the beginning of larger tensors.

    Who puts others in their place need not care about that: what does not lie there any more is copied when
    the next token comes. But until then, or ``keep``, what was there before stays in memory.
    """

    keys: Tensor
    values: Tensor

    def __init__(self, room: Room) -> None:
        super().__init__()
        self._room = room
        self._whole: tuple[Tensor, Tensor] | None = None
        """Of whose tokens those that are held are the first, if there is any room behind them."""
        self._limit = self._end = 0
        """Tokens that there is room for; tokens of ``_given``."""
        self._given: object = ()
        """The keys as they were given out."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """See ``DynamicLayer``."""
        count = key_states.shape[2]
        # Nearly always what is held is what was given out here the last time.
        start = self._end if self.keys is self._given else self._start(key_states, value_states)
        end = start + count
        if self._whole is None or end > self._limit:
            self._whole = self._moved(key_states, value_states, start, end)
        keys, values = self._whole
        keys.narrow(2, start, count).copy_(key_states)
        values.narrow(2, start, count).copy_(value_states)
        self.keys = self._given = keys.narrow(2, 0, end)
        self.values = values.narrow(2, 0, end)
        self._end = end
        return self.keys, self.values

    def keep(self) -> None:
        """See ``GrowingCache``."""
        self._whole = None
        self._given = ()

    def _start(self, key_states: Tensor, value_states: Tensor) -> int:
        """How much is held of what somebody else put here; whether there is room behind it, too."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        if self._whole is not None and not (
            self.keys.shape[0] == self._whole[0].shape[0]
            and self.keys.data_ptr() == self._whole[0].data_ptr()
            and self.values.data_ptr() == self._whole[1].data_ptr()
        ):
            self._whole = None
        return int(self.get_seq_length())

    def _moved(self, key_states: Tensor, value_states: Tensor, start: int, end: int) -> tuple[Tensor, Tensor]:
        """Larger tensors, of which the first ``start`` tokens are what is held."""
        self.keep()  # and no more of it: this may be all that has it stay in memory
        self._limit = self._room.for_tokens(end)
        keys = _copied(self.keys, start, key_states, self._limit)
        self.keys = keys.narrow(2, 0, start)
        return keys, _copied(self.values, start, value_states, self._limit)


def _copied(held: Tensor, count: int, like: Tensor, length: int) -> Tensor:
    """The ``count`` tokens of ``held``, and room for more ``like`` them, up to ``length``."""
    whole = like.new_empty(*like.shape[:2], length, like.shape[3])
    if count:
        whole.narrow(2, 0, count).copy_(held)
    return whole
