"""Finds a model's files by name; nothing is opened, and fairseq is not needed."""

from pathlib import Path

from backends.base import BackendError
from repl.messages import ModelSpec

PREFERRED = ("checkpoint_best.pt", "model.pt", "checkpoint_last.pt")
"""Which checkpoint of a folder is meant when there are several."""


def recognises(path: Path) -> bool:
    """A ``.pt`` file, several joined by ':', or a folder with one and a dictionary."""
    if path.is_dir():
        return any(path.glob("*.pt")) and (any(path.glob("dict.*.txt")) or (path / "dict.txt").is_file())
    parts = _parts(str(path))
    return all(part.suffix == ".pt" and part.is_file() for part in parts)


def checkpoints(model: ModelSpec) -> list[Path]:
    """The checkpoint files of a model, several for an ensemble; ``BackendError`` if one is not there."""
    return [_checkpoint(part, model.name) for part in _parts(model.path)]


def data_folder(model: ModelSpec, checkpoint: Path) -> Path:
    """Where the dictionaries are: the configured folder, else the checkpoint's."""
    folder = Path(model.data).expanduser() if model.data else checkpoint.parent
    if not folder.is_dir():
        raise BackendError(
            "missing_file",
            f"the data folder of model '{model.name}' does not exist: {folder}",
            "'data' names the folder with the dictionaries (dict.*.txt)",
        )
    if ":" in str(folder):
        raise BackendError(
            "unsupported", f"fairseq cannot use a data folder with ':' in its name: {folder}", "rename it"
        )
    return folder


def languages(folder: Path, source: str | None, target: str | None) -> tuple[str, str] | None:
    """The language pair: what is given, else what the names in a data folder tell, else None.

    As in fairseq ``train.en-de.en.bin`` names a pair; failing that, of two dictionaries the other is meant.
    """
    if source and target:
        return source, target
    for name in sorted(path.name for path in folder.glob("*.?*-?*.*")):
        first, _, second = name.split(".")[1].partition("-")
        if (source or first) == first and (target or second) == second and "-" not in second:
            return first, second
    found = [path.name.split(".")[1] for path in folder.glob("dict.?*.txt")]
    given = source or target
    if given not in found or len(found) != 2:
        return None
    (other,) = (name for name in found if name != given)
    return (source, other) if source else (other, given)


def require_dictionaries(model: ModelSpec, folder: Path, names: list[str]) -> None:
    """``BackendError`` unless the folder holds these files."""
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        there = sorted(path.name for path in folder.glob("dict*.txt"))
        raise BackendError(
            "missing_file",
            f"model '{model.name}' needs {' and '.join(missing)}, not in {folder}"
            + (f" (there are {', '.join(there)})" if there else ""),
            "set 'data' to the folder with the model's dictionaries, the one fairseq-preprocess wrote",
        )


def _parts(path: str) -> list[Path]:
    if Path(path).expanduser().exists():
        return [Path(path).expanduser()]
    return [Path(part).expanduser() for part in path.split(":")]


def _checkpoint(path: Path, name: str) -> Path:
    if path.is_dir():
        found = sorted(path.glob("*.pt"))
        preferred = [path / usual for usual in PREFERRED if path / usual in found]
        if len(found) == 1 or preferred:
            return (preferred or found)[0]
        listed = ", ".join(file.name for file in found[:10])
        raise BackendError(
            "missing_file",
            f"the folder of model '{name}' holds no checkpoint that stands out: {path}"
            + (f" has {listed}" if found else " has no .pt file"),
            "name the file itself, or several joined by ':' for an ensemble",
        )
    if not path.is_file():
        raise BackendError(
            "missing_file",
            f"the checkpoint of model '{name}' does not exist: {path}",
            "check 'path'; for an ensemble it is several files joined by ':'",
        )
    return path
