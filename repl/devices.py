"""Which devices there are, how busy they are, and which replica goes where. Never imports torch.

``repl.cli`` plans the replicas of a configuration; the front ends show ``readings``.
"""

import msgspec

from repl.config import Config
from repl.pool.plan import ReplicaPlan


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU that this process may use."""

    id: str
    """``cuda:0``: the number counts the visible devices, as torch does."""
    name: str
    total_memory: int
    """Bytes."""
    free_memory: int


class GpuReading(msgspec.Struct, frozen=True, kw_only=True):
    """How busy a GPU is just now, by all its users."""

    utilisation: float
    """0 to 1."""
    memory_used: int
    """Bytes."""
    memory_total: int


def gpus() -> list[Device]:
    """The visible GPUs; empty when there is none."""
    raise NotImplementedError


def readings() -> dict[str, GpuReading]:
    """By device id; a GPU that does not answer is left out."""
    raise NotImplementedError


def plan(config: Config) -> list[ReplicaPlan]:
    """The replicas of every model, in the order of the configuration; ``ConfigError`` names a missing device."""
    raise NotImplementedError
