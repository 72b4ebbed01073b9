"""What the coordinator is told to run, and what it reports back about it."""

from typing import Literal

import msgspec

from repl.messages import Capabilities, Error, ModelSpec

State = Literal["starting", "loading", "ready", "busy", "draining", "failed", "restarting", "stopped"]


def answers_to(replica: str, where: str, word: str) -> bool:
    """Whether ``word`` names a replica: by its own name, by its device or by one of its devices."""
    return word in (replica, where, *where.split("+"))


class ReplicaPlan(msgspec.Struct, frozen=True, kw_only=True):
    """One process to run: which model on which device."""

    name: str
    """``model/0``: unique in a pool."""
    model: ModelSpec
    device: str
    """``cuda:1`` or ``cpu:0``, or ``cuda:0+cuda:1`` for a replica over several; the numbers count the devices
    that this process may see."""
    threads: int = 1
    cores: tuple[int, ...] = ()
    """CPU cores to stay on; empty leaves that to the system."""

    @property
    def title(self) -> str:
        """What the process is called among all of the machine."""
        return f"{self.name} on {self.device} of multigpu-repl"


class ReplicaStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One replica as the front ends show it."""

    name: str
    model: str
    device: str
    state: State
    slots: int = 0
    running: int = 0
    tokens_per_second: float = 0.0
    memory: int = 0
    """Bytes: resident on a CPU, on the device for a GPU."""
    detail: str = ""
    """What it is doing now, such as the stage of a load."""
    loading: float | None = None
    """0 to 1, where it can be known."""
    error: Error | None = None
    restarts: int = 0
    pid: int | None = None
    capabilities: Capabilities | None = None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """When to give up on what; seconds unless said otherwise."""

    tries: int = 3
    """Replicas one request may be lost on before it fails."""
    deaths: int = 5
    """In a row, with less than ``healthy`` seconds of service between, before a replica stays down."""
    healthy: float = 60.0
    backoff: float = 0.2
    """First pause before a restart; doubles with each death in a row."""
    backoff_most: float = 30.0
    silence: float = 60.0
    """Without a heartbeat from a loaded replica."""
    no_progress: float = 300.0
    """Without an engine step while requests run."""
    stop: float = 3.0
    """For a replica to obey a stop before the request ends without its word; its slot stays taken."""
    farewell: float = 2.0
    """For a process to leave by itself when asked."""
