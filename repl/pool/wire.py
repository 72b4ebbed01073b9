"""What the coordinator and the process of a replica say to each other beside requests and their events.

A frame to the process is one message; a frame from it holds a list: all that one step of the engine produced.
"""

import msgspec

from repl.messages import Capabilities, Error, Event, ModelSpec, Request

# -- parent to child -------------------------------------------------------------------------------------


class Load(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True):
    """The first message a child receives."""

    model: ModelSpec
    device: str
    """``cpu`` or ``cuda:0``; the child sees only its own devices."""
    threads: int
    cores: tuple[int, ...] = ()
    """CPU cores to stay on; empty leaves that to the system."""


class Cancel(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True):
    """Drop a request; answered by ``Stopped`` unless it has ended already."""

    id: int


class Shutdown(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True):
    """Finish nothing more and exit."""


ToChild = Load | Request | Cancel | Shutdown

# -- child to parent -------------------------------------------------------------------------------------


class Loading(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True):
    """How far a load is."""

    stage: str
    fraction: float | None = None
    """0 to 1, where it can be known."""


class Ready(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True):
    """The model is loaded and has done a warm-up."""

    capabilities: Capabilities


class LoadFailed(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True):
    """The model cannot be loaded; the process ends."""

    error: Error


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True):
    """Sent by a thread of its own about once a second."""

    steps: int
    """Engine steps so far: a count that stands still while requests run tells of a hang."""
    memory: int
    """Bytes: resident memory on a CPU, allocated device memory on a GPU."""


class Changed(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True):
    """Something else is to be said of a model that serves."""

    capabilities: Capabilities


FromChild = Loading | Ready | LoadFailed | Heartbeat | Changed | Event
