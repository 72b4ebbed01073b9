"""How much memory a replica process holds, without importing what allocated it."""

import os

import psutil


def used(device: str) -> int:
    """Bytes this process holds on ``device``: resident memory on a CPU, device memory on a GPU.

    A driver that does not tell processes apart (some containers) leaves the resident size as the answer.
    """
    if device.startswith("cuda"):
        held = _on_gpu()
        if held is not None:
            return held
    return int(psutil.Process().memory_info().rss)


def _on_gpu() -> int | None:
    import pynvml

    try:
        pynvml.nvmlInit()
        for index in range(pynvml.nvmlDeviceGetCount()):
            handle = pynvml.nvmlDeviceGetHandleByIndex(index)
            for process in pynvml.nvmlDeviceGetComputeRunningProcesses(handle):
                if process.pid == os.getpid() and process.usedGpuMemory is not None:
                    return int(process.usedGpuMemory)
    except pynvml.NVMLError:
        return None
    return None
