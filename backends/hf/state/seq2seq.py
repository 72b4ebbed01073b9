"""Rows of encoder-decoder models."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache

from backends.hf.state.rows import Prompts, held_bytes, integers, ready_made


def decoder_start(network: Any) -> tuple[int, ...]:
    """What the decoder begins with, as ``generate`` chooses it."""
    settings = network.generation_config
    start = settings.decoder_start_token_id
    if start is None:
        start = settings.bos_token_id
    if start is None:
        start = network.config.get_text_config(decoder=True).decoder_start_token_id
    return tuple(start) if isinstance(start, list) else (int(start),)


class Seq2SeqRows:
    """The encoder reads the prompts, padded on the right; the decoder's rows all have the same length."""

    def __init__(self, network: Any, ready_made: bool = False) -> None:
        """``ready_made`` masks are what the network adds to its attention to the prompt.

        Of others it asks the device in each step whether they hide anything.
        """
        self._network = network
        self._ready_made = ready_made
        self._start = decoder_start(network)
        self._cache = EncoderDecoderCache(DynamicCache(), DynamicCache())
        self._encoded: Any = None
        self._mask = integers([[]], network)
        self._hidden: Tensor | None = None
        """What is told of the padding in each step; None where there is none."""
        self.length = 0

    @property
    def size(self) -> int:
        """Number of rows."""
        return int(self._mask.shape[0])

    @property
    def memory(self) -> dict[torch.device, int]:
        """Bytes of all keys and values on each device."""
        caches = (self._cache.self_attention_cache, self._cache.cross_attention_cache)
        layers = [layer for cache in caches for layer in cache.layers if layer.is_initialized]
        return held_bytes(layers)

    def prefill(self, prompts: Prompts) -> Tensor:
        """See ``Rows``."""
        longest = max(map(len, prompts))
        gaps = [longest - len(prompt) for prompt in prompts]
        ids = [[*prompt, *[0] * gap] for prompt, gap in zip(prompts, gaps, strict=True)]
        self._mask = integers([[1] * (longest - gap) + [0] * gap for gap in gaps], self._network)
        self._hide(any(gaps))
        encoder = self._network.get_encoder()
        self._encoded = encoder(input_ids=integers(ids, self._network), attention_mask=self._mask)
        return self._forward(integers([list(self._start)] * len(prompts), self._network))[:, -1]

    def feed(self, tokens: Sequence[int]) -> Tensor:
        """See ``Rows``."""
        return self._forward(integers([list(tokens)], self._network))[0]

    def decode(self, tokens: Tensor) -> Tensor:
        """See ``Rows``."""
        return self._forward(tokens[:, None])[:, -1]

    def select(self, indices: Sequence[int]) -> None:
        """See ``Rows``."""
        chosen = integers(list(indices), self._network)
        self._cache.reorder_cache(chosen)
        self._mask = self._mask.index_select(0, chosen)
        self._hide(self._hidden is not None)
        states = self._encoded.last_hidden_state
        self._encoded.last_hidden_state = states.index_select(0, chosen.to(states.device))

    def _hide(self, padded: bool) -> None:
        self._hidden = self._mask if padded else None
        if padded and self._ready_made:
            dtype = self._network.dtype
            self._hidden = (self._mask[:, None, None] == 0) * torch.finfo(dtype).min
            self._hidden = self._hidden.to(dtype)

    def _forward(self, ids: Tensor) -> Tensor:
        self.length += ids.shape[1]
        ready_made(self._cache.self_attention_cache, masked=True)
        out = self._network(
            encoder_outputs=self._encoded,
            attention_mask=self._hidden,
            decoder_input_ids=ids,
            past_key_values=self._cache,
            use_cache=True,
        )
        return out.logits.float()
