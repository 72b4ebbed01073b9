"""Opens a Hugging Face checkpoint: tokenizer and settings as in backend ``hf``, the weights converted."""

import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import ctranslate2
import torch
import transformers
from ctranslate2.converters.transformers import _MODEL_LOADERS, TransformersConverter
from transformers import AutoConfig, AutoTokenizer, GenerationConfig

from backends import cache
from backends.base import BackendError, Progress
from backends.ctranslate2 import folders
from backends.ctranslate2.hf_reader import HuggingFaceReader, Shape
from backends.ctranslate2.opened import Opened
from backends.ctranslate2.options import Options
from backends.hf.checkpoint.locating import locate, weights
from backends.hf.errors import while_loading
from backends.hf.kinds import limits, loader_for
from backends.hf.state.seq2seq import decoder_start
from backends.hf.text import Codec
from repl.messages import ModelSpec


class _Converter(TransformersConverter):  # type: ignore[misc]
    """CTranslate2's own, which reads weights as data and no file but those that were checked."""

    def __init__(self, name: str, common: dict[str, Any]) -> None:
        super().__init__(name, trust_remote_code=bool(common["trust_remote_code"]))
        self._common = common

    def load_model(self, model_class: Any, model_name_or_path: str, **kwargs: Any) -> Any:
        kwargs |= {"weights_only": True, **self._common}
        network = super().load_model(model_class, model_name_or_path, **kwargs)
        if network.config.model_type == "bart" and not hasattr(network.config, "normalize_before"):
            network.config.normalize_before = False  # what transformers 5 no longer writes, and all BART have
        return network

    def load_tokenizer(self, tokenizer_class: Any, model_name_or_path: str, **kwargs: Any) -> Any:
        return super().load_tokenizer(tokenizer_class, model_name_or_path, **{**kwargs, **self._common})


def open_checkpoint(spec: ModelSpec, chosen: Options, compute_type: str, progress: Progress) -> Opened:
    """Raises ``BackendError`` for what cannot be loaded or CTranslate2 cannot run."""
    if spec.options:
        known = ", ".join(Options.__struct_fields__)
        raise BackendError(
            "bad_parameter",
            f"options of {spec.name}: unknown {', '.join(spec.options)}",
            f"known are {known}",
        )
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    progress("configuration", None)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _opened(spec, chosen, compute_type)
    except Exception as error:
        raise while_loading(error, spec.name, spec.path, "cpu") from error


def is_in_bfloat16(spec: ModelSpec, chosen: Options) -> bool:
    """Whether a checkpoint says that its weights are; one that cannot be opened says nothing."""
    with suppress(Exception):
        source = locate(spec)
        config = AutoConfig.from_pretrained(
            source.name, local_files_only=source.local, revision=chosen.revision
        )
        return bool(config.dtype == torch.bfloat16)
    return False


def open_folder(spec: ModelSpec, path: Path) -> Opened:
    """A folder that CTranslate2's converters made, with the tokenizer beside it or in ``data``."""
    place = Path(spec.data).expanduser() if spec.data else path
    files = ("tokenizer.json", "tokenizer_config.json")
    if not any((place / name).is_file() for name in files):
        raise BackendError(
            "missing_file",
            f"model '{spec.name}' has no tokenizer in {place}: there is neither {' nor '.join(files)}",
            "copy the original's there (ct2-transformers-converter --copy_files), or name their folder with "
            "'data'; for a fairseq model name the checkpoint itself, which is converted",
        )
    codec = Codec(AutoTokenizer.from_pretrained(str(place), local_files_only=True))
    _, target = folders.vocabularies(path)
    end = folders.configuration(path).get("eos_token")
    shape = Shape(
        name=spec.name,
        codec=codec,
        embeddings=len(target),
        seq2seq=not folders.is_causal(path),
        template=spec.prompt_template,
        ends=(target.index(end),) if isinstance(end, str) and end in target else (),
        checkpoint_hash=cache.contents(path),
    )
    return Opened(HuggingFaceReader(shape), path)


def _opened(spec: ModelSpec, chosen: Options, compute_type: str) -> Opened:
    source = locate(spec)
    common = {
        "local_files_only": source.local,
        "trust_remote_code": "remote-code" in spec.trust,
        "revision": chosen.revision,
    }
    config = AutoConfig.from_pretrained(source.name, **common)
    loader = loader_for(spec, config)
    if type(config).__name__ not in _MODEL_LOADERS:
        known = sorted(name.removesuffix("Config") for name in _MODEL_LOADERS)
        raise BackendError(
            "unsupported",
            f"model '{spec.name}' is a {config.model_type}, which CTranslate2 cannot convert",
            f"it converts {', '.join(known)}; backend hf runs the others",
        )
    with torch.device("meta"):
        network = loader.from_config(config)  # its shapes, without weights
    with suppress(OSError):  # where it has none of its own, those of its configuration hold
        network.generation_config = GenerationConfig.from_pretrained(source.name, **common)
    codec = Codec(AutoTokenizer.from_pretrained(source.name, **common))
    files = _files(source.name, source.local)

    def convert(folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            _Converter(source.name, common).convert(str(folder), quantization=compute_type)

    facts = (compute_type, ctranslate2.__version__, source.name, chosen.revision, *map(str, codec.pieces))
    return Opened(
        HuggingFaceReader(_shape(spec, network, codec, source.hash())),
        None,
        cache.key(files, *facts),
        convert,
    )


def _files(name: str, local: bool) -> list[Path]:
    """What a conversion depends on; a model from the hub is told by its name and revision."""
    return [Path(name) / "config.json", *weights(Path(name))] if local else []


def _shape(spec: ModelSpec, network: Any, codec: Codec, checkpoint_hash: str) -> Shape:
    settings, config = network.generation_config, network.config
    end = settings.eos_token_id if settings.eos_token_id is not None else codec.tokenizer.eos_token_id
    begin = getattr(settings, "forced_bos_token_id", None)
    single = [words[0] for words in settings.bad_words_ids or () if len(words) == 1]
    context, max_prompt = limits(config)
    return Shape(
        name=spec.name,
        codec=codec,
        embeddings=int(network.get_input_embeddings().weight.shape[0]),
        seq2seq=bool(config.is_encoder_decoder),
        template=spec.prompt_template,
        context=context,
        max_prompt=max_prompt,
        start=decoder_start(network) if config.is_encoder_decoder else (),
        ends=tuple(end) if isinstance(end, list) else () if end is None else (int(end),),
        begins=() if begin is None else (int(begin),),
        never=tuple({*single, *(settings.suppress_tokens or ())}),
        checkpoint_hash=checkpoint_hash,
        parameters=sum(weight.numel() for weight in network.parameters()),
    )
