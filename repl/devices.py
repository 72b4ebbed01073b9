"""Which devices there are, how busy they are, and which replica goes where. Never imports torch.

``repl.cli`` plans the replicas of a configuration; the front ends show ``readings``. GPUs are asked through
NVML, which takes no memory on them; AMD and Apple GPUs are not seen.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import count
from os import environ
from typing import Any

import msgspec

from backends import registry
from repl import cores
from repl.config import Config, ConfigError, ModelConfig
from repl.pool.plan import ReplicaPlan, ReplicaStatus


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
    found = []
    with _nvml() as nvml:
        for index, handle in enumerate(_handles() if nvml else ()):
            memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            found.append(
                Device(
                    id=f"cuda:{index}",
                    name=_text(nvml.nvmlDeviceGetName(handle)),
                    total_memory=int(memory.total),
                    free_memory=int(memory.free),
                )
            )
    return found


def readings() -> dict[str, GpuReading]:
    """By device id. A GPU that does not tell is left out; a partition of one (MIG) has no utilisation: 0."""
    found: dict[str, GpuReading] = {}
    with _nvml() as nvml:
        for index, handle in enumerate(_handles() if nvml else ()):
            try:
                busy = nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
            except nvml.NVMLError:
                busy = 0.0
            try:
                memory = nvml.nvmlDeviceGetMemoryInfo(handle)
            except nvml.NVMLError:
                continue
            found[f"cuda:{index}"] = GpuReading(
                utilisation=busy, memory_used=int(memory.used), memory_total=int(memory.total)
            )
    return found


def plan(config: Config) -> list[ReplicaPlan]:
    """The replicas of every model, in the order of the configuration; ``ConfigError`` names a missing device.

    A replica on the CPU is ``cpu:N``, N counting such replicas, and has a share of the cores.
    """
    visible = [device.id for device in gpus()]
    placed = [
        (model, i, where)
        for model in config.models.values()
        for i, where in enumerate(_groups(model, visible))
    ]
    shares = iter(cores.shares(sum(where == "cpu" for _, _, where in placed)))
    feeding = cores.shares(len(placed))[0].threads  # what the CPU side of a GPU replica may take
    plans = []
    on_cpu = 0
    for model, index, where in placed:
        share = cores.Share(threads=feeding)
        if where == "cpu":
            share, where, on_cpu = next(shares), f"cpu:{on_cpu}", on_cpu + 1
        plans.append(
            ReplicaPlan(
                name=f"{model.name}/{index}",
                model=model.spec(),
                device=where,
                threads=share.threads,
                cores=share.cores,
            )
        )
    return plans


def place(model: ModelConfig, device: str, running: Collection[ReplicaStatus]) -> ReplicaPlan:
    """One more replica of ``model`` on ``cuda:N`` or ``cpu``, beside those that run.

    On a CPU it gets one thread and is not kept to a core: the shares were dealt out at the start. Raises
    ``ConfigError`` for a GPU that is not there.
    """
    if device == "cpu":
        taken = {replica.device for replica in running}
        device = next(f"cpu:{i}" for i in count() if f"cpu:{i}" not in taken)
    elif model.gpus_per_replica > 1:
        raise ConfigError(
            f"a replica of '{model.name}' takes {model.gpus_per_replica} GPUs and cannot be added to one"
        )
    else:
        visible = [gpu.id for gpu in gpus()]
        if device not in visible:
            there = ", ".join(visible) or "none"
            raise ConfigError(f"there is no device {device}: visible GPUs: {there}")
    names = {replica.name for replica in running}
    name = next(f"{model.name}/{i}" for i in count() if f"{model.name}/{i}" not in names)
    return ReplicaPlan(name=name, model=model.spec(), device=device, threads=1)


def _groups(model: ModelConfig, visible: list[str]) -> list[str]:
    """For each replica its devices, joined by ``+``; on the CPU a group shares what one would have."""
    size, places = model.gpus_per_replica, _places(model, visible)
    if size > 1 and not getattr(registry.find(model.backend), "spreads", False):
        raise ConfigError(
            f"{model.origin}: model '{model.name}': backend {model.backend} runs a replica on one device: "
            "take gpus_per_replica out"
        )
    if size == 1 or set(places) == {"cpu"}:
        return places
    if isinstance(model.replicas, tuple):
        groups = [places[i : i + size] for i in range(0, len(places), size)]
    else:
        whole = [visible[i : i + size] for i in range(0, len(visible) - size + 1, size)]
        number = len(whole) if model.replicas == "auto" else model.replicas
        groups = [whole[i % len(whole)] for i in range(number)] if whole else [visible]
    if any(len(set(group)) < size or "cpu" in group for group in groups):
        raise ConfigError(
            f"{model.origin}: model '{model.name}' wants {size} GPUs for each replica, which does not go "
            f"with {', '.join(dict.fromkeys(places))}"
        )
    return ["+".join(group) for group in groups]


def _places(model: ModelConfig, visible: list[str]) -> list[str]:
    """A device for each replica of ``model``."""
    wanted = model.replicas
    if isinstance(wanted, tuple):
        for device in wanted:
            if device != "cpu" and device not in visible:
                there = ", ".join(visible) if visible else "none"
                hidden = "; CUDA_VISIBLE_DEVICES limits them" if "CUDA_VISIBLE_DEVICES" in environ else ""
                raise ConfigError(
                    f"{model.origin}: model '{model.name}' is to run on {device}, which is not there: "
                    f"visible GPUs: {there}{hidden}"
                )
        return list(wanted)
    devices = visible or ["cpu"]
    number = len(devices) if wanted == "auto" else int(wanted)
    return [devices[i % len(devices)] for i in range(number)]


@cache
def _started() -> Any:
    """The NVML binding, initialised once for the life of the process; None where there is no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    return pynvml


@contextmanager
def _nvml() -> Iterator[Any]:
    """The binding or None; a driver that goes away ends the block quietly."""
    nvml = _started()
    if nvml is None:
        yield None
        return
    try:
        yield nvml
    except nvml.NVMLError:
        forget()


def forget() -> None:
    """Look for the driver and its devices anew at the next call."""
    _started.cache_clear()
    _handles.cache_clear()


@cache
def _handles() -> list[Any]:
    """NVML's handles of the visible devices, in the order in which CUDA counts them.

    CUDA_VISIBLE_DEVICES is read as CUDA does: indices or (beginnings of) UUIDs; the first entry that names no
    device ends the list; a repeated one empties it. Indices agree with NVML's under
    CUDA_DEVICE_ORDER=PCI_BUS_ID, which ``repl.cli`` sets.
    """
    nvml = _started()
    everything = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    listed = environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return everything
    chosen: list[Any] = []
    seen: set[str] = set()
    for word in listed.split(","):
        handle = _named(nvml, everything, word.strip())
        if handle is None:
            break
        uuid = _text(nvml.nvmlDeviceGetUUID(handle))
        if uuid in seen:
            return []
        seen.add(uuid)
        chosen.append(handle)
    return chosen


def _named(nvml: Any, everything: list[Any], word: str) -> Any:
    if word.isdecimal():
        return everything[int(word)] if int(word) < len(everything) else None
    if word.startswith("GPU-"):
        matches = [h for h in everything if _text(nvml.nvmlDeviceGetUUID(h)).startswith(word)]
        return matches[0] if len(matches) == 1 else None
    if word.startswith("MIG-"):
        try:
            return nvml.nvmlDeviceGetHandleByUUID(word)
        except nvml.NVMLError:
            return None
    return None


def _text(value: str | bytes) -> str:
    """Older drivers' bindings return bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
