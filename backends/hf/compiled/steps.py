"""A token more for so many rows, always of the same shapes and at the same addresses."""

from bisect import insort
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from backends.hf.compiled.buffer import Buffer, Held, cache
from backends.hf.state.rows import integers


class Size(NamedTuple):
    """What a step has room for; all of it is computed, whoever is there."""

    rows: int
    length: int
    """Tokens of each row, the one that is read among them."""


class Pass(torch.nn.Module):  # type: ignore[misc]
    """What is compiled or captured: the forward pass of one token for each slot."""

    network: Any
    columns: Tensor

    def __init__(self, network: Any, length: int) -> None:
        """Over slots of up to ``length`` tokens."""
        super().__init__()
        self.network = network
        self.register_buffer("columns", torch.arange(length, device=network.device), persistent=False)

    def forward(self, tokens: Tensor, places: Tensor, held: Held) -> Tensor:
        """Logits ``[slots, new, vocab]`` after ``tokens`` ``[slots, new]``, which are read to ``places``."""
        dtype = self.network.dtype
        length = held[0][0].shape[2]
        seen = self.columns[:length] <= places[:, None, :, None]
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
    """For one number of rows, and the beginning of their slots or all of these."""

    def __init__(self, eager: Pass, buffer: Buffer, rows: int, length: int | None = None) -> None:
        """Eager, until it is told what to use instead."""
        self.size = Size(rows, length or buffer.length)
        self.eager = eager
        self.tokens = integers([[0]] * rows, eager.network)
        self.positions = integers([[0]] * rows, eager.network)
        self._held = buffer.slots(0, rows, length)
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
        rows = self.size.rows
        told = integers([*(places.get(slot, 0) for slot in range(rows)), *slots], self.eager.network)
        own = told[rows:]
        self.positions.copy_(told[:rows, None])
        self.tokens.index_copy_(0, own, tokens[:, None])
        return self._compute()[:, -1].index_select(0, own)


class Steps:
    """The steps over one buffer that can be used, of which there may come more."""

    def __init__(self, eager: Pass, buffer: Buffer) -> None:
        self.buffer = buffer
        self._eager = eager
        self._ready: list[Step] = []

    @property
    def sizes(self) -> list[Size]:
        """Of each step, least first."""
        return [step.size for step in self._ready]

    def take(self, step: Step) -> None:
        """Use this one too."""
        insort(self._ready, step, key=lambda step: step.size.rows * step.size.length)

    def fits(self, rows: int, length: int) -> bool:
        """Whether so many rows of up to ``length`` tokens can be given one more."""
        return self._least(rows, length) is not None

    def run(self, tokens: Tensor, slots: Sequence[int], positions: Sequence[int]) -> Tensor:
        """Add one token to each row, int64 ``[rows]``; returns logits ``[rows, vocab]``.

        A row lies in its slot and is so far at its position; the slots are the first ones, in any order.
        """
        step = self._least(len(slots), max(positions))
        assert step is not None
        return step.run(tokens, slots, positions)

    def feed(self, tokens: Sequence[int], slot: int, start: int) -> Tensor:
        """Add several tokens to one row, eagerly; returns logits ``[tokens, vocab]``."""
        network = self._eager.network
        places = integers([list(range(start, start + len(tokens)))], network)
        logits: Tensor = self._eager(integers([list(tokens)], network), places, self.buffer.slots(slot, 1))
        return logits[0]

    def _least(self, rows: int, length: int) -> Step | None:
        """The smallest that is large enough."""
        fitting = (step for step in self._ready if step.size.rows >= rows and step.size.length > length)
        return next(fitting, None)
