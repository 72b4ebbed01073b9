"""From a model's configuration to an engine that is ready to answer."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec
import torch
import transformers
from transformers import AutoConfig, AutoTokenizer
from transformers.distributed import DistributedConfig

from backends.base import BackendError, BatchingEngine, Progress
from backends.hf import encoder_load, group
from backends.hf.checkpoint import Source, locate
from backends.hf.engine import HuggingFaceEngine
from backends.hf.errors import while_loading
from backends.hf.kinds import RowsChoice, choose_rows, limits, loader_for, reads_only
from backends.hf.memory import capacity
from backends.hf.model import Model
from backends.hf.processors import Fixed
from backends.hf.seq2seq import decoder_start
from backends.hf.text import Codec
from backends.hf.wording import Wording
from repl.messages import Capabilities, ModelSpec, Task

DTYPES = {
    "float32": torch.float32,
    "fp32": torch.float32,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float16": torch.float16,
    "fp16": torch.float16,
}


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """Validated ``options`` of the configuration."""

    attention: str | None = None
    """transformers' ``attn_implementation``; None leaves the choice to it."""
    within_word: bool = False
    """A masked model scores a token with the rest of its word hidden too."""
    revision: str = "main"
    """Of a model on the hub: a branch, a tag or a commit."""
    prefill_tokens: Annotated[int, msgspec.Meta(ge=1)] = 512
    """Prompt tokens read in one step: more is faster, fewer disturbs the running answers less."""
    cache_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Tokens whose keys and values may be held at once; None takes a share of the free memory."""


_TASKS: tuple[Task, ...] = ("generate", "score", "tokenize")


def load(spec: ModelSpec, device: str, threads: int, progress: Progress) -> BatchingEngine:
    """See ``Backend.load``."""
    try:
        with _quietly(threads):
            return _load(spec, device, threads, progress)
    except Exception as error:
        raise while_loading(error, spec.name, spec.path, device) from error


def shard(order: group.Order) -> Any:
    """A follower's part of the network, after the same forward passes that the leader makes at load."""
    with _quietly(order.threads):
        group.meet(order.meeting, order.rank, order.spec.gpus, order.device)
        device = "cpu" if order.device == "cpu" else f"{order.device}:{order.rank}"
        checkpoint = _open(order.spec)
        network = _network(checkpoint, choose_dtype(order.spec, checkpoint.config, device)[0], device)
        rows = choose_rows(network, order.spec.slots, device)
        group.agree(_room(checkpoint.options, rows, network))
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


class Checkpoint(NamedTuple):
    """A model's files and how they are read."""

    spec: ModelSpec
    options: Options
    source: Source
    common: dict[str, Any]
    """Arguments of every ``from_pretrained``."""
    config: Any
    loader: Any
    sharded: bool
    """Over the processes of a group."""


def _open(spec: ModelSpec) -> Checkpoint:
    options = _options(spec)
    source = locate(spec)
    common: dict[str, Any] = {
        "local_files_only": source.local,
        "trust_remote_code": "remote-code" in spec.trust,
        "revision": options.revision,
    }
    config = AutoConfig.from_pretrained(source.name, **common)
    return Checkpoint(spec, options, source, common, config, loader_for(spec, config), spec.gpus > 1)


def _load(spec: ModelSpec, device: str, threads: int, progress: Progress) -> BatchingEngine:
    progress("configuration", None)
    checkpoint = _open(spec)
    config, source, options = checkpoint.config, checkpoint.source, checkpoint.options
    dtype, notes = choose_dtype(spec, config, device)
    if reads_only(config):
        return _load_encoder(checkpoint, dtype, notes, device, progress)
    leader = None
    if group.check(spec, config, device):
        leader = group.Leader(spec, device.partition(":")[0], max(1, threads // spec.gpus))
        notes.append(f"every layer is shared by {spec.gpus} devices")
    else:
        checkpoint = checkpoint._replace(sharded=False)
        notes += [SPREAD.format(spec.gpus)] if spec.gpus > 1 else []
    progress("tokenizer", None)
    codec = Codec(_tokenizer(spec, source, checkpoint.common))
    progress("weights", None)
    network = _network(checkpoint, dtype, device)
    progress("self-test", None)
    rows = choose_rows(network, spec.slots, device)
    model = _model(spec, network, codec, rows, options)
    if leader is not None:
        model.cache_tokens = group.agree(model.cache_tokens)
        model.rows = leader.rows(network)
    capabilities = Capabilities(
        kind="seq2seq" if model.seq2seq else "causal",
        slots=rows.slots,
        max_prompt=model.max_prompt,
        vocab_size=len(codec.pieces),
        vocab_fingerprint=codec.fingerprint,
        chat=model.chat,
        checkpoint_hash=source.hash(),
        dtype=str(network.dtype).removeprefix("torch."),
        parameters=sum(weight.numel() for weight in network.parameters()),
        resumes=True,
        # A lens runs the network itself, which the other processes of a group would not do.
        tasks=(*_TASKS, "lens") if not model.seq2seq and leader is None else _TASKS,
        distributions=True,
        attention=model.seq2seq,
        notes=(*notes, *rows.notes),
    )
    return HuggingFaceEngine(model, capabilities)


def _load_encoder(
    checkpoint: Checkpoint, dtype: torch.dtype, notes: list[str], device: str, progress: Progress
) -> BatchingEngine:
    """A classifier or a masked model."""
    spec, options = checkpoint.spec, checkpoint.options
    encoder_load.check(spec, checkpoint.config)
    progress("tokenizer", None)
    codec = Codec(_tokenizer(spec, checkpoint.source, checkpoint.common))
    progress("weights", None)
    network = _network(checkpoint, dtype, device)
    progress("self-test", None)
    engine = encoder_load.engine(spec, network, codec, device, options.prefill_tokens, options.within_word)
    told = engine.capabilities
    engine.capabilities = msgspec.structs.replace(
        told, checkpoint_hash=checkpoint.source.hash(), notes=(*notes, *told.notes)
    )
    return engine


def _options(spec: ModelSpec) -> Options:
    try:
        return msgspec.convert(spec.options, Options)
    except msgspec.ValidationError as error:
        raise BackendError(
            "bad_parameter",
            f"model '{spec.name}': options: {error}",
            f"known are {', '.join(Options.__struct_fields__)}",
        ) from error


def choose_dtype(spec: ModelSpec, config: Any, device: str) -> tuple[torch.dtype, list[str]]:
    """The dtype to compute in, and a note where it is not the checkpoint's."""
    stored = getattr(config.get_text_config(decoder=True), "dtype", None) or config.dtype
    stored = getattr(torch, stored) if isinstance(stored, str) else stored
    if spec.dtype != "auto":
        if spec.dtype not in DTYPES:
            raise BackendError(
                "bad_parameter",
                f"model '{spec.name}': dtype '{spec.dtype}' does not exist",
                f"it can be auto, {', '.join(DTYPES)}",
            )
        return DTYPES[spec.dtype], []
    if device == "cpu":
        chosen = torch.float32
    elif stored == torch.float16 or not torch.cuda.is_bf16_supported():
        chosen = torch.float16
    else:
        chosen = torch.bfloat16
    name, held = str(chosen).removeprefix("torch."), str(stored).removeprefix("torch.")
    if stored is None or stored == chosen:
        return chosen, []
    return chosen, [f"computes in {name} on this device; the checkpoint is stored in {held}"]


SPREAD = (
    "its layers are spread over {} devices, of which one works at a time: transformers has no "
    "tensor-parallel plan for this kind"
)


def _tokenizer(spec: ModelSpec, source: Source, common: dict[str, Any]) -> Any:
    fault = ""
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.name, **common)
        files = tokenizer.vocab_files_names.values()
        # Without its files a tokenizer may come out empty and say nothing about it.
        if not source.local or not files or any((Path(source.name) / file).exists() for file in files):
            return tokenizer
    except (OSError, ValueError, KeyError, TypeError) as error:
        if "trust_remote_code" in str(error) or not source.local:
            raise
        fault = str(error)
    raise BackendError(
        "not_a_checkpoint",
        f"model '{spec.name}': no tokenizer can be read from {source.name}",
        "save it there with tokenizer.save_pretrained; some kinds need 'pip install sentencepiece'",
        fault,
    )


def _network(checkpoint: Checkpoint, dtype: torch.dtype, device: str) -> Any:
    """The network in evaluation mode on its device; refuses one whose weights are not all there."""
    spec, config = checkpoint.spec, checkpoint.config
    quantised = getattr(config, "quantization_config", None) is not None
    placed: dict[str, Any] = {"device_map": {"": device}} if quantised else {"dtype": dtype}
    if checkpoint.sharded:
        placed |= {"distributed_config": DistributedConfig(tp_plan="auto", tp_size=spec.gpus)}
    elif spec.gpus > 1:
        placed |= {"device_map": "auto"}
    network, info = checkpoint.loader.from_pretrained(
        checkpoint.source.name,
        config=config,
        attn_implementation=checkpoint.options.attention,
        weights_only=True,
        output_loading_info=True,
        **placed,
        **checkpoint.common,
    )
    missing = sorted(info["missing_keys"])
    if missing:
        raise BackendError(
            "not_a_checkpoint",
            f"model '{spec.name}': {len(missing)} weights are not in the checkpoint, {missing[0]} for one",
            "it was saved from another kind of model, or not all of its files are there",
            "\n".join(missing),
        )
    return (network if quantised or spec.gpus > 1 else network.to(device)).eval()


def _room(options: Options, rows: RowsChoice, network: Any) -> int | None:
    """Tokens whose keys and values there is memory for; a group's ranks find it by the same passes."""
    return options.cache_tokens or capacity(rows.make, network.device)


def _model(spec: ModelSpec, network: Any, codec: Codec, rows: RowsChoice, options: Options) -> Model:
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
        cache_tokens=_room(options, rows, network),
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
