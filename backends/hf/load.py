"""From a model's configuration to an engine that is ready to answer."""

import warnings
from pathlib import Path
from typing import Annotated, Any

import msgspec
import torch
import transformers
from transformers import AutoConfig, AutoTokenizer

from backends.base import BackendError, Progress
from backends.hf.checkpoint import Source, locate
from backends.hf.engine import HuggingFaceEngine
from backends.hf.errors import while_loading
from backends.hf.kinds import RowsChoice, choose_rows, limits, loader_for
from backends.hf.memory import capacity
from backends.hf.model import Model
from backends.hf.processors import Fixed
from backends.hf.seq2seq import decoder_start
from backends.hf.text import Codec
from backends.hf.wording import Wording
from repl.messages import Capabilities, ModelSpec

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
    revision: str = "main"
    """Of a model on the hub: a branch, a tag or a commit."""
    prefill_tokens: Annotated[int, msgspec.Meta(ge=1)] = 512
    """Prompt tokens read in one step: more is faster, fewer disturbs the running answers less."""
    cache_tokens: Annotated[int, msgspec.Meta(ge=1)] | None = None
    """Tokens whose keys and values may be held at once; None takes a share of the free memory."""


def load(spec: ModelSpec, device: str, threads: int, progress: Progress) -> HuggingFaceEngine:
    """See ``Backend.load``."""
    torch.set_num_threads(threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _load(spec, device, progress)
    except Exception as error:
        raise while_loading(error, spec.name, spec.path, device) from error


def _load(spec: ModelSpec, device: str, progress: Progress) -> HuggingFaceEngine:
    options = _options(spec)
    source = locate(spec)
    common: dict[str, Any] = {
        "local_files_only": source.local,
        "trust_remote_code": "remote-code" in spec.trust,
        "revision": options.revision,
    }
    progress("configuration", None)
    config = AutoConfig.from_pretrained(source.name, **common)
    loader = loader_for(spec, config)
    dtype, notes = choose_dtype(spec, config, device)
    progress("tokenizer", None)
    codec = Codec(_tokenizer(spec, source, common))
    progress("weights", None)
    network = _network(spec, loader, source, config, dtype, device, options, common)
    progress("self-test", None)
    rows = choose_rows(network, spec.slots, device)
    model = _model(spec, network, codec, rows, options)
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
        notes=(*notes, *rows.notes),
    )
    return HuggingFaceEngine(model, capabilities)


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


def _network(
    spec: ModelSpec,
    loader: Any,
    source: Source,
    config: Any,
    dtype: torch.dtype,
    device: str,
    options: Options,
    common: dict[str, Any],
) -> Any:
    """The network in evaluation mode on its device; refuses one whose weights are not all there."""
    quantised = getattr(config, "quantization_config", None) is not None
    placed = {"device_map": {"": device}} if quantised else {"dtype": dtype}
    network, info = loader.from_pretrained(
        source.name,
        config=config,
        attn_implementation=options.attention,
        weights_only=True,
        output_loading_info=True,
        **placed,
        **common,
    )
    missing = sorted(info["missing_keys"])
    if missing:
        raise BackendError(
            "not_a_checkpoint",
            f"model '{spec.name}': {len(missing)} weights are not in the checkpoint, {missing[0]} for one",
            "it was saved from another kind of model, or not all of its files are there",
            "\n".join(missing),
        )
    return (network if quantised else network.to(device)).eval()


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
        cache_tokens=options.cache_tokens or capacity(rows.make, network.device),
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
