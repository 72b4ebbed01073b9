"""From a fairseq network that was loaded safely to CTranslate2's description of it.

CTranslate2 has a converter of its own, but it opens the checkpoint itself and asks its arguments. Here the
network is asked instead: it has been read as data (``backends.fairseq.safe_load``) and checked, and what it
really holds is what is converted. The weights go through CTranslate2's own functions.
"""

from collections.abc import Sequence
from typing import Any

import torch
from ctranslate2.converters import fairseq as parts
from ctranslate2.converters.converter import Converter
from ctranslate2.specs import common_spec, transformer_spec

from backends.base import BackendError
from backends.fairseq.load import Model

SUPPORTED = ("transformer", "transformer_align", "transformer_lm", "bart")
"""Families that CTranslate2 can run; of the transformer's variations most."""


class FairseqConverter(Converter):  # type: ignore[misc]
    """Converts a loaded model; raises ``BackendError`` where CTranslate2 lacks a part of it."""

    def __init__(self, model: Model) -> None:
        self._model = model

    def _load(self) -> Any:
        check(self._model)
        network, task = self._model.networks[0], self._model.task
        with torch.no_grad():
            if self._model.causal:
                spec = _decoder_spec(network.decoder)
                parts.set_transformer_decoder(spec.decoder, network.decoder, with_encoder_attention=False)
                spec.register_vocabulary(_names(task.target_dictionary.symbols))
            else:
                spec = _spec(network)
                parts.set_transformer_encoder(spec.encoder, network.encoder)
                parts.set_transformer_decoder(spec.decoder, network.decoder)
                spec.register_source_vocabulary(_names(task.source_dictionary.symbols))
                spec.register_target_vocabulary(_names(task.target_dictionary.symbols))
                spec.config.decoder_start_token = None  # nor is the language of answers the model's alone
                spec.config.add_source_eos = False  # prompts bring their own
        dictionary = task.target_dictionary
        spec.config.bos_token, spec.config.eos_token = str(dictionary.bos()), str(dictionary.eos())
        spec.config.unk_token = str(dictionary.unk())
        return spec


def check(model: Model) -> None:
    """``BackendError`` unless CTranslate2 can run this model."""
    if len(model.networks) > 1:
        raise _unsupported(model, "an ensemble: CTranslate2 runs one checkpoint at a time")
    wishes = {"lm_path": model.fusion, "retain_dropout": model.dropout, "align_dict": model.translations}
    if wished := [name for name, value in wishes.items() if value]:
        raise _unsupported(model, f"configured with {' and '.join(wished)}")
    network = model.networks[0]
    if not _is_transformer(network, model.causal):
        raise _unsupported(model, f"a {type(network).__name__}")
    decoder = network.decoder
    stacks = [decoder] if model.causal else [network.encoder, decoder]
    layers = [layer for stack in stacks for layer in stack.layers]
    if lacking := [what for what, there in _oddities(stacks, layers) if there]:
        raise _unsupported(model, f"a transformer with {', '.join(lacking)}")
    if len({layer.normalize_before for layer in layers}) > 1:
        raise _unsupported(model, "a transformer whose encoder and decoder differ in layer normalisation")
    if len({layer.self_attn.num_heads for layer in layers}) > 1:
        raise _unsupported(model, "a transformer whose encoder and decoder differ in the number of heads")


def _is_transformer(network: Any, causal: bool) -> bool:
    from fairseq.models.transformer import TransformerDecoderBase, TransformerModelBase
    from fairseq.models.transformer_lm import TransformerLanguageModel

    if causal:
        plain = isinstance(network, TransformerLanguageModel)
    else:
        plain = isinstance(network, TransformerModelBase)
    return plain and isinstance(network.decoder, TransformerDecoderBase)


def _oddities(stacks: Sequence[Any], layers: Sequence[Any]) -> list[tuple[str, bool]]:
    """Parts of fairseq's transformers that CTranslate2 has no place for, and whether they are there."""
    decoder = stacks[-1]
    scales = ("attn_ln", "ffn_layernorm", "w_resid", "c_attn")
    return [
        ("adaptive softmax", getattr(decoder, "adaptive_softmax", None) is not None),
        ("adaptive or character inputs", any(_weight(stack.embed_tokens) is None for stack in stacks)),
        ("no positions", any(stack.embed_positions is None for stack in stacks)),
        ("cross self-attention", bool(getattr(decoder, "cross_self_attention", False))),
        (
            "NormFormer's scales",
            any(getattr(layer, name, None) is not None for layer in layers for name in scales),
        ),
        ("keys of its own bias", any(layer.self_attn.bias_k is not None for layer in layers)),
        ("another activation", _activation(layers[0]) is None),
        ("no layers", not all(len(stack.layers) for stack in stacks)),
    ]


def _weight(module: Any) -> Any:
    return module.weight if isinstance(module, torch.nn.Embedding) else None


def _activation(layer: Any) -> Any | None:
    """CTranslate2's name of a layer's activation; None if it has none."""
    from fairseq.modules import gelu, gelu_accurate

    known = {
        torch.nn.functional.relu: common_spec.Activation.RELU,
        gelu: common_spec.Activation.GELU,
        gelu_accurate: common_spec.Activation.GELUTanh,
    }
    return known.get(layer.activation_fn)


def _spec(network: Any) -> Any:
    encoder, decoder = network.encoder, network.decoder
    first = decoder.layers[0]
    return transformer_spec.TransformerSpec.from_config(
        (len(encoder.layers), len(decoder.layers)),
        first.self_attn.num_heads,
        pre_norm=first.normalize_before,
        no_final_norm=first.normalize_before and decoder.layer_norm is None,
        activation=_activation(first),
        alignment_layer=-1,
        alignment_heads=0,  # attention is the mean of the last layer's heads, as in fairseq's search
        layernorm_embedding=decoder.layernorm_embedding is not None,
    )


def _decoder_spec(decoder: Any) -> Any:
    first = decoder.layers[0]
    return transformer_spec.TransformerDecoderModelSpec.from_config(
        len(decoder.layers),
        first.self_attn.num_heads,
        pre_norm=first.normalize_before,
        activation=_activation(first),
        layernorm_embedding=decoder.layernorm_embedding is not None,
        no_final_norm=decoder.layer_norm is None,
        project_in_out=decoder.project_in_dim is not None,
    )


def _names(symbols: Sequence[str]) -> list[str]:
    """A token is called by its number: a dictionary may hold a symbol twice, and any characters."""
    return [str(token) for token in range(len(symbols))]


def _unsupported(model: Model, what: str) -> BackendError:
    return BackendError(
        "unsupported",
        f"model '{model.name}' is {what}, which CTranslate2 cannot run",
        f"it runs {', '.join(SUPPORTED)}; backend fairseq runs the others",
    )
