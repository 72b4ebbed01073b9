"""A model layer by layer over several GPUs, by accelerate: for what fits on none and cannot be sharded."""

import importlib.util
from typing import Any

import torch

from backends.base import BackendError
from repl.messages import ModelSpec

NOTE = (
    "its layers are spread over {} devices, of which one works at a time: transformers has no "
    "tensor-parallel plan for this kind"
)


def arguments(spec: ModelSpec) -> dict[str, Any]:
    """What ``from_pretrained`` is told besides."""
    if importlib.util.find_spec("accelerate") is None:
        raise BackendError(
            "missing_package",
            f"model '{spec.name}': spreading it over {spec.gpus} devices needs the package accelerate",
            "pip install accelerate",
        )
    # Left to itself, accelerate passes over a GPU that fails, and takes the machine's memory instead.
    free = {number: torch.cuda.mem_get_info(number)[0] for number in range(spec.gpus)}
    return {"device_map": "auto", "max_memory": free}


def check(spec: ModelSpec, network: Any) -> None:
    """Refuse a network of which a part is left on the disk, to be fetched for each token."""
    if "disk" in getattr(network, "hf_device_map", {}).values():
        raise BackendError(
            "out_of_memory",
            f"model '{spec.name}' does not fit into the memory of {spec.gpus} devices",
            "raise gpus_per_replica, choose a smaller dtype, or free memory on them",
        )
