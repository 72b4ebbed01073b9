"""Echo: answers with the words of the prompt. It needs no model; tests, benchmarks and the tour use it.

It can behave like a real engine: a costly prompt, a pace that falls as the batch grows, jitter, memory that
runs out, and faults on demand. ``options.py`` says how.
"""

import time
from pathlib import Path
from typing import ClassVar

import msgspec

from backends.base import BackendError, Engine, Progress, Requirement
from backends.echo.engine import EchoEngine
from backends.echo.options import Options
from repl.messages import ModelSpec
from repl.params import PARAMETERS, Support, SupportTable


class Echo:
    """The description of this backend."""

    name: ClassVar[str] = "echo"
    summary: ClassVar[str] = "repeats the prompt; needs no model"
    requires: ClassVar[tuple[Requirement, ...]] = ()
    parameters: ClassVar[SupportTable] = {
        name: Support("exact", name) if name in ("max_new", "stop", "truncate", "n") else Support("none")
        for name in PARAMETERS
    } | {
        "beam": Support("differs", "beam", "takes every third word back once"),
        "seed": Support("exact", "", "answers do not depend on chance"),
        "temperature": Support("differs", "", "has no effect"),
    }

    @classmethod
    def preload(cls) -> None:
        """There is nothing to import."""

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """No file is an echo checkpoint."""
        return False

    @classmethod
    def load(cls, model: ModelSpec, device: str, threads: int, progress: Progress) -> Engine:
        """Validate the options and pretend to load; raises ``BackendError``."""
        try:
            options = msgspec.convert(model.options, Options)
        except msgspec.ValidationError as error:
            hint = "see configs/echo.yaml"
            raise BackendError("bad_parameter", f"options of {model.name}: {error}", hint) from None
        began = time.monotonic()
        while (done := time.monotonic() - began) < options.load_seconds:
            progress("weights", done / options.load_seconds)
            time.sleep(min(0.05, options.load_seconds))
        if options.load_error:
            hint = "asked for by the options of this echo model"
            raise BackendError("missing_file", options.load_error, hint)
        return EchoEngine(options, model.slots or 4)
