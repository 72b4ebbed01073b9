"""Reads what lies in a folder of a CTranslate2 model; nothing of it is run."""

import json
import struct
from pathlib import Path

from backends.base import BackendError

_CAUSAL = "TransformerDecoderSpec"
_SEQ2SEQ = "TransformerSpec"


def recognises(path: Path) -> bool:
    """Whether ``path`` is a folder with a converted model."""
    return (path / "model.bin").is_file() and (path / "config.json").is_file()


def is_causal(path: Path) -> bool:
    """Whether it is a decoder alone; ``BackendError`` for what is neither that nor an encoder-decoder."""
    kind = _kind(path)
    if kind not in (_CAUSAL, _SEQ2SEQ):
        raise BackendError(
            "unsupported",
            f"{path} is a model of the kind '{kind}', which does not write text",
            f"supported are {_SEQ2SEQ} and {_CAUSAL}",
        )
    return kind == _CAUSAL


def vocabularies(path: Path) -> tuple[list[str], list[str]]:
    """The names of the source's and of the target's tokens by their ids; one list where they share it."""
    if shared := _names(path, "shared_vocabulary") or _names(path, "vocabulary"):
        return shared, shared
    source, target = _names(path, "source_vocabulary"), _names(path, "target_vocabulary")
    if source is None or target is None:
        raise BackendError(
            "not_a_checkpoint",
            f"{path} holds a model but not the vocabularies that go with it",
            "convert it again with CTranslate2's converters",
        )
    return source, target


def configuration(path: Path) -> dict[str, object]:
    """What its ``config.json`` says."""
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BackendError("not_a_checkpoint", f"{path}/config.json cannot be read: {error}") from None
    return config if isinstance(config, dict) else {}


def _kind(path: Path) -> str:
    """The name of its specification, which comes first in the file after a number."""
    try:
        with (path / "model.bin").open("rb") as file:
            _, size = struct.unpack("<IH", file.read(6))
            name = file.read(size)
    except (OSError, struct.error) as error:
        raise BackendError("not_a_checkpoint", f"{path}/model.bin cannot be read: {error}") from None
    if len(name) < size or not name.rstrip(b"\0").isalnum():
        raise BackendError("not_a_checkpoint", f"{path}/model.bin is not a model of CTranslate2")
    return name.rstrip(b"\0").decode("ascii", "replace")


def _names(path: Path, stem: str) -> list[str] | None:
    try:
        if (path / f"{stem}.json").is_file():
            names = json.loads((path / f"{stem}.json").read_text(encoding="utf-8"))
            return [str(name) for name in names]
        if (path / f"{stem}.txt").is_file():
            return (path / f"{stem}.txt").read_text(encoding="utf-8").rstrip("\n").split("\n")
    except (OSError, ValueError) as error:
        raise BackendError("not_a_checkpoint", f"the {stem} in {path} cannot be read: {error}") from None
    return None
