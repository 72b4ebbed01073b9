"""Rows of models whose state is not a plain list of keys and values."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from backends.hf.state.rows import Prompts, accepted, integers


class RecurrentRows:
    """State-space and hybrid models: the cache is the model's own, so all rows must have the same length."""

    def __init__(self, network: Any) -> None:
        self._network = network
        accepts = accepted(network)
        name = "cache_params" if "cache_params" in accepts else "past_key_values"
        self._cache = DynamicCache(config=network.config)
        self._extra = {name: self._cache, "use_cache": True}
        if "logits_to_keep" in accepts:
            self._extra["logits_to_keep"] = 1
        self.size = 0
        self.length = 0

    def prefill(self, prompts: Prompts) -> Tensor:
        """See ``Rows``; the prompts must have the same length."""
        return self._forward(integers([list(prompt) for prompt in prompts], self._network))

    def feed(self, tokens: Sequence[int]) -> Tensor:
        """See ``Rows``; a state that exists takes one token at a time."""
        return torch.cat([self.decode(integers([token], self._network)) for token in tokens])

    def decode(self, tokens: Tensor) -> Tensor:
        """See ``Rows``."""
        return self._forward(tokens[:, None])

    def select(self, indices: Sequence[int]) -> None:
        """See ``Rows``."""
        self._cache.reorder_cache(integers(list(indices), self._network))
        self.size = len(indices)

    def _forward(self, ids: Tensor) -> Tensor:
        self.size = ids.shape[0]
        self.length += ids.shape[1]
        return self._network(input_ids=ids, **self._extra).logits[:, -1].float()


class RecomputedRows:
    """Models whose cache is unlike any other's: each step reads the whole sequence anew. Slow and right."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self._ids = integers([[]], network)

    @property
    def size(self) -> int:
        """Number of rows."""
        return int(self._ids.shape[0])

    @property
    def length(self) -> int:
        """Tokens of each row."""
        return int(self._ids.shape[1])

    def prefill(self, prompts: Prompts) -> Tensor:
        """See ``Rows``; the prompts must have the same length."""
        self._ids = integers([list(prompt) for prompt in prompts], self._network)
        return self._forward(1)[:, -1]

    def feed(self, tokens: Sequence[int]) -> Tensor:
        """See ``Rows``."""
        self._ids = torch.cat([self._ids, integers([list(tokens)], self._network)], dim=1)
        return self._forward(len(tokens))[0]

    def decode(self, tokens: Tensor) -> Tensor:
        """See ``Rows``."""
        self._ids = torch.cat([self._ids, tokens[:, None]], dim=1)
        return self._forward(1)[:, -1]

    def select(self, indices: Sequence[int]) -> None:
        """See ``Rows``."""
        self._ids = self._ids[integers(list(indices), self._network)]

    def _forward(self, keep: int) -> Tensor:
        return self._network(input_ids=self._ids, use_cache=False).logits[:, -keep:].float()
