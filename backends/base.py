"""The protocol a backend implements, and the errors it raises.

To add a backend: one module with a class that satisfies ``Backend``, an entry point in the group
``multigpu_repl.backends`` that names the class, and a configuration file that uses it. An engine comes in two
forms. ``StreamingEngine`` is the simple one: ``generate`` yields the events of one request, and closing the
iterator cancels. ``BatchingEngine`` serves many requests at once. The worker drives both the same way.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Protocol, runtime_checkable

import msgspec

from repl.messages import Capabilities, Error, Event, ModelSpec, Request
from repl.params import SupportTable

Progress = Callable[[str, float | None], None]
"""Called with a stage ("weights") and a fraction 0 to 1, or None where it cannot be known."""


class BackendError(Exception):
    """An expected failure, in words for the user. Loading and generating raise it; nothing else is lost.

    A ``detail`` that the message has in it already is left out.
    """

    def __init__(self, kind: str, message: str, hint: str = "", detail: str = "") -> None:
        super().__init__(message)
        more = "" if detail.strip() in message else detail
        self.error = Error(kind=kind, message=message, hint=hint, detail=more)


@runtime_checkable
class StreamingEngine(Protocol):
    """One request at a time."""

    capabilities: Capabilities

    def generate(self, request: Request) -> Iterator[Event]:
        """``Started``, steps, then ``Finished``; raises ``BackendError`` on failure.

        The worker closes the iterator to cancel, so clean up in ``finally``. Between two yields at most one
        model step may pass.
        """
        ...


@runtime_checkable
class BatchingEngine(Protocol):
    """Up to ``capabilities.slots`` requests at once. One thread calls all methods."""

    capabilities: Capabilities

    def admit(self, request: Request) -> None:
        """Take a request; its first event comes from a later ``step``. Must not raise."""
        ...

    def cancel(self, request_id: int) -> None:
        """Drop a request at once, without an event; an unknown id is ignored. Must not raise."""
        ...

    def step(self) -> Sequence[Event]:
        """Advance all requests by one iteration and return what happened.

        Each admitted request gets exactly one of ``Finished`` or ``Failed`` unless it is cancelled. A failure
        of one request must leave its neighbours untouched.
        """
        ...


@runtime_checkable
class Preparing(Protocol):
    """A ``BatchingEngine`` that goes on preparing while it serves; each ``step`` may do a part of it.

    What it says of itself, ``capabilities``, is another one when that has changed.
    """

    @property
    def preparing(self) -> bool:
        """Whether something is left to do, now or later."""
        ...

    def attend(self, wake: Callable[[], None]) -> None:
        """Begin; ``wake`` is called, from any thread, when a ``step`` can do a part though nothing runs."""
        ...


Engine = StreamingEngine | BatchingEngine


class Requirement(msgspec.Struct, frozen=True):
    """A package a backend needs."""

    module: str
    install: str
    """The command that installs it."""


class Backend(Protocol):
    """Describes a backend without importing its libraries, and loads engines.

    One that can spread a replica over several devices (``ModelSpec.gpus``) says ``spreads = True``; it gets
    the first of them as ``device`` and sees them all. One whose models run on a server says ``remote = True``
    and its replicas take no device. Options that name a model or its files, as ``path`` does, are listed in
    ``models_in_options``; ``load`` finds them resolved.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    requires: ClassVar[tuple[Requirement, ...]]
    parameters: ClassVar[SupportTable]

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """Whether this existing file or folder looks like one of its checkpoints; looks at names only."""
        ...

    @classmethod
    def load(cls, model: ModelSpec, device: str, threads: int, progress: Progress) -> Engine:
        """Load a model on ``device`` (``cpu`` or ``cuda:0``); raises ``BackendError``."""
        ...


@runtime_checkable
class Preloading(Protocol):
    """A backend whose libraries may be imported in a process that is forked into replicas afterwards."""

    @classmethod
    def preload(cls) -> None:
        """Import them and do nothing else: touch no device, start no thread that lives on."""
        ...
