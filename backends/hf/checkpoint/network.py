"""Reads a checkpoint with transformers: configuration, tokenizer and weights, in the right type and place."""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import msgspec
import torch
from transformers import AutoConfig, AutoTokenizer
from transformers.distributed import DistributedConfig

from backends.base import BackendError
from backends.faults import first_line, is_out_of_memory
from backends.hf.checkpoint import adapter, implementations, quantised, spread
from backends.hf.checkpoint.locating import Source, locate
from backends.hf.kinds import loader_for
from repl.messages import ModelSpec

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
    adapter: str | None = None
    """Folder of a PEFT adapter that is merged into the weights."""
    engine: Literal["eager", "onnx", "compiled"] = "eager"
    """What runs the forward passes: torch, ONNX Runtime, or torch with compiled steps."""
    provider: Literal["auto", "cpu", "cuda", "tensorrt"] = "auto"
    """ONNX Runtime's; ``auto`` goes by the device."""
    lookup: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Longest draft, in tokens, that is copied from a request's own prompt and answer; None makes none."""
    assistant: str | None = None
    """A smaller model with the same vocabulary that drafts."""
    draft: Annotated[int, msgspec.Meta(ge=1)] = 5
    """Its longest draft, in tokens."""
    gguf_file: str | None = None
    """The GGUF file in the folder that is the model."""
    quantise: quantised.Bits | None = None
    """Hold the weights in so many bits."""
    static_tokens: Annotated[int, msgspec.Meta(ge=16)] | None = None
    """Longest text, in tokens, that compiled steps hold, others being eager; None goes by the device."""


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
    form: quantised.Form
    """How the weights are held."""


def open_checkpoint(spec: ModelSpec) -> Checkpoint:
    """Find the files and read the configuration; raises ``BackendError``."""
    options = _options(spec)
    source = locate(spec, options.adapter, options.gguf_file)
    common: dict[str, Any] = {
        "local_files_only": source.local,
        "trust_remote_code": "remote-code" in spec.trust,
        "revision": options.revision,
    }
    if source.gguf:
        quantised.needed(spec, "gguf")
        common["gguf_file"] = source.gguf
    config = _configuration(spec, source, common)
    form = quantised.form(spec, config, bool(source.gguf), options.quantise, options.engine)
    return Checkpoint(spec, options, source, common, config, loader_for(spec, config), spec.gpus > 1, form)


def _configuration(spec: ModelSpec, source: Source, common: dict[str, Any]) -> Any:
    try:
        return AutoConfig.from_pretrained(source.name, **common)
    except Exception as error:  # a damaged file makes its reader raise what it likes
        if not source.gguf or isinstance(error, ImportError):
            raise
        if "support" not in str(error):
            raise BackendError(
                "not_a_checkpoint",
                f"model '{spec.name}': {source.gguf} cannot be read: it was cut short or is damaged",
                "fetch the file again",
                str(error),
            ) from error
        raise BackendError(
            "unsupported",
            f"model '{spec.name}': transformers cannot read {source.gguf}: {first_line(error)}",
            "it reads GGUF files of some kinds only: take the checkpoint they were made from",
            str(error),
        ) from error


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
    elif stored == torch.float16 or not torch.cuda.is_bf16_supported(including_emulation=False):
        chosen = torch.float16
    else:
        chosen = torch.bfloat16
    name, held = str(chosen).removeprefix("torch."), str(stored).removeprefix("torch.")
    if stored is None or stored == chosen:
        return chosen, []
    return chosen, [f"computes in {name} on this device; the checkpoint is stored in {held}"]


def load_tokenizer(checkpoint: Checkpoint) -> Any:
    """The tokenizer; refuses a folder that has none."""
    spec, source, common = checkpoint.spec, checkpoint.source, checkpoint.common
    fault = ""
    try:
        tokenizer = AutoTokenizer.from_pretrained(source.name, **common)
        files = tokenizer.vocab_files_names.values()
        if not source.local or source.gguf or not files:
            return tokenizer
        # Without its files a tokenizer may come out empty and say nothing about it.
        if any((Path(source.name) / file).exists() for file in files):
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


def load_network(checkpoint: Checkpoint, dtype: torch.dtype, device: str) -> Any:
    """The network in evaluation mode on its device; refuses one whose weights are not all there."""
    spec, form = checkpoint.spec, checkpoint.form
    implementations.check(spec, checkpoint.options.attention, device)
    placed: dict[str, Any] = {"dtype": dtype}
    if form.method:
        placed = quantised.arguments(spec, form, dtype, device)
    if checkpoint.sharded:
        placed |= {"distributed_config": DistributedConfig(tp_plan="auto", tp_size=spec.gpus)}
    elif spec.gpus > 1:
        placed |= spread.arguments(spec)
    network, info = _from_pretrained(checkpoint, placed, device)
    if spec.gpus > 1:
        spread.check(spec, network)
    missing = sorted(info["missing_keys"])
    if missing:
        raise BackendError(
            "not_a_checkpoint",
            f"model '{spec.name}': {len(missing)} weights are not in the checkpoint, {missing[0]} for one",
            "it was saved from another kind of model, or not all of its files are there",
            "\n".join(missing),
        )
    if checkpoint.source.adapter is not None:
        network = adapter.merge(spec, network, checkpoint.source.adapter, form.packed or checkpoint.sharded)
    return (network if form.packed or spec.gpus > 1 else network.to(device)).eval()


def _from_pretrained(checkpoint: Checkpoint, placed: dict[str, Any], device: str) -> Any:
    spec, attention, form = checkpoint.spec, checkpoint.options.attention, checkpoint.form
    try:
        return checkpoint.loader.from_pretrained(
            checkpoint.source.name,
            config=checkpoint.config,
            attn_implementation=attention,
            weights_only=True,
            output_loading_info=True,
            **placed,
            **checkpoint.common,
        )
    except (ValueError, RuntimeError, ImportError) as error:
        if attention is not None and "ttention" in str(error):
            raise implementations.unfit(spec, attention, error) from error
        if form.packed and not is_out_of_memory(error):
            raise quantised.unfit(spec, form, device, error) from error
        raise
