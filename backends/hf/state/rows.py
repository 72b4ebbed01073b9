"""The model's state for a batch of sequences, and how one token more is computed.

A ``Rows`` holds keys and values (or another recurrent state) of some sequences that advance together, one row
each. ``prefill`` starts it, ``decode`` adds a token to each row, ``select`` keeps, drops, repeats or reorders
rows. That is all the engine needs for batches, samples of one prompt and beams alike. ``CausalRows`` can also
take in rows of other lengths while it runs, which is what lets requests come and go between two steps.
"""

import inspect
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from backends import upload

Prompts = Sequence[Sequence[int]]

_accepted: WeakKeyDictionary[Any, frozenset[str]] = WeakKeyDictionary()


class Rows(Protocol):
    """Sequences that share their forward passes. All logits are float32."""

    @property
    def size(self) -> int:
        """Number of rows."""
        ...

    @property
    def length(self) -> int:
        """Tokens held for each row, padding included."""
        ...

    def prefill(self, prompts: Prompts) -> Tensor:
        """Read the prompts, one row each; returns logits ``[rows, vocab]`` for what follows."""
        ...

    def feed(self, tokens: Sequence[int]) -> Tensor:
        """Add several tokens to the only row; returns logits ``[tokens, vocab]``, after each of them."""
        ...

    def decode(self, tokens: Tensor) -> Tensor:
        """Add one token to each row, int64 ``[rows]``; returns logits ``[rows, vocab]``."""
        ...

    def select(self, indices: Sequence[int]) -> None:
        """Make row ``i`` a copy of what was row ``indices[i]``."""
        ...


def accepted(network: Any) -> frozenset[str]:
    """Names of the arguments the network's ``forward`` takes."""
    names = _accepted.get(network)
    if names is None:  # to look takes as long as many a step of a small model
        names = _accepted[network] = frozenset(inspect.signature(network.forward).parameters)
    return names


def ready_made(cache: Any, masked: bool) -> None:
    """Have transformers make a mask for the next token where the rows are ``masked``, and none where not.

    Else it asks the device each time whether there is anything to hide, and the host waits for the answer.
    """
    for layer in cache.layers:
        layer.is_compileable = masked


def held_bytes(layers: Iterable[Any]) -> dict[torch.device, int]:
    """Bytes of the ``keys`` and ``values`` of ``layers`` on each device."""
    found: Counter[torch.device] = Counter()
    for layer in layers:
        found[layer.keys.device] += layer.keys.nbytes + layer.values.nbytes
    return found


def integers(values: Any, network: Any) -> Tensor:
    """An int64 tensor on the network's device."""
    return upload.integers(values, network.device)
