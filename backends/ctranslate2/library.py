"""CTranslate2 itself: a model on its device, called with token ids."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
from numpy.typing import NDArray

from backends.ctranslate2 import folders

Watch = Callable[[Any], bool]
"""Sees each token as it is decoded (``GenerationStepResult``); True ends its sequence."""


@dataclass(frozen=True)
class Feed:
    """One sequence to decode."""

    source: list[int]
    """As ``Asked.feed``."""
    begun: list[int]
    """What its answer begins with."""
    start: tuple[int, ...] = ()
    """As ``Asked.start``."""


@dataclass(frozen=True)
class Search:
    """How sequences are decoded. CTranslate2 has one limit for all of a call."""

    ahead: int
    """Most tokens after what the longest of them is begun with."""
    least: int = 0
    """Fewest tokens before an end token, counted as ``ahead`` is by a decoder, else from the beginning."""
    beam: int = 1
    n: int = 1
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    never: tuple[tuple[int, ...], ...] = ()
    """Sequences that an answer must not have."""
    logits: bool = False
    attention: bool = False


@dataclass(frozen=True)
class Found:
    """A hypothesis."""

    tokens: list[int]
    """With what it was begun with and its end token, where there is one."""
    score: float
    attention: list[list[float]]


class Library:
    """Decodes and reads; each method is one call of CTranslate2, which lets go of Python's lock."""

    def __init__(self, path: Path, device: str, compute_type: str, threads: int) -> None:
        self.causal = folders.is_causal(path)
        kind = ctranslate2.Generator if self.causal else ctranslate2.Translator
        name, _, index = device.partition(":")
        self._model: Any = kind(
            str(path),
            device=name,
            device_index=int(index or 0),
            compute_type=compute_type,
            inter_threads=2,  # the second goes on while a search that was cancelled comes to its end
            intra_threads=threads,
        )
        self._source, self._target = folders.vocabularies(path)
        self._ids = {name: token for token, name in enumerate(self._target)}

    @property
    def compute_type(self) -> str:
        """What CTranslate2 really computes in."""
        return str(self._model.compute_type)

    @property
    def size(self) -> int:
        """Number of tokens it can write."""
        return len(self._target)

    def decode(
        self, feeds: Sequence[Feed], search: Search, ends: Sequence[int], watch: Watch | None = None
    ) -> list[list[Found]]:
        """The hypotheses of each sequence, best first; ``watch`` is for a beam of 1."""
        common: dict[str, Any] = {
            "beam_size": search.beam,
            "num_hypotheses": search.n,
            "length_penalty": search.length_penalty,
            "repetition_penalty": search.repetition_penalty,
            "no_repeat_ngram_size": search.no_repeat_ngram,
            "suppress_sequences": [_named(self._target, tokens) for tokens in search.never] or None,
            "end_token": list(ends) or None,
            "return_end_token": True,
            "return_scores": True,
            "return_logits_vocab": search.logits,
            "callback": watch,
        }
        if self.causal:
            return self._generate(feeds, search, common)
        # To CTranslate2 all but the first token of a start is part of the answer.
        longest = max(len(_opens(feed)) + len(feed.begun) for feed in feeds) + search.ahead
        results = self._model.translate_batch(
            [_named(self._source, feed.source) for feed in feeds],
            target_prefix=[_named(self._target, (*feed.start, *feed.begun)) for feed in feeds],
            max_input_length=0,
            max_decoding_length=longest,
            min_decoding_length=min(search.least, longest),
            return_attention=search.attention,
            **common,
        )
        return [self._found(feed, result) for feed, result in zip(feeds, results, strict=True)]

    def _found(self, feed: Feed, result: Any) -> list[Found]:
        opens = len(_opens(feed))
        attention = result.attention or [[]] * len(result.scores)
        return [
            Found([self._ids[name] for name in names[opens:]], score, weights[opens:])
            for names, score, weights in zip(result.hypotheses, result.scores, attention, strict=True)
        ]

    def _generate(self, feeds: Sequence[Feed], search: Search, common: dict[str, Any]) -> list[list[Found]]:
        """What an answer is begun with is part of the prompt here."""
        results = self._model.generate_batch(
            [_named(self._target, feed.source + feed.begun) for feed in feeds],
            include_prompt_in_result=False,
            max_length=max(1, search.ahead),
            min_length=min(search.least, search.ahead),
            **common,
        )
        return [
            [
                Found([*feed.begun, *ids], score, [])
                for ids, score in zip(result.sequences_ids, result.scores, strict=True)
            ]
            for feed, result in zip(feeds, results, strict=True)
        ]

    def logits(self, sequences: Sequence[list[int]]) -> NDArray[np.float32]:
        """A decoder's float32 logits after each token of each sequence: ``[sequences, longest, vocab]``."""
        return as_array(self._model.forward_batch(list(sequences)))


def _opens(feed: Feed) -> tuple[int, ...]:
    return feed.start[1:]


def _named(names: Sequence[str], tokens: Sequence[int]) -> list[str]:
    """What CTranslate2 calls the tokens; it knows none that a conversion left out, such as padding."""
    return [names[token] if token < len(names) else "" for token in tokens]


def as_array(view: Any) -> NDArray[np.float32]:
    """The values of a ``StorageView`` in this process' memory."""
    if view.dtype != ctranslate2.DataType.float32:
        view = view.to(ctranslate2.DataType.float32)
    if view.device != "cpu":
        view = view.to_device(ctranslate2.Device.cpu)
    return np.asarray(view)
