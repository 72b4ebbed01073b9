"""From a network to the graph that runs in its place: exported once, checked, opened, compared."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import onnxscript
import torch
import transformers

from backends import cache
from backends.base import Progress
from backends.faults import first_line, is_out_of_memory
from backends.hf import selftest
from backends.hf.causal import CausalRows
from backends.hf.kinds import CPU_SLOTS, GPU_SLOTS, RowsChoice, divisible, plain_cache
from backends.hf.network import Checkpoint
from backends.hf.onnx import providers, refused
from backends.hf.onnx.export import GRAPH, WEIGHTS, export
from backends.hf.onnx.graph import Graph
from repl.messages import ModelSpec
from repl.paths import cache_dir

REVISION = 1
"""Of the way a graph is made here; a new one leaves the old graphs unused."""


def replace(
    checkpoint: Checkpoint, network: Any, device: str, threads: int, progress: Progress
) -> tuple[Graph, RowsChoice]:
    """The graph to use instead of ``network``, which loses its weights; raises ``BackendError``."""
    if not plain_cache(network):
        raise refused(checkpoint.spec, "its state is more than keys and values")
    graph = _open(checkpoint, network, device, threads, progress)
    progress("self-test", None)
    rows = _rows(checkpoint.spec, network, graph, device)
    graph.release()
    return graph, rows


def _open(checkpoint: Checkpoint, network: Any, device: str, threads: int, progress: Progress) -> Graph:
    """The exported graph in ONNX Runtime. One that cannot be opened is made anew, once."""
    spec = checkpoint.spec
    chosen = providers.choose(
        spec.name, checkpoint.options.provider, device, onnxruntime.get_available_providers()
    )
    path = _exported(checkpoint, network, progress)
    for attempt in (1, 2):
        progress("ONNX Runtime", None)
        try:
            _check(path)
            session = onnxruntime.InferenceSession(path / GRAPH, providers.settings(threads), chosen)
            graph = Graph(session, network, device)
        except Exception as error:  # its own classes have nothing in common but this
            if is_out_of_memory(error) or "allocate memory" in str(error):
                raise MemoryError(str(error)) from error
            if attempt == 2:
                raise refused(spec, f"ONNX Runtime cannot open it: {first_line(error)}", error) from error
            cache.discard(path)
            path = _exported(checkpoint, network, progress)
            continue
        providers.check(spec.name, chosen, session.get_providers())
        return graph
    raise AssertionError


def _rows(spec: ModelSpec, network: Any, graph: Graph, device: str) -> RowsChoice:
    """Rows that run on ``graph``; refuses one that does not compute what ``network`` does."""
    make = partial(CausalRows, graph)
    if not selftest.passes(network, make, together=True):
        raise refused(spec, "its answers differ from transformers' generate")
    parts = divisible(network.config) and selftest.divides(graph, make)
    note = f"runs on ONNX Runtime, {graph.provider}"
    slots = spec.slots or (CPU_SLOTS if device == "cpu" else GPU_SLOTS)
    return RowsChoice(make, slots, True, (note,), divisible=parts)


def _exported(checkpoint: Checkpoint, network: Any, progress: Progress) -> Path:
    """The folder of the graph, made if it is not there."""

    def convert(folder: Path) -> None:
        try:
            export(network, folder)
        except Exception as error:
            if is_out_of_memory(error) or isinstance(error, OSError):
                raise
            raise refused(checkpoint.spec, f"the export failed: {first_line(error)}", error) from error

    return cache.folder(cache_dir() / "onnx", _key(checkpoint, network), convert, progress)


def _key(checkpoint: Checkpoint, network: Any) -> str:
    config = checkpoint.config
    return cache.key(
        checkpoint.source.files(),
        f"revision {REVISION}",
        checkpoint.source.name,
        str(getattr(config, "_commit_hash", None)),
        str(network.dtype),
        network.device.type,
        str(network.config._attn_implementation),
        *(f"{package.__name__} {package.__version__}" for package in _PACKAGES),
    )


_PACKAGES = (transformers, torch, onnx, onnxscript, onnxruntime)


def _check(folder: Path) -> None:
    """Raise ``ValueError`` for a graph that would read another file than its own weights."""
    if any(file.is_symlink() or not file.is_file() for file in folder.iterdir()):
        raise ValueError("a file of it lies elsewhere")
    for tensor in _tensors(onnx.load(folder / GRAPH, load_external_data=False)):
        for entry in tensor.external_data:
            if entry.key == "location" and entry.value != WEIGHTS:
                raise ValueError(f"its {tensor.name} is to be read from {entry.value!r}")


def _tensors(message: Any) -> Iterator[Any]:
    """All there are in a message, however deep."""
    if isinstance(message, onnx.TensorProto):
        yield message
        return
    for field, value in message.ListFields():
        if field.message_type is not None:
            for part in value if isinstance(value, Sequence) else [value]:
                yield from _tensors(part)
