"""A token more for so many rows, always of the same shapes and at the same addresses."""

from bisect import insort
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from backends.hf.compiled.buffer import Buffer, Held, cache
from backends.hf.state.rows import integers


class Pass(torch.nn.Module):  # type: ignore[misc]
    """What is compiled or captured: the forward pass of one token for each slot."""

    network: Any
    columns: Tensor

    def __init__(self, network: Any, length: int) -> None:
        """Over slots of ``length`` tokens."""
        super().__init__()
        self.network = network
        self.register_buffer("columns", torch.arange(length, device=network.device), persistent=False)

    def forward(self, tokens: Tensor, places: Tensor, held: Held) -> Tensor:
        """Logits ``[slots, new, vocab]`` after ``tokens`` ``[slots, new]``, which are read to ``places``."""
        dtype = self.network.dtype
        seen = self.columns <= places[:, None, :, None]
        nothing = torch.zeros((), dtype=dtype, device=tokens.device)
        mask = torch.where(seen, nothing, torch.finfo(dtype).min)
        out = self.network(
            input_ids=tokens,
            attention_mask=mask,
            position_ids=places,
            past_key_values=cache(held, places),
            use_cache=True,
        )
        logits: Tensor = out.logits.float()
        return logits


class Step:
    """For one number of rows."""

    def __init__(self, eager: Pass, buffer: Buffer, rows: int) -> None:
        """Eager, until it is told what to use instead."""
        self.rows = rows
        self.eager = eager
        self.tokens = integers([[0]] * rows, eager.network)
        self.positions = integers([[0]] * rows, eager.network)
        self._held = buffer.slots(0, rows)
        self._compute = self.eagerly

    @property
    def inputs(self) -> tuple[Tensor, Tensor, Held]:
        """What a pass reads beside the network, and where it writes; the same tensors always."""
        return self.tokens, self.positions, self._held

    def use(self, compute: Callable[[], Tensor]) -> None:
        """Have ``compute`` do what ``eagerly`` does, with the same tensors."""
        self._compute = compute

    def eagerly(self) -> Tensor:
        """Logits ``[rows, 1, vocab]``."""
        logits: Tensor = self.eager(*self.inputs)
        return logits

    def run(self, tokens: Tensor, slots: Sequence[int], positions: Sequence[int]) -> Tensor:
        """See ``Steps.run``; the slots that nobody has read a token at place 0, which says nothing."""
        places = dict(zip(slots, positions, strict=True))
        told = integers([*(places.get(slot, 0) for slot in range(self.rows)), *slots], self.eager.network)
        own = told[self.rows :]
        self.positions.copy_(told[: self.rows, None])
        self.tokens.index_copy_(0, own, tokens[:, None])
        return self._compute()[:, -1].index_select(0, own)


class Steps:
    """The steps over one buffer that can be used, of which there may come more."""

    def __init__(self, eager: Pass, buffer: Buffer) -> None:
        self.buffer = buffer
        self._eager = eager
        self._ready: list[Step] = []

    @property
    def rows(self) -> list[int]:
        """Of each step, least first."""
        return [step.rows for step in self._ready]

    @property
    def most(self) -> int:
        """Rows that a step can be had for."""
        return self._ready[-1].rows if self._ready else 0

    def take(self, step: Step) -> None:
        """Use this one too."""
        insort(self._ready, step, key=lambda step: step.rows)

    def run(self, tokens: Tensor, slots: Sequence[int], positions: Sequence[int]) -> Tensor:
        """Add one token to each row, int64 ``[rows]``; returns logits ``[rows, vocab]``.

        A row lies in its slot and is so far at its position; the slots are the first ones, in any order.
        """
        step = next(step for step in self._ready if step.rows >= len(slots))
        return step.run(tokens, slots, positions)

    def feed(self, tokens: Sequence[int], slot: int, start: int) -> Tensor:
        """Add several tokens to one row, eagerly; returns logits ``[tokens, vocab]``."""
        network = self._eager.network
        places = integers([list(range(start, start + len(tokens)))], network)
        logits: Tensor = self._eager(integers([list(tokens)], network), places, self.buffer.slots(slot, 1))
        return logits[0]
