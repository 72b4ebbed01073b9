"""Makes an ONNX graph of a decoder-only network with transformers' exporter.

One graph serves all: a prompt is a pass without a past, a step is a pass of one token.
"""

import inspect
import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

import onnx_ir
import torch
from torch.export import Dim
from transformers import DynamicCache
from transformers.exporters.exporter_onnx import OnnxConfig, OnnxExporter

from backends.hf.onnx.graph import GRAPH, WEIGHTS

_ROWS, _PAST, _NEW = 2, 5, 3
"""Of the pass that is traced. None is 1, and no two are equal, lest the graph hold for these sizes alone."""


def export(network: Any, folder: Path) -> None:
    """Write ``GRAPH`` and ``WEIGHTS`` into the new ``folder``; raises whatever the exporter does."""
    arguments, shapes = _sample(network)
    with _silently():
        made = OnnxExporter().export(
            network, arguments, config=OnnxConfig(dynamic=True, dynamic_shapes=shapes)
        )
    folder.mkdir()
    onnx_ir.save(made.program, folder / GRAPH, external_data=WEIGHTS)


def _sample(network: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Arguments as ``CausalRows`` gives them, and which of their dimensions vary."""
    cache = DynamicCache()
    with torch.no_grad():
        network(input_ids=_ones(network, _PAST), past_key_values=cache, use_cache=True)
    positions = torch.arange(_PAST, _PAST + _NEW, device=network.device)
    arguments = {
        "input_ids": _ones(network, _NEW),
        "attention_mask": _ones(network, _PAST + _NEW),
        "position_ids": positions.repeat(_ROWS, 1),
        "past_key_values": cache,
        "logits_to_keep": torch.tensor([0, _NEW - 1], device=network.device),
    }
    both = {0: Dim.AUTO, 1: Dim.AUTO}
    shapes: dict[str, Any] = {
        "input_ids": both,
        "attention_mask": both,
        "position_ids": both,
        "past_key_values": [{0: Dim.AUTO, 2: Dim.AUTO}] * 2 * len(cache.layers),
        "logits_to_keep": {0: Dim.AUTO},
    }
    taken = [name for name in arguments if name in inspect.signature(network.forward).parameters]
    return (
        {name: arguments[name] for name in taken} | {"use_cache": True},
        {name: shapes[name] for name in taken},
    )


def _ones(network: Any, length: int) -> torch.Tensor:
    return torch.ones(_ROWS, length, dtype=torch.int64, device=network.device)


@contextmanager
def _silently() -> Iterator[None]:
    """Without the exporter's report of its progress, which it prints, and its many remarks."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
