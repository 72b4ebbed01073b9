"""The CPU cores this process may use, and how to share them. ``repl.devices`` plans with it."""

import math
import os
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup")
_CPUS = Path("/sys/devices/system/cpu")


@dataclass(frozen=True)
class Share:
    """What one replica gets of the CPU."""

    threads: int
    cores: tuple[int, ...] = ()
    """Logical CPUs to stay on; empty leaves that to the system."""


def allowed() -> list[int]:
    """The logical CPUs of this process; those of one physical core stand next to each other."""
    cpus = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else range(os.cpu_count() or 1)
    return sorted(cpus, key=lambda cpu: (_core(cpu), cpu))


def quota() -> float | None:
    """How many CPUs' worth of time the cgroup grants, v2 or v1; None without a limit."""
    try:
        most, period = (_CGROUP / "cpu.max").read_text().split()
        return None if most == "max" else int(most) / int(period)
    except (OSError, ValueError):
        pass
    try:
        most_us = int((_CGROUP / "cpu/cpu.cfs_quota_us").read_text())
        return None if most_us < 0 else most_us / int((_CGROUP / "cpu/cpu.cfs_period_us").read_text())
    except (OSError, ValueError):
        return None


def shares(count: int) -> list[Share]:
    """The CPU divided among ``count`` replicas.

    Each gets cores of its own while there is one for each, since compute threads that spin on shared cores
    slow each other down. With fewer cores than replicas, or where a quota limits time instead of cores,
    nothing is pinned.
    """
    cpus = allowed()
    limit = quota()
    usable = len(cpus) if limit is None else min(len(cpus), max(1, math.floor(limit)))
    if count <= 1 or usable < len(cpus) or count > _physical(cpus):
        threads = max(1, min(usable, _physical(cpus)) // max(1, count))
        return [Share(threads)] * count
    cores = _grouped(cpus)
    bounds = [round(i * len(cores) / count) for i in range(count + 1)]
    parts = [cores[low:high] for low, high in pairwise(bounds)]
    return [Share(threads=len(part), cores=tuple(cpu for core in part for cpu in core)) for part in parts]


def _grouped(cpus: list[int]) -> list[list[int]]:
    """Logical CPUs by physical core."""
    cores: dict[int, list[int]] = {}
    for cpu in cpus:
        cores.setdefault(_core(cpu), []).append(cpu)
    return list(cores.values())


def _physical(cpus: list[int]) -> int:
    return len(_grouped(cpus))


def _core(cpu: int) -> int:
    """The lowest logical CPU of the same physical core; itself where the system does not tell."""
    try:
        siblings = (_CPUS / f"cpu{cpu}/topology/thread_siblings_list").read_text()
    except OSError:
        return cpu
    first = re.match(r"\d+", siblings)  # "0,64" or "0-1"
    return int(first[0]) if first else cpu
