"""What a model will really be asked for, given its defaults and the user's settings.

A value that a backend cannot honour is never dropped in silence. Asked alone, the model refuses, since its
answer would not be what was asked for. In a comparison the others can honour the value, so the model answers
with the parameter at its default and the answer is marked.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

import msgspec

from backends import registry
from repl.messages import Error
from repl.params import Params, Support, SupportTable, Value, honoured, resolve, unsupported

if TYPE_CHECKING:
    from repl.config import ModelConfig

SEED_BITS = 31
"""Of a drawn seed: short enough to be read, said and typed again."""


@dataclass(frozen=True)
class Decoding:
    """The settings of one request."""

    requested: dict[str, Value]
    """As set, by the configuration or the user."""
    params: Params
    """As they will be."""
    ignored: tuple[str, ...]
    """Names in ``requested`` that the backend cannot honour; at their default in ``params``."""

    @property
    def mark(self) -> str:
        """A sentence about what is ignored, or nothing."""
        if not self.ignored:
            return ""
        named = ", ".join(f"{name} {show(self.requested[name])}" for name in self.ignored)
        return f"{named} has no effect here: the backend cannot do it"


@cache
def support(backend: str) -> SupportTable:
    """How a backend honours each parameter."""
    return registry.find(backend).parameters


def level(backend: str, name: str) -> Support:
    """How one parameter is honoured with a backend."""
    return honoured(name, support(backend))


def decoding(model: "ModelConfig", settings: Mapping[str, Value]) -> Decoding:
    """Overlay ``settings`` on the model's defaults, and take out what its backend cannot honour."""
    requested = {**model.defaults, **settings}
    wanted = resolve(requested)
    ignored = tuple(unsupported(wanted, support(model.backend)))
    defaults = Params()
    return Decoding(
        requested=requested,
        params=msgspec.structs.replace(wanted, **{name: getattr(defaults, name) for name in ignored}),
        ignored=ignored,
    )


def refusal(model: "ModelConfig", settings: Mapping[str, Value], ignored: tuple[str, ...]) -> Error:
    """Why a model asked alone does not answer."""
    steps = [f"/set {name} default" for name in ignored if name in settings]
    configured = [name for name in ignored if name in model.defaults]
    if configured:
        where = f" ({model.origin})" if model.origin else ""
        steps.append(f"take {', '.join(configured)} out of the model's defaults{where}")
    return Error(
        kind="bad_parameter",
        message=f"{model.name} ({model.backend}) cannot honour {', '.join(ignored)}",
        hint=f"{' and '.join(steps)}; /params shows what it can do",
    )


def fresh_seed() -> int:
    """A seed nobody chose."""
    return secrets.randbits(SEED_BITS)


def show(value: Value) -> str:
    """A parameter's value as it is typed after ``/set``."""
    match value:
        case None | ():
            return "none"
        case tuple():
            return ",".join(text.replace("\n", "\\n").replace("\t", "\\t") for text in value)
        case float():
            return f"{value:g}" if float(f"{value:g}") == value else repr(value)
        case _:
            return str(value)
