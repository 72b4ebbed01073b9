"""The GPUs as CUDA's driver library tells of them, for machines where NVML does not: it is left out of some
containers and of small computers. It is loaded only there, and no context is made on any device."""

import ctypes
from functools import cache
from typing import NamedTuple


class Card(NamedTuple):
    """What is known of a GPU."""

    name: str
    memory: int
    """Bytes."""


@cache
def cards() -> tuple[Card, ...]:
    """The visible GPUs in CUDA's order; none where there is no driver, or it does not work."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return ()
    count = ctypes.c_int()
    if driver.cuInit(0) or driver.cuDeviceGetCount(ctypes.byref(count)):
        return ()
    return tuple(_card(driver, index) for index in range(count.value))


def _card(driver: ctypes.CDLL, index: int) -> Card:
    device, memory = ctypes.c_int(), ctypes.c_size_t()
    name = ctypes.create_string_buffer(128)
    driver.cuDeviceGet(ctypes.byref(device), index)
    driver.cuDeviceGetName(name, len(name), device)
    driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    return Card(name.value.decode(errors="replace"), memory.value)
