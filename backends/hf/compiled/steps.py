"""A token more for so many rows, always of the same shapes and at the same addresses."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._inductor.runtime.cache_dir_utils import default_cache_dir
from transformers import Cache

from backends.hf.compiled.buffer import Buffer
from backends.hf.state.rows import integers
from repl.paths import cache_dir

_KEPT = "TORCHINDUCTOR_CACHE_DIR"
"""Where torch's compiler looks for what it made before; importing it may have set this."""
_WARM_UP = 3
"""Passes before a capture, in which libraries choose their kernels and take their memory."""


class Steps:
    """The buffer, and a step for each number of rows in ``buckets``."""

    def __init__(self, network: Any, buffer: Buffer, buckets: Sequence[int]) -> None:
        self.buffer = buffer
        self._network = network
        self._steps = [_Step(network, buffer, rows) for rows in sorted(buckets)]
        self._pool: Any = None

    @property
    def buckets(self) -> list[int]:
        """Rows of each step, least first."""
        return [step.rows for step in self._steps]

    def make_ready(self, rows: int) -> None:
        """Compile or capture the step for a bucket; until then it works, but slowly."""
        step = next(step for step in self._steps if step.rows == rows)
        with torch.inference_mode():
            if self._network.device.type == "cuda":
                self._pool = self._pool or torch.cuda.graph_pool_handle()
                step.capture(self._pool)
            else:
                step.compile()

    def run(self, tokens: Tensor, slots: Sequence[int], positions: Sequence[int]) -> Tensor:
        """Add one token to each row, int64 ``[rows]``; returns logits ``[rows, vocab]``.

        A row lies in its slot and is so far at its position; the slots are the first ones, in any order.
        """
        step = next(step for step in self._steps if step.rows >= len(slots))
        return step.run(tokens, slots, positions)

    def feed(self, tokens: Sequence[int], slot: int, start: int) -> Tensor:
        """Add several tokens to one row, eagerly; returns logits ``[tokens, vocab]``."""
        places = integers([list(range(start, start + len(tokens)))], self._network)
        cache = self.buffer.cache(slot, places)
        columns = torch.arange(self.buffer.length, device=places.device)
        return _forward(self._network, integers([list(tokens)], self._network), places, columns, cache)[0]


class _Step:
    """For one number of rows."""

    def __init__(self, network: Any, buffer: Buffer, rows: int) -> None:
        self.rows = rows
        self._network = network
        self._tokens = integers([[0]] * rows, network)
        self._positions = integers([[0]] * rows, network)
        self._columns = torch.arange(buffer.length, device=network.device)
        self._cache = buffer.cache(0, self._positions)
        self._pass: Callable[[], Tensor] = self._eagerly

    def run(self, tokens: Tensor, slots: Sequence[int], positions: Sequence[int]) -> Tensor:
        """See ``Steps.run``; the slots that nobody has read a token at place 0, which says nothing."""
        places = dict(zip(slots, positions, strict=True))
        told = integers([*(places.get(slot, 0) for slot in range(self.rows)), *slots], self._network)
        own = told[self.rows :]
        self._positions.copy_(told[: self.rows, None])
        self._tokens.index_copy_(0, own, tokens[:, None])
        return self._pass().index_select(0, own)

    def compile(self) -> None:
        """Have torch compile the step, which takes its time; raises whatever the compiler does."""
        self._pass = compiled(self._eagerly)
        self._pass()

    def capture(self, pool: Any) -> None:
        """Record the step's kernels, to launch them all at once; the steps' graphs share their memory."""
        device = self._network.device
        aside = torch.cuda.Stream(device)
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UP):
                self._eagerly()
        torch.cuda.current_stream(device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(device), torch.cuda.graph(graph, pool=pool):
            logits = self._eagerly()

        def replayed() -> Tensor:
            graph.replay()
            return logits

        self._pass = replayed

    def _eagerly(self) -> Tensor:
        """Logits ``[rows, vocab]``."""
        return _forward(self._network, self._tokens, self._positions, self._columns, self._cache)[:, -1]


def compiled(function: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """By torch's compiler, once for ever: nothing that it reads is of another shape the next time."""
    # What lies there is run: not in a folder of a known name that all can write to, which is the default.
    if os.environ.get(_KEPT, default_cache_dir()) == default_cache_dir():
        os.environ[_KEPT] = str(cache_dir() / "inductor")
    made: Callable[[], Tensor] = torch.compile(
        function,
        fullgraph=True,
        dynamic=False,
        options={
            "compile_threads": 1,  # no processes that would stay
            # The network stays as it is, and to look at each of its parts takes longer than many a step.
            "guard_filter_fn": torch.compiler.skip_guard_on_all_nn_modules_unsafe,
        },
    )
    return made


def _forward(network: Any, tokens: Tensor, places: Tensor, columns: Tensor, cache: Cache) -> Tensor:
    """Logits ``[rows, new, vocab]`` after ``tokens`` ``[rows, new]``, read into the cache at ``places``."""
    seen = columns <= places[:, None, :, None]
    nothing = torch.zeros((), dtype=network.dtype, device=tokens.device)
    mask = torch.where(seen, nothing, torch.finfo(network.dtype).min)
    out = network(
        input_ids=tokens, attention_mask=mask, position_ids=places, past_key_values=cache, use_cache=True
    )
    logits: Tensor = out.logits.float()
    return logits
