"""The GPUs that this process may use, as CUDA counts them, by the driver's management library (NVML).

Asking it takes no memory on a GPU and starts nothing there. ``repl.devices`` plans with it, ``repl.pool``
gives each replica its own and asks how much memory it holds.
"""

from functools import cache
from os import environ
from typing import Any, NamedTuple


class Visible(NamedTuple):
    """A GPU, or a partition of one (MIG)."""

    handle: Any
    """NVML's own."""
    word: str
    """Names it in CUDA_VISIBLE_DEVICES."""
    partition: bool = False


def library() -> Any:
    """The binding, initialised once for the life of the process; None where there is no driver to ask."""
    return _opened()[0]


def fault() -> str:
    """Why the driver that is there does not answer; empty where it does, or where there is none."""
    return _opened()[1]


def driver() -> tuple[str, str] | None:
    """Version of the driver, and the latest of CUDA that it serves; None without one."""
    nvml = library()
    if nvml is None:
        return None
    try:
        number = int(nvml.nvmlSystemGetCudaDriverVersion())
        return text(nvml.nvmlSystemGetDriverVersion()), f"{number // 1000}.{number % 1000 // 10}"
    except nvml.NVMLError:
        return None


def forget() -> None:
    """Look for the driver and its devices anew at the next call."""
    _opened.cache_clear()
    visible.cache_clear()


def words() -> list[str]:
    """What names each visible device in CUDA_VISIBLE_DEVICES.

    Where NVML does not answer, those of the variable as it stands; empty then means that numbers will do.
    """
    if library() is not None:
        return [device.word for device in visible()]
    return [word.strip() for word in environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if word.strip()]


@cache
def visible() -> list[Visible]:
    """The visible devices, in the order in which CUDA counts them; empty without NVML.

    CUDA_VISIBLE_DEVICES is read as CUDA does: indices or (beginnings of) UUIDs; the first entry that names no
    device ends the list; a repeated one empties it. Indices agree with NVML's under
    CUDA_DEVICE_ORDER=PCI_BUS_ID, which every replica gets. Of a card in MIG mode each partition is a device:
    a process can use one of them only, which it has to be given by its UUID.
    """
    nvml = library()
    try:
        return _visible(nvml) if nvml is not None else []
    except nvml.NVMLError:  # a driver that goes away; see ``forget``
        return []


def _visible(nvml: Any) -> list[Visible]:
    cards = _cards(nvml)
    listed = environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        named = [(str(index), card) for index, card in enumerate(cards)]
    else:
        named = _named_cards(nvml, cards, listed)
    parts = [None if word.startswith("MIG-") else _partitions(nvml, card) for word, card in named]
    if all(part is None for part in parts):
        return [Visible(card, word, word.startswith("MIG-")) for word, card in named]
    # Beside partitions numbers are of no use: CUDA counts what it can see of such a machine only.
    found = []
    for (word, card), own in zip(named, parts, strict=True):
        if own is None:
            found.append(Visible(card, uuid(nvml, card), word.startswith("MIG-")))
        else:
            found += [Visible(part, uuid(nvml, part), True) for part in own]
    return found


def uuid(nvml: Any, handle: Any) -> str:
    """Of a device: ``GPU-...`` or ``MIG-...``."""
    return text(nvml.nvmlDeviceGetUUID(handle))


def text(value: str | bytes) -> str:
    """Older drivers' bindings return bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


@cache
def _opened() -> tuple[Any, str]:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        missing = error.value == pynvml.NVML_ERROR_LIBRARY_NOT_FOUND
        return None, "" if missing else str(error)
    return pynvml, ""


def _cards(nvml: Any) -> list[Any]:
    """Those that can be used: NVML counts cards that are lost or that a container or a job may not touch too,
    which CUDA leaves out."""
    cards = []
    for index in range(nvml.nvmlDeviceGetCount()):
        try:
            card = nvml.nvmlDeviceGetHandleByIndex(index)
            uuid(nvml, card)
        except nvml.NVMLError:
            continue
        cards.append(card)
    return cards


def _named_cards(nvml: Any, cards: list[Any], listed: str) -> list[tuple[str, Any]]:
    """Those that CUDA_VISIBLE_DEVICES names, with its words."""
    chosen: list[tuple[str, Any]] = []
    seen: set[str] = set()
    for word in map(str.strip, listed.split(",")):
        card = _named(nvml, cards, word)
        if card is None:
            break
        if (own := uuid(nvml, card)) in seen:
            return []
        seen.add(own)
        chosen.append((word, card))
    return chosen


def _named(nvml: Any, cards: list[Any], word: str) -> Any:
    if word.isdecimal():
        return cards[int(word)] if int(word) < len(cards) else None
    if word.startswith("GPU-"):
        matches = [card for card in cards if uuid(nvml, card).startswith(word)]
        return matches[0] if len(matches) == 1 else None
    if word.startswith("MIG-"):
        try:
            return nvml.nvmlDeviceGetHandleByUUID(word)
        except nvml.NVMLError:
            return None
    return None


def _partitions(nvml: Any, card: Any) -> list[Any] | None:
    """Those of a card in MIG mode that this process may use; None for any other card, or a partition."""
    try:
        mode, _ = nvml.nvmlDeviceGetMigMode(card)
    except nvml.NVMLError:
        return None
    if mode != nvml.NVML_DEVICE_MIG_ENABLE:
        return None
    found = []
    for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(card)):
        try:
            found.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(card, index))
        except nvml.NVMLError:  # no such partition, or not for us
            continue
    return found
