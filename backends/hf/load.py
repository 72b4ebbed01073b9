"""From a model's configuration to an engine that is ready to answer."""

import importlib
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec
import torch
import transformers

from backends import cuda
from backends.base import BatchingEngine, Progress
from backends.faults import package_needed
from backends.hf import compiled, group, onnx
from backends.hf.checkpoint import spread
from backends.hf.checkpoint.network import (
    Checkpoint,
    Options,
    choose_dtype,
    load_network,
    load_tokenizer,
    open_checkpoint,
)
from backends.hf.choosing.processors import Fixed
from backends.hf.encoders import load as encoder_load
from backends.hf.engine import HuggingFaceEngine
from backends.hf.errors import while_loading
from backends.hf.guesses import drafting
from backends.hf.guesses.assistant import Helper
from backends.hf.kinds import RowsChoice, choose_rows, limits, reads_only
from backends.hf.model import Model
from backends.hf.state.memory import capacity
from backends.hf.state.seq2seq import decoder_start
from backends.hf.text import Codec
from backends.hf.wording import Wording
from repl.messages import Capabilities, ModelSpec, Task

_CHECKS = {"onnx": onnx.check, "compiled": compiled.check}
"""What an engine refuses before any weight is loaded."""
_TASKS: tuple[Task, ...] = ("generate", "score", "tokenize")


def load(spec: ModelSpec, device: str, threads: int, progress: Progress) -> BatchingEngine:
    """See ``Backend.load``."""
    try:
        with _quietly(threads):
            cuda.begin(spec.name, device)
            return _load(spec, device, threads, progress)
    except Exception as error:
        raise while_loading(error, spec.name, spec.path, device) from error


def shard(order: group.Order) -> Any:
    """A follower's part of the network, after the same forward passes that the leader makes at load."""
    with _quietly(order.threads):
        group.meet(order.meeting, order.rank, order.spec.gpus, order.device)
        device = "cpu" if order.device == "cpu" else f"{order.device}:{order.rank}"
        checkpoint = open_checkpoint(order.spec)
        network = load_network(checkpoint, choose_dtype(order.spec, checkpoint.config, device)[0], device)
        rows = choose_rows(network, order.spec.slots, device)
        group.agree(_room(order.spec, checkpoint.options, rows))
        return network


@contextmanager
def _quietly(threads: int) -> Iterator[None]:
    """Without transformers' chatter, on so many threads."""
    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _load(spec: ModelSpec, device: str, threads: int, progress: Progress) -> BatchingEngine:
    progress("configuration", None)
    checkpoint = open_checkpoint(spec)
    config, source, options = checkpoint.config, checkpoint.source, checkpoint.options
    dtype, notes = _dtype(checkpoint, device)
    if options.engine in _CHECKS:
        _CHECKS[options.engine](spec, config)
    if reads_only(config):
        return _load_encoder(checkpoint, dtype, notes, device, progress)
    leader = None
    if group.check(spec, config, device):
        leader = group.Leader(spec, device.partition(":")[0], max(1, threads // spec.gpus))
        notes.append(f"every layer is shared by {spec.gpus} devices")
    else:
        checkpoint = checkpoint._replace(sharded=False)
        notes += [spread.NOTE.format(spec.gpus)] if spec.gpus > 1 else []
    progress("tokenizer", None)
    codec = Codec(load_tokenizer(checkpoint))
    progress("weights", None)
    network = load_network(checkpoint, dtype, device)
    notes += checkpoint.form.notes(network.dtype)
    parameters = network.num_parameters()
    network, rows = _rows(checkpoint, network, device, threads, progress)
    if options.assistant is not None:
        progress("assistant", None)
    helper = drafting.load_helper(checkpoint, codec, device)
    model = _model(spec, network, codec, rows, options, helper)
    if leader is not None:
        model.cache_tokens = group.agree(model.cache_tokens)
        model.rows = leader.rows(network)
    notes += drafting.attach(model, options, helper)
    capabilities = Capabilities(
        kind="seq2seq" if model.seq2seq else "causal",
        slots=rows.slots,
        max_prompt=model.max_prompt,
        vocab_size=len(codec.pieces),
        vocab_fingerprint=codec.fingerprint,
        chat=model.chat,
        checkpoint_hash=source.hash(),
        dtype=checkpoint.form.dtype(network.dtype),
        parameters=parameters,
        resumes=True,
        # A lens runs the network itself, which the other processes of a group or a graph would not do.
        tasks=_TASKS if model.seq2seq or leader or options.engine == "onnx" else (*_TASKS, "lens"),
        distributions=True,
        attention=model.seq2seq,
        notes=(*notes, *rows.notes),
    )
    return HuggingFaceEngine(model, capabilities, rows.background)


def _dtype(checkpoint: Checkpoint, device: str) -> tuple[torch.dtype, list[str]]:
    """The dtype to compute in, and notes on what the weights are."""
    dtype, notes = choose_dtype(checkpoint.spec, checkpoint.config, device)
    if checkpoint.form.packed:  # whose own dtype goes before
        notes.clear()
    if checkpoint.source.adapter is not None:
        notes.append(f"with the adapter {checkpoint.source.adapter.name} merged in")
    return dtype, notes


def _rows(
    checkpoint: Checkpoint, network: Any, device: str, threads: int, progress: Progress
) -> tuple[Any, RowsChoice]:
    """What runs the forward passes, the network or something in its place, and how its sequences are kept."""
    spec = checkpoint.spec
    if checkpoint.options.engine == "onnx":
        with package_needed(spec.name, onnx.INSTALL):
            loader = importlib.import_module("backends.hf.onnx.load")
            graph, rows = loader.replace(checkpoint, network, device, threads, progress)
        return graph, rows
    if checkpoint.options.engine == "compiled":
        loader = importlib.import_module("backends.hf.compiled.load")
        return network, loader.prepare(checkpoint, network, device, threads, progress)
    progress("self-test", None)
    return network, choose_rows(network, spec.slots, device)


def _load_encoder(
    checkpoint: Checkpoint, dtype: torch.dtype, notes: list[str], device: str, progress: Progress
) -> BatchingEngine:
    """A classifier or a masked model."""
    spec, options = checkpoint.spec, checkpoint.options
    encoder_load.check(spec, checkpoint.config)
    progress("tokenizer", None)
    codec = Codec(load_tokenizer(checkpoint))
    progress("weights", None)
    network = load_network(checkpoint, dtype, device)
    notes += checkpoint.form.notes(network.dtype)
    progress("self-test", None)
    engine = encoder_load.engine(spec, network, codec, device, options.prefill_tokens, options.within_word)
    told = engine.capabilities
    engine.capabilities = msgspec.structs.replace(
        told,
        checkpoint_hash=checkpoint.source.hash(),
        dtype=checkpoint.form.dtype(network.dtype),
        parameters=network.num_parameters(),
        notes=(*notes, *told.notes),
    )
    return engine


def _room(spec: ModelSpec, options: Options, rows: RowsChoice, helper: Helper | None = None) -> int | None:
    """Tokens whose keys and values there is memory for; a group's ranks find it by the same passes."""
    beside = helper.rows if helper is not None else None
    return options.cache_tokens or capacity(rows.make, beside, spec.share)


def _model(
    spec: ModelSpec, network: Any, codec: Codec, rows: RowsChoice, options: Options, helper: Helper | None
) -> Model:
    generation = network.generation_config
    eos = generation.eos_token_id
    if eos is None:
        eos = codec.tokenizer.eos_token_id
    ends = tuple(eos) if isinstance(eos, list) else () if eos is None else (int(eos),)
    unknown = codec.tokenizer.unk_token_id
    context, max_prompt = limits(network.config)
    return Model(
        name=spec.name,
        network=network,
        codec=codec,
        rows=rows.make,
        ragged=rows.ragged,
        divisible=rows.divisible,
        prefill_tokens=options.prefill_tokens,
        cache_tokens=_room(spec, options, rows, helper),
        # GPT-2 and its kin use one token as both; a penalty on it would only make answers longer.
        fixed=Fixed(
            generation,
            ends,
            None if unknown in ends else unknown,
            network.device,
            Wording(codec, network.config.get_text_config().vocab_size),
        ),
        start=decoder_start(network) if network.config.is_encoder_decoder else (),
        context=context,
        max_prompt=max_prompt,
        template=spec.prompt_template,
    )
