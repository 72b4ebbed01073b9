"""What a backend makes of the vocabulary."""

from collections.abc import Mapping
from typing import Literal

import msgspec

from repl.params.checking import changed
from repl.params.vocabulary import Params


class Support(msgspec.Struct, frozen=True):
    """How a backend honours one parameter."""

    level: Literal["exact", "differs", "none"]
    native: str = ""
    """The backend's own name and rule."""
    note: str = ""
    """Where the meaning differs."""


SupportTable = Mapping[str, Support]

BY_COORDINATOR: SupportTable = {"max_time": Support("exact", "", "kept by the coordinator")}
"""What no backend has to do anything for."""


def honoured(name: str, table: SupportTable) -> Support:
    """How one parameter is honoured with a backend; one that nobody lists is not."""
    return BY_COORDINATOR.get(name) or table.get(name, Support("none"))


def unsupported(params: Params, table: SupportTable) -> list[str]:
    """Names set away from their default that a backend cannot honour."""
    return [n for n in changed(params) if honoured(n, table).level == "none"]
