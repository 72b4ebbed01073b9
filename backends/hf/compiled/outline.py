"""A step without its numbers: what a compiler has to know of it, and no memory taken."""

import io
import pickle
from typing import Any, BinaryIO

import torch
from torch import Tensor

SMALL = 16
"""Most numbers of a tensor that a compiler may look at: those of up to eight it writes into the code."""


def looked_at(tensor: Tensor) -> Any:
    """The numbers of a tensor that is small enough, on which what is compiled may depend; None for others."""
    return tensor.tolist() if tensor.numel() <= SMALL else None


def dumped(thing: Any) -> bytes:
    """``thing``, its tensors but for small ones without numbers; raises whatever cannot be written down."""
    stream = io.BytesIO()
    _Outliner(stream).dump(thing)
    return stream.getvalue()


def loaded(dump: bytes) -> Any:
    """What a process dumped that is trusted; large tensors hold anything, and no memory until written."""
    return _Filler(io.BytesIO(dump)).load()


class _Outliner(pickle.Pickler):
    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream, protocol=pickle.HIGHEST_PROTOCOL)
        self._seen: dict[int, Tensor] = {}

    def persistent_id(self, thing: Any) -> Any:
        if not isinstance(thing, Tensor):
            return None
        self._seen[id(thing)] = thing  # as long as it lives no other has its number
        weight = isinstance(thing, torch.nn.Parameter)
        return id(thing), weight, tuple(thing.shape), thing.stride(), thing.dtype, looked_at(thing)


class _Filler(pickle.Unpickler):
    """One tensor for each that there was: some parts of a network share theirs."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self._made: dict[int, Tensor] = {}

    def persistent_load(self, told: Any) -> Tensor:
        number, weight, shape, stride, dtype, numbers = told
        if number not in self._made:
            made = torch.empty_strided(shape, stride, dtype=dtype)
            if numbers is not None:
                made.copy_(torch.tensor(numbers, dtype=dtype))
            elif not dtype.is_floating_point:  # these may tell where something lies
                made.zero_()
            self._made[number] = torch.nn.Parameter(made, requires_grad=False) if weight else made
        return self._made[number]
