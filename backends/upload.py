"""From lists of the host to tensors of a device."""

from typing import Any

import torch
from torch import Tensor


def integers(values: Any, device: torch.device | str) -> Tensor:
    """An int64 tensor of ``values``, a number or lists of them."""
    return _sent(torch.tensor(values, dtype=torch.int64), device)


def floats(values: Any, like: Tensor) -> Tensor:
    """A tensor of ``values`` on the device of ``like`` and of its type."""
    return _sent(torch.tensor(values, dtype=like.dtype), like.device)


def _sent(made: Tensor, device: torch.device | str) -> Tensor:
    if torch.device(device).type == "cpu":
        return made
    # A copy from ordinary memory would wait until the device has done all that it was asked before.
    return made.pin_memory().to(device, non_blocking=True)
