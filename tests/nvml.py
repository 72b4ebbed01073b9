"""A machine with GPUs that are not there: answers in pynvml's place."""

from collections.abc import Callable
from types import SimpleNamespace

import pynvml
import pytest

GB = 10**9


class FakeNvml:
    """Cards with the given UUIDs, which are their handles.

    Card ``i`` has (i + 1) x 10 GB, one of them in use, and is busy for 25 x (i + 1) %.
    """

    NVMLError = pynvml.NVMLError

    def __init__(self, *uuids: str, fault: int = pynvml.NVML_ERROR_LIBRARY_NOT_FOUND) -> None:
        self.uuids = uuids
        self.fault = fault
        """Why there is nobody to ask, where there are no cards."""
        self.silent: set[str] = set()
        """Lost after they were counted."""
        self.closed: set[str] = set()
        """Counted, but not for this process."""
        self.shared: set[str] = set()
        """Without memory of their own."""
        self.partitions: dict[str, list[str]] = {}
        """Of the cards in MIG mode; an empty name is one that this process may not use."""
        self.processes: dict[str, dict[int, int | None]] = {}
        """Bytes by process, on each card."""

    def nvmlInit(self) -> None:
        if not self.uuids:
            raise self.NVMLError(self.fault)

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.95.05"

    def nvmlSystemGetCudaDriverVersion(self) -> int:
        return 13_000

    def nvmlDeviceGetCount(self) -> int:
        return len(self.uuids)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> str:
        if self.uuids[index] in self.closed:
            raise self.NVMLError(pynvml.NVML_ERROR_NO_PERMISSION)
        return self.uuids[index]

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid not in (*self.uuids, "MIG-1", *(p for parts in self.partitions.values() for p in parts)):
            raise self.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return uuid

    def nvmlDeviceGetUUID(self, handle: str) -> bytes:
        return handle.encode()

    def nvmlDeviceGetName(self, handle: str) -> str:
        return f"Card {handle}"

    def nvmlDeviceGetMigMode(self, handle: str) -> tuple[int, int]:
        if handle not in self.partitions:
            raise self.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return pynvml.NVML_DEVICE_MIG_ENABLE, pynvml.NVML_DEVICE_MIG_ENABLE

    def nvmlDeviceGetMaxMigDeviceCount(self, handle: str) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: str, index: int) -> str:
        parts = self.partitions[handle]
        if index >= len(parts) or not parts[index]:
            raise self.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return parts[index]

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> SimpleNamespace:
        if handle in self.silent:
            raise self.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        if handle in self.shared:
            raise self.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        total = (self.uuids.index(handle) + 1) * 10 * GB if handle in self.uuids else GB
        used = min(GB, total // 2)
        return SimpleNamespace(total=total, free=total - used, used=used)

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> SimpleNamespace:
        if handle.startswith("MIG-"):
            raise self.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(gpu=min(100, 25 * (self.uuids.index(handle) + 1)))

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[SimpleNamespace]:
        if handle in self.silent:
            raise self.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        found = self.processes.get(handle, {})
        return [SimpleNamespace(pid=pid, usedGpuMemory=size) for pid, size in found.items()]


Install = Callable[..., FakeNvml]
"""Puts a fake with the given cards in pynvml's place."""


def installer(monkeypatch: pytest.MonkeyPatch) -> Install:
    """One that ends with the test."""

    def install(*uuids: str, **more: int) -> FakeNvml:
        fake = FakeNvml(*uuids, **more)
        for name in dir(FakeNvml):
            if name.startswith("nvml"):
                monkeypatch.setattr(pynvml, name, getattr(fake, name))
        return fake

    return install
