"""Turns what a user calls a model into a checked place: a path, an embedded demo model, or a hub name."""

import os
import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from backends import registry
from backends.server import address
from repl.config.models import ConfigError
from repl.config.source import legible, unknown
from repl.spelling import is_unicode, nearest

DEMO = "demo:"
SERVER = "server"
NEEDS_FILES = frozenset({"fairseq"})
"""Backends for which a name that is no path can only be a mistake."""
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://\S+")


@dataclass(frozen=True)
class Location:
    """Where a model is."""

    path: str
    data: str | None = None
    backend: str | None = None
    """Where the form of the name already tells."""

    def first(self) -> Path:
        """The first of its files, or its folder."""
        return Path(_parts(self.path)[0])


@legible()
def locate(text: str, base: Path, backend: str | None) -> Location:
    """What ``text`` means, seen from the folder ``base``; ``ConfigError`` when there is no such thing.

    ``backend`` is the one that was asked for, if any.
    """
    if address.is_address(text) and backend in (None, SERVER):
        if (wrong := address.fault(text)) is not None:
            raise ConfigError(wrong)
        return Location(path=text, backend=SERVER)
    if text.startswith(DEMO):
        return _demo(text.removeprefix(DEMO))
    whole = base / Path(text).expanduser()
    if whole.exists():
        return Location(path=_absolute(whole))
    if whole.is_symlink():
        raise ConfigError(_not_there(whole))
    parts = [base / Path(part).expanduser() for part in _parts(text)]
    if len(parts) > 1 and any(part.exists() for part in parts):
        for part in parts:
            if not part.exists():
                raise ConfigError(_not_there(part))
        return Location(path=os.pathsep.join(_absolute(part) for part in parts))
    if _URL.fullmatch(text) and backend is not None:
        return Location(path=text)
    if _HUB_NAME.fullmatch(text) and not text.endswith(".pt") and backend not in NEEDS_FILES:
        return Location(path=text, backend="hf")
    raise ConfigError(_not_there(parts[0]))


@legible()
def recognise(location: Location) -> str | None:
    """The backend whose checkpoint it looks like; ``ConfigError`` when it cannot be looked at."""
    return registry.recognise(location.first())


def _demo(name: str) -> Location:
    from repl.demo import MODELS, model_path

    if name not in MODELS:
        raise ConfigError(unknown("demo model", name, MODELS))
    folder = model_path(name)
    if not folder.is_dir():
        raise ConfigError(f"the demo model '{name}' is not in this installation: {folder} is missing")
    return Location(path=str(folder))


def _parts(text: str) -> list[str]:
    """The members of an ensemble ``a.pt:b.pt``."""
    return [part for part in text.split(os.pathsep) if part] or [text]


def _absolute(path: Path) -> str:
    # The name the user knows: a link is not followed, '..' is.
    whole = os.path.abspath(path)  # noqa: PTH100
    if not is_unicode(whole):
        raise ConfigError(f"{whole} is not UTF-8, as names have to be here: rename it, or make a link to it")
    return whole


def _not_there(path: Path) -> str:
    if path.is_symlink():
        return f"{_absolute(path)} is a link to what is not there: {path.readlink()}"
    message = f"there is no file or folder {_absolute(path)}"
    try:
        siblings = [entry.name for entry in islice(path.parent.iterdir(), 1000)]
    except OSError:
        return message
    near = nearest(path.name, siblings)
    return f"{message}: did you mean '{near}'?" if near else message
