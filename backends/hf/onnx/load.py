"""From a network to the graph that runs in its place: exported once, checked, opened, compared."""

import importlib
from collections.abc import Iterator, Sequence
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import torch

from backends import cache
from backends.base import BackendError, Progress
from backends.faults import first_line, is_out_of_memory
from backends.hf import selftest
from backends.hf.checkpoint.network import Checkpoint
from backends.hf.kinds import CPU_SLOTS, GPU_SLOTS, RowsChoice, divisible, limits, plain_cache
from backends.hf.onnx import providers, refused
from backends.hf.onnx.graph import GRAPH, WEIGHTS, Graph
from backends.hf.state.causal import CausalRows
from repl.messages import ModelSpec
from repl.paths import cache_dir

REVISION = 1
"""Of the way a graph is made here; a new one leaves the old graphs unused."""
_CONTEXT = 4096
"""Tokens, for a network that sets no limit."""
_PACKAGES = ("transformers", "torch", "onnx", "onnxscript", "onnxruntime")


def replace(
    checkpoint: Checkpoint, network: Any, device: str, threads: int, progress: Progress
) -> tuple[Graph, RowsChoice]:
    """The graph to use instead of ``network``, which loses its weights; raises ``BackendError``.

    A graph from the cache that turns out to be unusable is made anew.
    """
    spec = checkpoint.spec
    if not plain_cache(network):
        raise refused(spec, "its state is more than keys and values")
    available = onnxruntime.get_available_providers()
    chosen = providers.choose(spec.name, checkpoint.options.provider, device, available)
    while True:
        path, new = _exported(checkpoint, network, progress)
        try:
            progress("ONNX Runtime", None)
            session = _open(path, checkpoint, network, chosen, threads)
            graph = Graph(session, network, device)
            progress("self-test", None)
            rows = _rows(spec, network, graph, device)
        except BackendError:
            raise
        except Exception as error:  # ONNX Runtime's classes have nothing in common but this
            if is_out_of_memory(error) or "allocate memory" in str(error):
                raise MemoryError(str(error)) from error
            cache.discard(path)
            if new:
                raise refused(spec, first_line(error), error, _or_else(network)) from error
            continue
        graph.release()
        return graph, rows


def _exported(checkpoint: Checkpoint, network: Any, progress: Progress) -> tuple[Path, bool]:
    """The folder of the graph, and whether it was made now."""
    made = []

    def convert(folder: Path) -> None:
        made.append(folder)
        exporter = importlib.import_module("backends.hf.onnx.export")  # takes seconds, and is seldom needed
        try:
            exporter.export(network, folder)
        except Exception as error:
            if is_out_of_memory(error) or isinstance(error, OSError):
                raise
            why = f"the export failed: {first_line(error)}"
            raise refused(checkpoint.spec, why, error) from error

    key = _key(checkpoint, network)
    return cache.folder(cache_dir() / "onnx", key, convert, progress), bool(made)


def _open(
    path: Path, checkpoint: Checkpoint, network: Any, chosen: list[Any], threads: int
) -> onnxruntime.InferenceSession:
    inputs = _inputs(path)
    if checkpoint.options.provider == "tensorrt":
        chosen[0][1].update(_profile(checkpoint, network, inputs))
    session = onnxruntime.InferenceSession(path / GRAPH, providers.settings(threads), chosen)
    providers.check(checkpoint.spec.name, chosen, session.get_providers())
    return session


def _or_else(network: Any) -> str:
    """What may help besides: many of its operations exist in few types."""
    return "" if network.dtype == torch.float32 else ", or set its dtype to float32"


def _rows(spec: ModelSpec, network: Any, graph: Graph, device: str) -> RowsChoice:
    """Rows that run on ``graph``; raises ``ValueError`` if it does not compute what ``network`` does."""
    make = partial(CausalRows, graph)
    if not selftest.passes(network, make, together=True):
        raise ValueError("its answers differ from transformers' generate")
    parts = divisible(network.config) and selftest.divides(graph, make)
    note = f"runs on ONNX Runtime, {graph.provider}"
    slots = spec.slots or (CPU_SLOTS if device == "cpu" else GPU_SLOTS)
    return RowsChoice(make, slots, True, (note,), divisible=parts)


def _key(checkpoint: Checkpoint, network: Any) -> str:
    source = checkpoint.source
    # What files cannot tell of a model from the hub, its name and its commit do.
    origin = "" if source.local else f"{source.name} {getattr(checkpoint.config, '_commit_hash', None)}"
    return cache.key(
        source.files(),
        f"revision {REVISION}",
        origin,
        str(network.dtype),
        network.device.type,
        str(network.config._attn_implementation),
        *(f"{package} {_version(package)}" for package in _PACKAGES),
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        # ONNX Runtime comes in packages of several names.
        return str(importlib.import_module(package).__version__)


def _inputs(folder: Path) -> dict[str, list[int]]:
    """The graph's inputs with their dimensions, 0 where they vary.

    Raises ``ValueError`` for a graph that would read another file than its own weights.
    """
    if any(file.is_symlink() or not file.is_file() for file in folder.iterdir()):
        raise ValueError("a file of it lies elsewhere")
    model = onnx.load(folder / GRAPH, load_external_data=False)
    for tensor in _tensors(model):
        for entry in tensor.external_data:
            if entry.key == "location" and entry.value != WEIGHTS:
                raise ValueError(f"its {tensor.name} is to be read from {entry.value!r}")
    return {
        entry.name: [size.dim_value for size in entry.type.tensor_type.shape.dim]
        for entry in model.graph.input
    }


def _profile(checkpoint: Checkpoint, network: Any, inputs: dict[str, list[int]]) -> dict[str, str]:
    """For TensorRT; samples and beams may make more rows than these, and slower steps then."""
    context, _ = limits(network.config)
    rows = max(checkpoint.spec.slots or GPU_SLOTS, GPU_SLOTS)
    half = {"trt_fp16_enable": "1"} if network.dtype == torch.float16 else {}
    return half | providers.profile(inputs, rows, checkpoint.options.prefill_tokens, context or _CONTEXT)


def _tensors(message: Any) -> Iterator[Any]:
    """All there are in a message, however deep."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if isinstance(value, Sequence) else [value]:
                yield from _tensors(part)
