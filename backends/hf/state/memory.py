"""Room for keys and values: how many tokens fit on the device, and how many a request holds or may hold.

Memory is counted in tokens, of all rows together and with their padding. Who may fill how much of it is said
in ``backends.hf.reserve``.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import NamedTuple

import psutil
import torch

from backends.base import BackendError
from backends.hf.state.causal import CausalRows
from backends.hf.state.rows import Rows
from backends.hf.state.seq2seq import Seq2SeqRows

GPU_SHARE = 0.8
"""Of the memory that is free once the model is loaded; the rest is for the computation itself."""
CPU_SHARE = 0.25
"""Of the available memory, which is not this replica's alone."""
_PROBE = 8
"""Tokens read to see how much they take."""


class Demand(NamedTuple):
    """What one request holds, or may come to hold."""

    rows: int
    length: int
    """Tokens of each row."""
    joins: bool
    """Shares a batch with others, padded to the longest of them."""


def tokens(demands: Iterable[Demand]) -> int:
    """Tokens, padding included, that all of ``demands`` together may come to hold.

    A batch that is padded on the left has the length of its longest row, now and whenever a row has left.
    """
    joint, apart = [], 0
    for demand in demands:
        if demand.joins:
            joint.append(demand)
        else:
            apart += demand.rows * demand.length
    longest = max((demand.length for demand in joint), default=0)
    return apart + longest * sum(demand.rows for demand in joint)


def check(demand: Demand, capacity: int) -> None:
    """Refuse what would not even fit alone."""
    need = demand.rows * demand.length
    if need > capacity:
        rows = f" ({demand.rows} rows of {demand.length})" if demand.rows > 1 else ""
        raise BackendError(
            "out_of_memory",
            f"prompt and answer may come to {need} tokens{rows}; there is memory for {capacity}",
            "lower max_new, n or beam, or shorten the prompt; options: cache_tokens sets another limit",
        )


def capacity(
    make: Callable[[], Rows], beside: Callable[[], Rows] | None = None, share: float = 1.0
) -> int | None:
    """Tokens that fit into the memory that is free now; None where the state does not grow with them.

    What is held ``beside`` may have to hold the same tokens; ``share`` is the part of a GPU that is this
    replica's.
    """
    size = _size(make)
    more = _size(beside) if beside is not None else None
    if size is None:
        return None
    total = size + (more or Counter())
    return int(min(_free(device, share) / each for device, each in total.items()))


def _size(make: Callable[[], Rows]) -> Counter[torch.device] | None:
    """Bytes of a token's keys and values on each device; None where there are none."""
    rows = make()
    with torch.inference_mode():
        rows.prefill([[0] * _PROBE])
    if not isinstance(rows, CausalRows | Seq2SeqRows):
        return None
    tokens = _PROBE + (rows.length if isinstance(rows, Seq2SeqRows) else 0)
    return Counter({device: -(-size // tokens) for device, size in rows.memory.items()})


def _free(device: torch.device, share: float) -> float:
    """Bytes that may be filled."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        return float(torch.cuda.mem_get_info(device)[0] * GPU_SHARE * share)
    return float(psutil.virtual_memory().available * CPU_SHARE)
