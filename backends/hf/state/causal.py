"""Rows of decoder-only models with plain keys and values."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor
from torch.nn.functional import pad

from backends import upload
from backends.hf.state.growing import GrowingCache, Room
from backends.hf.state.rows import Prompts, accepted, held_bytes, ready_made


class KeptLayer(NamedTuple):
    """Keys and values of one layer for one text, each ``[1, heads, tokens, size]``."""

    at: int
    """Which layer."""
    keys: Tensor
    values: Tensor


class Snapshot(NamedTuple):
    """What the model holds of one text."""

    layers: list[KeptLayer]
    elsewhere: object = None
    """Stands for what other processes hold of the text, which goes when this does."""

    @property
    def length(self) -> int:
        """In tokens."""
        return int(self.layers[0].keys.shape[2])

    def first(self, length: int) -> "Snapshot":
        """Of the first ``length`` tokens."""
        cut = [KeptLayer(at, keys[:, :, :length], values[:, :, :length]) for at, keys, values in self.layers]
        return Snapshot(cut, self.elsewhere)


class CausalRows:
    """Decoder-only models with plain keys and values; rows of different lengths are padded on the left.

    Layers with a sliding window are kept whole here and windowed by the attention mask, so every layer has
    the same length and a row can move between batches.
    """

    def __init__(self, network: Any) -> None:
        self._network = network
        self._accepts = accepted(network)
        self._device = network.device  # it takes a look at the weights to tell
        self._room = Room()
        self._cache = GrowingCache(self._room)
        self._pads: list[int] = []
        self._column: tuple[list[int], Tensor] | None = None
        """The padding as it was when a pass was last told, and as a tensor."""
        self.length = 0

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self._pads)

    @property
    def memory(self) -> dict[torch.device, int]:
        """Bytes of all keys and values on each device."""
        return held_bytes(self._layers())

    def prefill(self, prompts: Prompts) -> Tensor:
        """See ``Rows``."""
        self.length = max(map(len, prompts))
        self._pads = [self.length - len(prompt) for prompt in prompts]
        ids = self._integers([[0] * gap + [*row] for gap, row in zip(self._pads, prompts, strict=True)])
        positions = (torch.arange(self.length, device=ids.device) - self._gaps()).clamp(min=0)
        return self._forward(ids, positions, 1)[:, -1]

    def read(self, tokens: Sequence[int]) -> Tensor:
        """Read a part of the only row's prompt; returns logits ``[1, vocab]`` for what follows."""
        self._pads = [0]
        return self._append(tokens, 1)[:, -1]

    def feed(self, tokens: Sequence[int]) -> Tensor:
        """See ``Rows``."""
        return self._append(tokens, len(tokens))[0]

    def decode(self, tokens: Tensor) -> Tensor:
        """See ``Rows``."""
        positions = self.length - self._gaps()
        self.length += 1
        return self._forward(tokens[:, None], positions, 1)[:, -1]

    def select(self, indices: Sequence[int]) -> None:
        """See ``Rows``; padding that no row needs any more is cut off."""
        self._pads = [self._pads[i] for i in indices]
        cut = min(self._pads)
        chosen = self._integers(list(indices))
        for layer in self._layers():
            own = chosen.to(layer.keys.device)  # where layers are spread
            layer.keep()  # and no more of it, lest it stay in memory
            layer.keys = layer.keys[:, :, cut:].index_select(0, own)
            layer.values = layer.values[:, :, cut:].index_select(0, own)
        self._pads = [gap - cut for gap in self._pads]
        self.length -= cut

    def join(self, other: Self) -> None:
        """Take in the rows of ``other`` after one's own; ``other`` is used up.

        If it raises, both are as they were.
        """
        length = max(self.length, other.length)
        mine, theirs = length - self.length, length - other.length
        size = self.size
        try:
            for layer, more in zip(self._layers(), other._layers(), strict=True):
                layer.keep()
                layer.keys, layer.values = (
                    torch.cat([pad(own, (0, 0, mine, 0)), pad(new, (0, 0, theirs, 0))])
                    for own, new in ((layer.keys, more.keys), (layer.values, more.values))
                )
        except Exception:
            for layer in self._layers():
                if layer.keys.shape[0] > size:
                    layer.keys, layer.values = layer.keys[:size, :, mine:], layer.values[:size, :, mine:]
            raise
        self._pads = [gap + mine for gap in self._pads] + [gap + theirs for gap in other._pads]
        self.length = length

    def share(self) -> None:
        """Told once others may join while they run; a place to prepare for many steps, where that helps."""

    def reserve(self, tokens: int) -> None:
        """Each row may come to hold so many ``tokens``: there is memory for them."""
        self._room.most = tokens

    def held(self, row: int) -> int:
        """Tokens of a row, without padding."""
        return self.length - self._pads[row]

    def snapshot(self, row: int) -> Snapshot:
        """What is held of one row; a copy, unless it is all there is, which nothing changes in place then."""
        gap = self._pads[row]
        whole = len(self._pads) == 1 and not gap
        if whole:
            self._cache.keep()
        layers = [
            KeptLayer(
                index,
                *(
                    held if whole else held[row : row + 1, :, gap:].clone()
                    for held in (layer.keys, layer.values)
                ),
            )
            for index, layer in enumerate(self._cache.layers)
            if layer.is_initialized
        ]
        return Snapshot(layers)

    def restore(self, snapshot: Snapshot) -> None:
        """Begin with one row that holds what ``snapshot`` does."""
        for at, keys, values in snapshot.layers:
            self._cache.put(keys, values, at)
        self._pads = [0]
        self.length = snapshot.length

    def crop(self, length: int) -> None:
        """Return to ``length`` tokens, after a wrong draft or a pass that broke off between two layers."""
        self.length = length
        for layer in self._layers():
            layer.keys, layer.values = layer.keys[:, :, :length], layer.values[:, :, :length]

    def _append(self, tokens: Sequence[int], keep: int) -> Tensor:
        positions = torch.arange(self.length, self.length + len(tokens), device=self._device)
        self.length += len(tokens)
        return self._forward(self._integers([list(tokens)]), positions[None], keep)

    def _forward(self, ids: Tensor, positions: Tensor, keep: int) -> Tensor:
        mask = None
        if any(self._pads):
            mask = torch.arange(self.length, device=ids.device) >= self._gaps()
            mask = mask.long()
        ready_made(self._cache, masked=mask is not None)
        offered = {"position_ids": positions, "logits_to_keep": keep}
        extra = {name: value for name, value in offered.items() if name in self._accepts}
        out = self._network(
            input_ids=ids, attention_mask=mask, past_key_values=self._cache, use_cache=True, **extra
        )
        return out.logits[:, -keep:].float()

    def _layers(self) -> list[Any]:
        """Layers that hold something; those that share another layer's keys never do."""
        return [layer for layer in self._cache.layers if layer.is_initialized]

    def _integers(self, values: Any) -> Tensor:
        return upload.integers(values, self._device)

    def _gaps(self) -> Tensor:
        """The padding of each row: int64 ``[rows, 1]``."""
        if self._column is None or self._column[0] is not self._pads:
            self._column = self._pads, self._integers(self._pads)[:, None]
        return self._column[1]
