"""How much memory a replica process holds, without importing what allocated it."""

import os

import psutil

from repl import nvml


def used(device: str) -> int:
    """Bytes this process holds on ``device``: resident memory on a CPU, on all its GPUs together on those.

    What it has started counts too, the ranks of a group. 0 where a driver does not tell processes apart, as
    in most containers.
    """
    if not device.startswith("cuda"):
        return int(psutil.Process().memory_info().rss)
    library = nvml.library()
    own: set[int] = set()
    held = 0
    for gpu in nvml.visible():  # this process was given its own alone
        try:
            processes = library.nvmlDeviceGetComputeRunningProcesses(gpu.handle)
        except library.NVMLError:
            continue
        own = own or {os.getpid(), *(child.pid for child in psutil.Process().children())}
        held += sum(int(p.usedGpuMemory or 0) for p in processes if p.pid in own)
    return held
