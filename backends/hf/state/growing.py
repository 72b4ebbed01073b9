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

    Whoever puts others in their place need not care about that: what does not lie there any more is copied
    when the next token comes.
    """

    keys: Tensor
    values: Tensor

    def __init__(self, room: Room) -> None:
        super().__init__()
        self._room = room
        self._whole: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """See ``DynamicLayer``."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start, count = self.get_seq_length(), key_states.shape[-2]
        end = start + count
        if self._whole is None or not self._fits(self._whole, end):
            self._whole = None  # which may be all that keeps it in memory
            length = self._room.for_tokens(end)
            keys = _copied(self.keys, start, key_states, length)
            self.keys = keys.narrow(2, 0, start)
            values = _copied(self.values, start, value_states, length)
            self._whole = keys, values
        keys, values = self._whole
        keys.narrow(2, start, count).copy_(key_states)
        values.narrow(2, start, count).copy_(value_states)
        self.keys, self.values = keys.narrow(2, 0, end), values.narrow(2, 0, end)
        return self.keys, self.values

    def keep(self) -> None:
        """See ``GrowingCache``."""
        self._whole = None

    def _fits(self, whole: tuple[Tensor, Tensor], end: int) -> bool:
        """Whether what is held is the beginning of ``whole``, all its rows, with room up to ``end``."""
        keys, values = whole
        return bool(
            end <= keys.shape[2]
            and keys.shape[0] == self.keys.shape[0]
            and keys.data_ptr() == self.keys.data_ptr()
            and values.data_ptr() == self.values.data_ptr()
        )


def _copied(held: Tensor, count: int, like: Tensor, length: int) -> Tensor:
    """The ``count`` tokens of ``held``, and room for more ``like`` them, up to ``length``."""
    whole = like.new_empty(*like.shape[:2], length, like.shape[3])
    if count:
        whole.narrow(2, 0, count).copy_(held)
    return whole
