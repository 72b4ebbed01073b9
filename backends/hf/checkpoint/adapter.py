"""PEFT adapters: merged into their base model's weights, so that everything else works as without one."""

import json
from pathlib import Path
from typing import Any

from backends.base import BackendError
from repl.messages import ModelSpec

CONFIG = "adapter_config.json"
_INSTALL = "pip install 'multigpu-repl[peft]'"


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no whole model."""
    return (folder / CONFIG).exists() and not (folder / "config.json").exists()


def base_of(spec: ModelSpec, folder: Path) -> str:
    """What an adapter says it was trained on: a folder, by a path from its own where it is not absolute, or a
    hub name."""
    try:
        name = json.loads((folder / CONFIG).read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _unfit(spec, folder, f"{CONFIG} does not name its base model", str(error)) from error
    if not isinstance(name, str) or not name:
        raise _unfit(spec, folder, f"{CONFIG} does not name its base model")
    beside = folder / name
    return str(beside) if beside.is_dir() else name


def files(folder: Path) -> list[Path]:
    """What makes up an adapter, for its fingerprint."""
    return [folder / CONFIG, *sorted(folder.glob("adapter_model.*"))]


def merge(spec: ModelSpec, network: Any, folder: Path, fixed: bool) -> Any:
    """``network`` with the adapter in its weights; ``fixed`` says that these cannot be changed."""
    if fixed:
        raise _unfit(spec, folder, "it cannot be merged into quantised weights or shards")
    try:
        from peft import PeftModel
    except ImportError as error:
        raise BackendError(
            "missing_package", f"model '{spec.name}': the adapter {folder} needs peft", _INSTALL, str(error)
        ) from error
    try:
        merged = PeftModel.from_pretrained(network, str(folder), local_files_only=True).merge_and_unload()
    except (ValueError, RuntimeError, AttributeError, KeyError, TypeError, OSError) as error:
        raise _unfit(
            spec, folder, "it does not fit this base model, or is of a kind without weights", str(error)
        ) from error
    for weight in merged.parameters():
        weight.requires_grad_(False)
    return merged


def _unfit(spec: ModelSpec, folder: Path, why: str, detail: str = "") -> BackendError:
    return BackendError(
        "not_a_checkpoint",
        f"model '{spec.name}': the adapter {folder} cannot be used: {why}",
        "name the base model as 'path' and the adapter under 'options: {adapter: FOLDER}'",
        detail,
    )
