"""What kind of model a checkpoint is: told from its configuration and its cache, never from its name."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple, Protocol

from transformers import (
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoModelForSeq2SeqLM,
    AutoModelForSequenceClassification,
    DynamicCache,
)
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer
from transformers.models.auto import modeling_auto

from backends.base import BackendError
from backends.hf import selftest
from backends.hf.state.causal import CausalRows
from backends.hf.state.recurrent import RecomputedRows, RecurrentRows
from backends.hf.state.rows import Rows
from backends.hf.state.seq2seq import Seq2SeqRows
from repl.messages import ModelSpec

CPU_SLOTS = 4
GPU_SLOTS = 16
_APART = "prompts of different lengths are read apart: padding alters them"
_DIFFERS = "the self-test failed: answers differ from transformers' generate"


class Background(Protocol):
    """What makes a model's steps faster while it serves."""

    @property
    def notes(self) -> tuple[str, ...]:
        """How far it is."""
        ...

    @property
    def pending(self) -> bool:
        """Whether there is something left to do, now or later."""
        ...

    def attend(self, wake: Callable[[], None]) -> None:
        """Begin; ``wake`` is called, from any thread, when ``advance`` has something to do."""
        ...

    def advance(self, running: int) -> bool:
        """Do a piece, beside so many rows that run; whether the next can be done at once. Must not raise."""
        ...


class RowsChoice(NamedTuple):
    """How the model's sequences are kept, and what follows from it."""

    make: Callable[[], Rows]
    slots: int
    ragged: bool
    """A batch may begin with prompts of different lengths."""
    notes: tuple[str, ...] = ()
    divisible: bool = False
    """A prompt can be read in parts, and what was read of one text goes for another that begins alike."""
    background: Background | None = None


def reads_only(config: Any) -> Literal["classifier", "masked"] | None:
    """What a model is that reads and does not write; None for all others."""
    for name in config.architectures or []:
        if name.endswith("ForSequenceClassification"):
            return "classifier"
        if name.endswith("ForMaskedLM"):
            return "masked"
    return None


def loader_for(spec: ModelSpec, config: Any) -> Any:
    """The class that loads a model of this kind; refuses kinds that can be asked nothing here."""
    if kind := reads_only(config):
        loaders = {"classifier": AutoModelForSequenceClassification, "masked": AutoModelForMaskedLM}
        return loaders[kind]
    own = getattr(config, "auto_map", None) or {}
    if "remote-code" in spec.trust and "AutoModelForCausalLM" in own:
        return AutoModelForCausalLM
    causal = modeling_auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
    seq2seq = modeling_auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES
    names = config.architectures or []
    heads = {*causal.values(), *seq2seq.values()}
    other = [name for name in names if name not in heads and re.search(r"For[A-Z]", name)]
    if not other:
        if config.is_encoder_decoder and config.model_type in seq2seq:
            return AutoModelForSeq2SeqLM
        if not config.is_encoder_decoder and config.model_type in causal:
            return AutoModelForCausalLM
    raise BackendError(
        "unsupported",
        f"model '{spec.name}' is a {', '.join(names) or config.model_type}, which does not generate text",
        "this backend serves decoder-only (...ForCausalLM) and encoder-decoder (T5, BART ...) models, "
        "sequence classifiers and masked language models",
    )


def choose_rows(network: Any, slots: int | None, device: str) -> RowsChoice:
    """The fastest way that the model's cache layers allow and the self-test, which also warms up, confirms.

    ``slots`` is what the user asked for, None for the default.
    """
    many = slots or (CPU_SLOTS if device == "cpu" else GPU_SLOTS)
    if network.config.is_encoder_decoder:
        return _encoder_decoder(network, many)
    if plain_cache(network):
        plain = partial(CausalRows, network)
        make: Callable[[], Rows] = plain
        if selftest.passes(network, make, together=True):
            parts = divisible(network.config) and selftest.divides(network, plain)
            return RowsChoice(make, many, True, divisible=parts)
        if selftest.passes(network, make, together=False):
            return RowsChoice(make, 1, False, ("one request at a time: batched answers would differ",))
    elif network._supports_default_dynamic_cache():
        make = partial(RecurrentRows, network)
        if selftest.passes(network, make, together=False):
            return RowsChoice(make, slots or 1, False, ("its state cannot be batched: requests take turns",))
    make = partial(RecomputedRows, network)
    notes = ["no cache that can be used: each token reads the whole text again"]
    if not selftest.passes(network, make, together=False):
        notes.append(_DIFFERS)
    return RowsChoice(make, slots or 1, False, tuple(notes))


def _encoder_decoder(network: Any, slots: int) -> RowsChoice:
    """Prompts are read together, padded, where that alters nothing."""
    for ready_made in (True, False):
        make = partial(Seq2SeqRows, network, ready_made)
        if padded := selftest.pads(network, make):
            break
    notes = () if padded else (_APART,)
    if not selftest.passes(network, make, together=False):
        notes = (*notes, _DIFFERS)
    return RowsChoice(make, slots, padded, notes)


def divisible(config: Any) -> bool:
    """Whether the keys of a token depend on what is before it alone.

    Two kinds of rotary embedding turn all tokens of a pass by the length of the whole.
    """
    rope = getattr(config.get_text_config(decoder=True), "rope_parameters", None) or {}
    each = [value for value in rope.values() if isinstance(value, dict)] or [rope]
    kinds = [str(one.get("rope_type") or one.get("type") or "") for one in each]
    return not any("dynamic" in kind or kind == "longrope" for kind in kinds)


def plain_cache(network: Any) -> bool:
    """Whether all cache layers hold plain keys and values."""
    if not network._supports_default_dynamic_cache():
        return False
    plain = {DynamicLayer, DynamicSlidingWindowLayer}
    layers = DynamicCache(config=network.config).layers
    return all(type(layer) in plain or keeps_nothing(layer) for layer in layers)


def keeps_nothing(layer: object) -> bool:
    """Whether a cache layer uses another's keys and values; older versions have no class for it."""
    return type(layer).__name__ == "DummyLayer"


def limits(config: Any) -> tuple[int | None, int | None]:
    """Positions of the decoder and of what reads the prompt; None where positions are relative or none."""
    decoder = config.get_text_config(decoder=True)
    positions = getattr(decoder, "max_position_embeddings", None)
    if not config.is_encoder_decoder:
        return positions, positions
    encoder = getattr(config, "max_encoder_position_embeddings", positions)
    return getattr(config, "max_decoder_position_embeddings", positions), encoder
