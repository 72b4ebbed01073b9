"""Finds a checkpoint and checks it before anything is loaded from it."""

import json
import re
import struct
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from backends import fingerprint
from backends.base import BackendError
from backends.hf.checkpoint import adapter
from repl.messages import ModelSpec

_HUB_NAME = re.compile(r"[\w.-]+(/[\w.-]+)?")
_LFS_POINTER = b"version https://git-lfs"
_POINTER = "is a Git LFS pointer, not the weights; run 'git lfs pull'"


@dataclass(frozen=True, slots=True)
class Source:
    """Where a model comes from."""

    name: str
    """What ``from_pretrained`` takes."""
    local: bool
    adapter: Path | None = None
    """Folder of the adapter to merge into it."""
    gguf: str = ""
    """The GGUF file in it that is the model; empty for one that was saved by transformers."""

    def files(self) -> list[Path]:
        """The configuration and weight files; none of a model from the hub."""
        if not self.local:
            return []
        folder = Path(self.name)
        own = [folder / self.gguf] if self.gguf else [folder / "config.json", *weights(folder)]
        return own if self.adapter is None else [*own, *adapter.files(self.adapter)]

    def hash(self) -> str:
        """Fingerprint of the configuration and weight files; empty for a model from the hub."""
        return fingerprint.files(self.files()) if self.local else ""


def locate(spec: ModelSpec, merged: str | None = None, gguf: str | None = None) -> Source:
    """The checked folder, or the hub name, that ``spec.path`` means, with the adapter ``merged`` if any.

    The folder of an adapter means its base model with it; ``gguf`` is the file in the folder to take.
    """
    path = Path(spec.path).expanduser()
    if merged is not None:
        folder = Path(merged).expanduser()
        if not (folder / adapter.CONFIG).exists():
            raise BackendError(
                "missing_file",
                f"model '{spec.name}': there is no adapter in {folder}",
                f"give the folder that holds {adapter.CONFIG}",
            )
        return replace(_locate_base(spec, gguf), adapter=folder)
    if adapter.is_adapter(path):
        base = msgspec.structs.replace(spec, path=adapter.base_of(spec, path))
        return replace(_locate_base(base, gguf), adapter=path)
    return _locate_base(spec, gguf)


def _locate_base(spec: ModelSpec, gguf: str | None) -> Source:
    path = Path(spec.path).expanduser()
    if path.is_file() and path.suffix == ".gguf" and gguf in (None, path.name):
        path, gguf = path.parent, path.name
    if path.is_dir() and gguf is not None:
        _check_gguf(spec, path / gguf)
        return Source(str(path), local=True, gguf=gguf)
    if path.is_dir():
        _check_folder(spec, path)
        return Source(str(path), local=True)
    if path.exists():
        raise _not_a_checkpoint(spec, "is a file", "give the folder that holds config.json")
    if _HUB_NAME.fullmatch(spec.path) and not spec.path.startswith("."):
        return Source(spec.path, local=False, gguf=gguf or "")
    raise BackendError(
        "missing_file", f"model '{spec.name}': there is no {path}", "check the path in the configuration"
    )


def weights(folder: Path) -> list[Path]:
    """The weight files of a folder: safetensors where there are any."""
    return sorted(folder.glob("*.safetensors")) or sorted(folder.glob("pytorch_model*.bin"))


def _check_folder(spec: ModelSpec, folder: Path) -> None:
    config = folder / "config.json"
    if adapter.is_adapter(folder):
        raise BackendError(
            "unsupported",
            f"model '{spec.name}': the base model {folder} is an adapter itself",
            "merge it into its own base model with PEFT's merge_and_unload and save that",
        )
    if not config.exists():
        hint = "give a folder saved with save_pretrained"
        if files := sorted(folder.glob("*.gguf")):
            hint = f"name the file: 'path: {files[0]}', or 'options: {{gguf_file: {files[0].name}}}'"
        raise _not_a_checkpoint(spec, "has no config.json", hint)
    try:
        known = "model_type" in json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _not_a_checkpoint(spec, f"has an unreadable config.json: {error}", "save it again") from error
    if not known:
        raise _not_a_checkpoint(spec, "has a config.json without model_type", "it belongs to another library")
    files = weights(folder)
    if not files:
        raise _not_a_checkpoint(
            spec,
            "holds no weights",
            "it needs *.safetensors or pytorch_model.bin; was the download complete?",
        )
    for file in files:
        fault = _fault(file)
        if fault:
            raise _not_a_checkpoint(spec, f"{file.name} {fault}", "fetch the file again")


def _check_gguf(spec: ModelSpec, file: Path) -> None:
    if not file.is_file():
        there = ", ".join(sorted(one.name for one in file.parent.glob("*.gguf"))) or "none"
        raise BackendError(
            "missing_file", f"model '{spec.name}': there is no {file}", f"GGUF files there: {there}"
        )
    named = msgspec.structs.replace(spec, path=str(file))
    with file.open("rb") as stream:
        start = stream.read(len(_LFS_POINTER))
    if start == _LFS_POINTER:
        raise _not_a_checkpoint(named, _POINTER, "fetch the file again")
    if start[:4] != b"GGUF":
        raise _not_a_checkpoint(named, "is not a GGUF file", "fetch the file again")


def _fault(file: Path) -> str:
    """What is wrong with a weight file, as far as its first bytes and its size tell."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(len(_LFS_POINTER))
        if start == _LFS_POINTER:
            return _POINTER
        if file.suffix != ".safetensors":
            return ""
        length = struct.unpack("<Q", start[:8].ljust(8, b"\0"))[0]
        if not 2 <= length <= size - 8:
            return "is not a safetensors file or was cut short"
        stream.seek(8)
        try:
            header = json.loads(stream.read(length))
            ends = [entry["data_offsets"][1] for key, entry in header.items() if key != "__metadata__"]
            expected = 8 + length + max(ends, default=0)
        except (ValueError, KeyError, TypeError, AttributeError, IndexError):
            return "has a damaged header"
    return "" if size == expected else f"has {size} bytes where its header says {expected}"


def _not_a_checkpoint(spec: ModelSpec, fault: str, hint: str) -> BackendError:
    return BackendError("not_a_checkpoint", f"model '{spec.name}': {spec.path} {fault}", hint)
