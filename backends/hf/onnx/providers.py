"""Which of ONNX Runtime's execution providers runs a graph, and with what settings."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from onnxruntime import GraphOptimizationLevel, SessionOptions

from backends.base import BackendError

Provider = Literal["auto", "cpu", "cuda", "tensorrt"]
_NAMES = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}
_INSTALL = "replace the package onnxruntime by onnxruntime-gpu, of a version that fits your CUDA"


def choose(model: str, wanted: Provider, device: str, available: Sequence[str]) -> list[Any]:
    """The providers to ask for, the first of which has to be had; refuses one that the device does not allow.

    ``available`` are those that this installation of ONNX Runtime was built with.
    """
    kind, _, index = device.partition(":")
    chosen = ("cuda" if kind == "cuda" else "cpu") if wanted == "auto" else wanted
    if (chosen == "cpu") != (kind == "cpu"):
        raise BackendError(
            "bad_parameter",
            f"model '{model}': provider '{chosen}' does not run on {device}",
            "leave provider out, or choose other devices for the replicas",
        )
    if _NAMES[chosen] not in available:
        raise BackendError(
            "missing_package",
            f"model '{model}': this installation of ONNX Runtime has no {_NAMES[chosen]}",
            _INSTALL,
            f"it has {', '.join(available)}",
        )
    if chosen == "cpu":
        return [_NAMES["cpu"]]
    place = {"device_id": index or "0"}
    # torch multiplies in full float32 unless told otherwise, and takes memory from the same device.
    cuda = (_NAMES["cuda"], place | {"use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"})
    # What TensorRT cannot do goes to CUDA.
    return [cuda] if chosen == "cuda" else [(_NAMES["tensorrt"], place), cuda]


def profile(inputs: Mapping[str, Sequence[int]], rows: int, new: int, total: int) -> dict[str, str]:
    """What TensorRT is told of the shapes to come; for one outside of these it would build a new engine.

    ``inputs`` are the graph's with their dimensions, 0 where they vary. A pass reads at most ``new`` tokens
    of each of ``rows`` rows and holds ``total`` of each then.
    """
    told = {}
    for name, count, read, held in (("min", 1, 1, 0), ("opt", 1, 1, total // 2), ("max", rows, new, total)):
        sizes = {
            "input_ids": (count, read),
            "position_ids": (count, read),
            "attention_mask": (count, min(held + read, total)),
            "logits_to_keep": (read,),
        }
        shapes = {
            entry: sizes.get(entry) or (count, fixed[1], held, fixed[3]) for entry, fixed in inputs.items()
        }
        text = ",".join(f"{entry}:{'x'.join(map(str, shape))}" for entry, shape in shapes.items())
        told[f"trt_profile_{name}_shapes"] = text
    return told


def check(model: str, providers: Sequence[Any], used: Sequence[str]) -> None:
    """ONNX Runtime falls back to the CPU where a provider's libraries are not found: refuse that."""
    first = providers[0] if isinstance(providers[0], str) else providers[0][0]
    if used[0] != first:
        raise BackendError(
            "missing_package",
            f"model '{model}': ONNX Runtime could not start {first} and would run on {used[0]}",
            "its CUDA, cuDNN or TensorRT libraries are missing or of another version; " + _INSTALL,
        )


def settings(threads: int) -> SessionOptions:
    """Of a session that computes on so many threads."""
    options = SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.graph_optimization_level = GraphOptimizationLevel.ORT_ENABLE_ALL
    # It remembers a plan for each shape, and here each step has another.
    options.enable_mem_pattern = False
    # Threads that wait do so asleep: other replicas want the cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    return options
