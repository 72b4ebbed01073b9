"""Which drafter a model gets, by its ``options``."""

import msgspec

from backends.base import BackendError
from backends.hf import selftest
from backends.hf.checkpoint.network import (
    Checkpoint,
    Options,
    choose_dtype,
    load_network,
    load_tokenizer,
    open_checkpoint,
)
from backends.hf.guesses.assistant import Assistant, Helper
from backends.hf.guesses.lookup import Lookup
from backends.hf.guesses.speculation import Drafts
from backends.hf.kinds import choose_rows, limits
from backends.hf.model import Model
from backends.hf.text import Codec


def load_helper(model: Checkpoint, codec: Codec, device: str) -> Helper | None:
    """The assistant that the options name; refuses one that could not help. ``codec`` is the model's."""
    spec, options, config = model.spec, model.options, model.config
    if options.assistant is None:
        return None
    if options.lookup is not None:
        raise BackendError(
            "bad_parameter",
            f"model '{spec.name}': options: lookup and assistant cannot both draft",
            "take one of them out",
        )
    own = msgspec.structs.replace(
        spec, name=f"{spec.name} (assistant)", path=options.assistant, options={}, gpus=1
    )
    checkpoint = open_checkpoint(own)
    if Codec(load_tokenizer(checkpoint)).fingerprint != codec.fingerprint:
        raise BackendError(
            "bad_parameter",
            f"model '{spec.name}': its assistant {own.path} has another vocabulary",
            "take a smaller model of the same family, with the same tokenizer",
        )
    network = load_network(checkpoint, choose_dtype(own, checkpoint.config, device)[0], device)
    if network.config.is_encoder_decoder or not choose_rows(network, 1, device).divisible:
        raise BackendError(
            "unsupported",
            f"model '{spec.name}': its assistant ({network.config.model_type}) cannot unread anything",
            "take a decoder-only model with plain keys and values",
        )
    return Helper(
        network=network,
        context=limits(network.config)[0],
        embeddings=int(network.get_input_embeddings().weight.shape[0]),
        width=int(config.get_text_config(decoder=True).vocab_size),
        part=options.prefill_tokens,
    )


def attach(model: Model, options: Options, helper: Helper | None) -> list[str]:
    """Give ``model`` what its options ask for; notes that say what that is."""
    if options.lookup is None and helper is None:
        return []
    # A row that was cut back must be as if it had never been longer.
    if not (model.divisible and selftest.rewinds(model.network, model.rows)):
        name = "lookup" if helper is None else "assistant"
        return [f"{name} has no effect: what this kind of model has read cannot be taken back"]
    how, most = "prompt lookup", options.draft
    if helper is not None:
        how = f"an assistant, {options.assistant},"
        model.drafts = lambda: Drafts(Assistant(helper), most)
    elif options.lookup is not None:
        most = options.lookup
        model.drafts = lambda: Drafts(Lookup(), most)
    return [f"{how} guesses up to {most} tokens for a stream that runs alone"]
