"""What a model on a server can be told in ``options``."""

import re
from typing import Literal

import msgspec

from backends.base import BackendError
from repl.messages import ModelSpec

Told = Literal["auto", "vllm", "sglang", "llamacpp", "openai", "transformers", "other"]

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")


class Options(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Validated ``options`` of the configuration."""

    model: str | None = None
    """The server's name of the model; needed where it serves several."""
    api_key: str | None = None
    """Name of the environment variable that holds the key."""
    slots: int | None = None
    """Requests sent at once."""
    server: Told = "auto"
    """What kind of server it is, where it does not tell."""
    chat: bool | None = None
    """Whether the model has a chat template, where the server does not tell."""
    proxy: bool = False
    """Go through the proxies that the environment names."""
    silence: float = 600.0
    """Seconds without a byte after which an answer has failed."""


def read(model: ModelSpec) -> Options:
    """Raises ``BackendError``."""
    try:
        options = msgspec.convert(model.options, Options)
    except msgspec.ValidationError as error:
        raise _wrong(model, str(error)) from None
    if options.api_key is not None and not _VARIABLE.fullmatch(options.api_key):
        raise _wrong(model, "api_key is the name of an environment variable, such as MY_KEY, not the key")
    if options.silence <= 0 or (options.slots is not None and options.slots < 1):
        raise _wrong(model, "silence and slots are numbers above 0")
    return options


def _wrong(model: ModelSpec, what: str) -> BackendError:
    return BackendError("bad_parameter", f"options of {model.name}: {what}", "see docs/servers.md")
