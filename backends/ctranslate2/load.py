"""From a configured model to one that runs: finds out what it is, converts it once, opens it.

A model may be a folder that CTranslate2's converters made, a fairseq checkpoint or a Hugging Face checkpoint.
"""

import importlib
from collections.abc import Collection
from pathlib import Path

import ctranslate2
import msgspec

from backends import cache
from backends.base import BackendError, Progress
from backends.ctranslate2 import cublas, folders, options
from backends.ctranslate2.asked import Reader
from backends.ctranslate2.engine import CTranslate2Engine
from backends.ctranslate2.library import Library
from backends.ctranslate2.opened import Opened
from backends.ctranslate2.options import Options
from backends.fairseq import files
from backends.faults import first_line, is_out_of_memory
from repl.messages import Capabilities, ModelSpec
from repl.paths import cache_dir

CPU_SLOTS = 64
GPU_SLOTS = 256


def load(spec: ModelSpec, device: str, threads: int, progress: Progress) -> CTranslate2Engine:
    """An engine that has answered once; raises ``BackendError``."""
    chosen, rest = options.of(spec)
    if device != "cpu":
        cublas.load()
    compute_type = _compute_type(spec, chosen, device)
    opened = _open(rest, chosen, compute_type, progress)
    path = opened.folder or _converted(opened, progress)
    progress("weights", None)
    library = _library(spec, opened, path, device, compute_type, threads, progress)
    engine = CTranslate2Engine(
        library,
        opened.reader,
        _capabilities(spec, opened.reader, library, device),
        device,
        token_scores=chosen.token_scores,
    )
    progress("warm-up", None)
    try:
        engine.warm_up()
    except RuntimeError as error:
        raise _unusable(spec, device, error) from None
    return engine


def _unusable(spec: ModelSpec, device: str, error: Exception) -> BackendError:
    """Why a model that was opened cannot compute."""
    if is_out_of_memory(error):
        return _too_large(spec, device, error)
    if "cannot be loaded" in str(error):
        return BackendError(
            "missing_package",
            f"model '{spec.name}' on {device}: CTranslate2 needs a library of CUDA 12: {first_line(error)}",
            cublas.INSTALL,
            str(error),
        )
    return BackendError(
        "unsupported",
        f"model '{spec.name}' cannot compute on {device}: {first_line(error)}",
        "multigpu-repl doctor looks at the driver; --devices cpu runs it on the CPU",
        str(error),
    )


def _too_large(spec: ModelSpec, device: str, error: Exception) -> BackendError:
    return BackendError(
        "out_of_memory",
        f"model '{spec.name}' does not fit into the memory of {device}",
        "choose dtype int8, fewer replicas on this device, or a smaller model",
        str(error),
    )


def _open(spec: ModelSpec, chosen: Options, compute_type: str, progress: Progress) -> Opened:
    path = Path(spec.path).expanduser()
    opened: Opened
    if folders.recognises(path):
        opened = importlib.import_module("backends.ctranslate2.hf_source").open_folder(spec, path)
        return opened
    kind = "hf_source"
    if not _is_of_hf(spec):
        kind = "fairseq_source"
        _require_fairseq(spec)
    source = importlib.import_module(f"backends.ctranslate2.{kind}")
    opened = source.open_checkpoint(spec, chosen, compute_type, progress)
    return opened


def _require_fairseq(spec: ModelSpec) -> None:
    try:
        importlib.import_module("backends.fairseq.compat").load()  # before all that imports fairseq
    except ImportError as error:
        raise BackendError(
            "missing_package",
            f"model '{spec.name}' is a fairseq checkpoint; to read it takes {error.name or error}",
            "multigpu-repl install fairseq",
            str(error),
        ) from None


def _converted(opened: Opened, progress: Progress) -> Path:
    assert opened.convert is not None
    return cache.folder(cache_dir() / "ctranslate2", opened.key, opened.convert, progress)


def _library(
    spec: ModelSpec,
    opened: Opened,
    path: Path,
    device: str,
    compute_type: str,
    threads: int,
    progress: Progress,
) -> Library:
    """The model on its device. A conversion that cannot be opened is made anew, once."""
    for attempt in (1, 2):
        try:
            return Library(path, device, compute_type, threads)
        except (RuntimeError, ValueError) as error:
            if is_out_of_memory(error):
                raise _too_large(spec, device, error) from None
            if opened.folder is not None or attempt == 2:
                raise BackendError(
                    "not_a_checkpoint",
                    f"CTranslate2 cannot open model '{spec.name}' from {path}: {first_line(error)}",
                    "convert it again with this version of CTranslate2",
                    str(error),
                ) from None
        cache.discard(path)
        path = _converted(opened, progress)
    raise AssertionError


def _compute_type(spec: ModelSpec, chosen: Options, device: str) -> str:
    """``dtype`` in CTranslate2's words; refuses what the device cannot compute in."""
    name, _, index = device.partition(":")
    try:
        possible = ctranslate2.get_supported_compute_types(name, int(index or 0))
    except (RuntimeError, ValueError) as error:  # of the driver, or of a build without CUDA
        raise _unusable(spec, device, error) from None
    if spec.dtype == "auto":
        return _best(spec, chosen, possible) if name == "cuda" else "float32"
    if spec.dtype not in possible:
        raise BackendError(
            "bad_parameter",
            f"dtype '{spec.dtype}' of model '{spec.name}' is not possible on {device}",
            f"possible are auto, {', '.join(sorted(possible))}",
        )
    return spec.dtype


def _best(spec: ModelSpec, chosen: Options, possible: Collection[str]) -> str:
    """Of the types of a GPU. What was trained in bfloat16 may go beyond the range of float16."""
    if "bfloat16" in possible and _is_of_hf(spec):
        source = importlib.import_module("backends.ctranslate2.hf_source")
        if source.is_in_bfloat16(spec, chosen):
            return "bfloat16"
    return "float16" if "float16" in possible else "float32"


def _is_of_hf(spec: ModelSpec) -> bool:
    """Whether it is a Hugging Face checkpoint, by its name."""
    path = Path(spec.path).expanduser()
    return not (folders.recognises(path) or files.recognises(path) or spec.path.endswith(".pt"))


def _capabilities(spec: ModelSpec, reader: Reader, library: Library, device: str) -> Capabilities:
    told = reader.capabilities()
    missing = len(reader.pieces) - library.size
    if missing > 0:
        note = f"{missing} tokens, padding mostly, are left out of the conversion and of all probabilities"
        told = msgspec.structs.replace(told, notes=(*told.notes, note))
    return msgspec.structs.replace(
        told,
        slots=spec.slots or (CPU_SLOTS if device == "cpu" else GPU_SLOTS),
        dtype=library.compute_type,
        resumes=True,
        tasks=("generate", "score", "tokenize"),
        distributions=True,
    )
