"""Where steps come from: a compiler beside the replica on a CPU, CUDA graphs on a GPU."""

import queue
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import torch
from torch import Tensor

from backends.hf.compiled import packages
from backends.hf.compiled.steps import Step
from backends.hf.compiled.warming import Candidate

_WARM_UP = 3
"""Passes before a capture, in which libraries choose their kernels and take their memory."""


class Compiling:
    """Steps for a CPU, the smallest first: a request that is alone is the most frequent."""

    how = "compiled"

    def __init__(self, steps: Sequence[Step], threads: int) -> None:
        """To compute on so many threads."""
        self._steps = sorted(steps, key=lambda step: step.size)
        self._threads = threads
        self._made: queue.SimpleQueue[Candidate] = queue.SimpleQueue()

    def attend(self, wake: Callable[[], None]) -> None:
        """See ``Source``."""
        packed = []
        steps, self._steps = self._steps, []  # with those that turn out to be of no use goes their memory
        for step in steps:
            try:
                packed.append((step, packages.Package(step, self._threads)))
            except Exception as error:  # pickle's, of a network with something in it that cannot be told
                self._made.put(_hopeless(step, error))
        wake()
        threading.Thread(target=self._make, args=(packed, wake), name="compiling", daemon=True).start()

    def take(self, running: int) -> Candidate | None:
        """See ``Source``."""
        try:
            return self._made.get_nowait()
        except queue.Empty:
            return None

    def _make(self, packed: Sequence[tuple[Step, packages.Package]], wake: Callable[[], None]) -> None:
        """Thread: waits for other processes, and does not use torch."""
        for step, package in packed:
            try:
                folder = package.folder()
                opened = partial(packages.opened, folder, step)
                made = Candidate(step, opened, partial(packages.discard, folder))
            except Exception as error:
                made = _hopeless(step, error)
            self._made.put(made)
            wake()


class Capturing:
    """CUDA graphs. To record one takes a moment, in which nothing else runs.

    While requests run, only the steps for so many rows are recorded, those for short texts first; while none
    do, the others, and of these the largest first, whose memory the smaller ones share.
    """

    how = "CUDA graphs"

    def __init__(self, steps: Sequence[Step]) -> None:
        self._left = {step.size: step for step in steps}
        self._rows = sorted({step.size.rows for step in steps})
        self._pool: Any = None
        self._spoilt: tuple[Any, str] | None = None
        """A graph whose recording broke off, and why."""

    def attend(self, wake: Callable[[], None]) -> None:
        """See ``Source``."""
        wake()

    def take(self, running: int) -> Candidate | None:
        """See ``Source``."""
        left = sorted(self._left, reverse=True)
        if running and self._spoilt is None:
            rows = next((rows for rows in self._rows if rows >= running), 0)
            left = sorted(size for size in self._left if size.rows == rows)
        if not left:
            return None
        step = self._left.pop(left[0])
        if self._spoilt is not None:  # torch does not vouch for what it is after a failure
            return _hopeless(step, RuntimeError(self._spoilt[1]))
        return Candidate(step, partial(self._captured, step), lambda: None)

    def _captured(self, step: Step) -> Callable[[], Tensor]:
        """Record the step's kernels, to launch them all at once; the graphs share their memory."""
        device = step.eager.network.device
        self._pool = self._pool or torch.cuda.graph_pool_handle()
        aside = torch.cuda.Stream(device)
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UP):
                step.eagerly()
        usual = torch.cuda.current_stream(device)
        usual.wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.device(device), torch.cuda.graph(graph, pool=self._pool):
                logits = step.eagerly()
        except Exception as error:
            if torch.cuda.current_stream(device) == usual:  # torch has cleared up: it was but short of memory
                raise
            cause = error.__context__ if isinstance(error.__context__, Exception) else error
            self._clear_up(graph, cause, usual)
            raise cause from None

        def replayed() -> Tensor:
            graph.replay()
            return logits

        return replayed

    def _clear_up(self, graph: Any, error: Exception, usual: Any) -> None:
        """What torch leaves undone where a recording breaks off: its stream and its claim to memory stay."""
        torch.cuda.set_stream(usual)
        with suppress(RuntimeError):
            torch._C._cuda_endAllocateToPool(usual.device_index, self._pool)
        self._spoilt = graph, str(error)  # and not what the error keeps alive


def _hopeless(step: Step, error: Exception) -> Candidate:
    """Of a step that could not be made: says so when it is opened."""

    def refuse() -> Callable[[], Tensor]:
        raise error

    return Candidate(step, refuse, lambda: None)
