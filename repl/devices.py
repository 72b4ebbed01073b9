"""Which devices there are, how busy they are, and which replica goes where. Never imports torch.

``repl.cli`` plans the replicas of a configuration; the front ends show ``readings``. GPUs are asked through
NVML or, where that is missing, CUDA's driver; AMD and Apple GPUs are not seen.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from itertools import count
from os import environ
from typing import Any

import msgspec

from backends import registry
from repl import cores, driver_api, nvml
from repl.config import Config, ConfigError, ModelConfig
from repl.pool.plan import ReplicaPlan, ReplicaStatus

REMOTE = "net"
"""Where a replica is whose model runs on a server; ``net:0`` in a plan."""


class Device(msgspec.Struct, frozen=True, kw_only=True):
    """One GPU that this process may use."""

    id: str
    """``cuda:0``: the number counts the visible devices, as torch does."""
    name: str
    total_memory: int
    """Bytes."""
    free_memory: int | None
    """None where nobody tells."""
    partition: bool = False
    """A part of a card (MIG)."""


class GpuReading(msgspec.Struct, frozen=True, kw_only=True):
    """How busy a GPU is just now, by all its users."""

    utilisation: float
    """0 to 1."""
    memory_used: int
    """Bytes."""
    memory_total: int


def gpus() -> list[Device]:
    """The visible GPUs; empty when there is none."""
    library = nvml.library()
    if library is None:
        cards = enumerate(driver_api.cards())
        return [
            Device(id=f"cuda:{i}", name=c.name, total_memory=c.memory, free_memory=None) for i, c in cards
        ]
    found = []
    for index, device in enumerate(nvml.visible()):
        try:
            name, (used, total) = library.nvmlDeviceGetName(device.handle), _memory(library, device.handle)
        except library.NVMLError:  # lost since it was counted: the others keep their numbers
            continue
        found.append(
            Device(
                id=f"cuda:{index}",
                name=nvml.text(name),
                total_memory=total,
                free_memory=total - used,
                partition=device.partition,
            )
        )
    return found


def readings() -> dict[str, GpuReading]:
    """By device id. A GPU that does not tell is left out; a partition of one (MIG) has no utilisation: 0."""
    library = nvml.library()
    found: dict[str, GpuReading] = {}
    for index, device in enumerate(nvml.visible() if library is not None else ()):
        try:
            busy = library.nvmlDeviceGetUtilizationRates(device.handle).gpu / 100
        except library.NVMLError:
            busy = 0.0
        try:
            used, total = _memory(library, device.handle)
        except library.NVMLError:
            continue
        found[f"cuda:{index}"] = GpuReading(utilisation=busy, memory_used=used, memory_total=total)
    if not found and library is not None:
        nvml.forget()  # the driver may have gone, and may come again
    return found


def together(device: str, known: Mapping[str, GpuReading]) -> GpuReading | None:
    """Of a replica's device, or of all of its devices; None where one of them does not tell."""
    found = [known[one] for one in device.split("+") if one in known]
    if not found or len(found) < device.count("+") + 1:
        return None
    return GpuReading(
        utilisation=sum(one.utilisation for one in found) / len(found),
        memory_used=sum(one.memory_used for one in found),
        memory_total=sum(one.memory_total for one in found),
    )


def _memory(library: Any, handle: Any) -> tuple[int, int]:
    """Bytes in use and in all; those of the machine where a GPU has none of its own."""
    try:
        memory = library.nvmlDeviceGetMemoryInfo(handle)
    except library.NVMLError as error:
        if error.value != library.NVML_ERROR_NOT_SUPPORTED:
            raise
        import psutil

        shared = psutil.virtual_memory()
        return shared.total - shared.available, shared.total
    return int(memory.total) - int(memory.free), int(memory.total)


def plan(config: Config) -> list[ReplicaPlan]:
    """The replicas of every model, in the order of the configuration; ``ConfigError`` names a missing device.

    A replica on the CPU is ``cpu:N``, N counting such replicas, and has a share of the cores.
    """
    there = gpus()
    placed = [
        (model, i, where) for model in config.models.values() for i, where in enumerate(_groups(model, there))
    ]
    shares = iter(cores.shares(sum(where == "cpu" for _, _, where in placed)))
    here = sum(where != REMOTE for _, _, where in placed)
    feeding = cores.shares(max(1, here))[0].threads  # what the CPU side of a GPU replica may take
    crowd = Counter(gpu for _, _, where in placed for gpu in where.split("+"))
    plans = []
    on_cpu = elsewhere = 0
    for model, index, where in placed:
        others = 1 if where == "cpu" else max(crowd[gpu] for gpu in where.split("+"))
        share = cores.Share(threads=feeding)
        if where == "cpu":
            share, where, on_cpu = next(shares), f"cpu:{on_cpu}", on_cpu + 1
        elif where == REMOTE:
            where, elsewhere = f"{REMOTE}:{elsewhere}", elsewhere + 1
        plans.append(
            ReplicaPlan(
                name=f"{model.name}/{index}",
                model=msgspec.structs.replace(model.spec(), share=1 / others),
                device=where,
                threads=share.threads,
                cores=share.cores,
            )
        )
    return plans


def place(model: ModelConfig, device: str, running: Collection[ReplicaStatus]) -> ReplicaPlan:
    """One more replica of ``model`` on ``cuda:N`` or ``cpu``, beside those that run.

    One of a model on a server takes no device.

    On a CPU it gets one thread and is not kept to a core: the shares were dealt out at the start. Raises
    ``ConfigError`` for a GPU that is not there.
    """
    threads, crowd = 1, 1
    kind = REMOTE if _is_remote(model) else device
    if kind in ("cpu", REMOTE):
        taken = {replica.device for replica in running}
        device = next(f"{kind}:{i}" for i in count() if f"{kind}:{i}" not in taken)
    elif model.gpus_per_replica > 1:
        raise ConfigError(
            f"a replica of '{model.name}' takes {model.gpus_per_replica} GPUs and cannot be added to one"
        )
    else:
        visible = [gpu.id for gpu in gpus()]
        if device not in visible:
            there = ", ".join(visible) or "none"
            raise ConfigError(f"there is no device {device}: visible GPUs: {there}")
        threads = cores.shares(len(running) + 1)[0].threads
        crowd += sum(device in replica.device.split("+") for replica in running)
    names = {replica.name for replica in running}
    name = next(f"{model.name}/{i}" for i in count() if f"{model.name}/{i}" not in names)
    spec = msgspec.structs.replace(model.spec(), share=1 / crowd)
    return ReplicaPlan(name=name, model=spec, device=device, threads=threads)


def _groups(model: ModelConfig, there: list[Device]) -> list[str]:
    """For each replica its devices, joined by ``+``; on the CPU a group shares what one would have."""
    visible = [device.id for device in there]
    size, places = model.gpus_per_replica, _places(model, visible)
    if size > 1 and not getattr(registry.find(model.backend), "spreads", False):
        raise ConfigError(
            f"{model.origin}: model '{model.name}': backend {model.backend} runs a replica on one device: "
            "take gpus_per_replica out"
        )
    if size == 1 or set(places) == {"cpu"}:
        return places
    if any(device.partition for device in there):
        raise ConfigError(
            f"{model.origin}: model '{model.name}': the parts of a GPU (MIG) cannot share a replica: "
            "take gpus_per_replica out, or hide them with CUDA_VISIBLE_DEVICES"
        )
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


def _is_remote(model: ModelConfig) -> bool:
    """Whether its replicas run nothing here."""
    return getattr(registry.find(model.backend), "remote", False)


def _places(model: ModelConfig, visible: list[str]) -> list[str]:
    """A device for each replica of ``model``."""
    wanted = model.replicas
    if _is_remote(model):
        return [REMOTE] * (wanted if isinstance(wanted, int) else 1)
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
