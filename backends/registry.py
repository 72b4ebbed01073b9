"""Finds backends by their entry points, those of other packages included."""

import importlib.util
from contextlib import suppress
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import cast

from backends.base import Backend, Requirement

GROUP = "multigpu_repl.backends"


@cache
def names() -> tuple[str, ...]:
    """Every registered backend, sorted."""
    return tuple(sorted(entry.name for entry in entry_points(group=GROUP)))


@cache
def find(name: str) -> type[Backend]:
    """The backend class; ``KeyError`` if there is none of that name."""
    for entry in entry_points(group=GROUP, name=name):
        return cast(type[Backend], entry.load())
    raise KeyError(name)


def recognise(path: Path) -> str | None:
    """The first backend, in name order, that takes ``path`` for one of its checkpoints.

    One that cannot be imported is passed over: another package's fault must not keep the others from working.
    """
    for name in names():
        with suppress(ImportError, AttributeError):
            if find(name).recognises(path):
                return name
    return None


def missing(name: str) -> list[Requirement]:
    """Packages the backend needs that are not installed; nothing is imported to find out."""
    return [r for r in find(name).requires if importlib.util.find_spec(r.module) is None]
