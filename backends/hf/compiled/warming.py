"""Takes steps into use one after another, while the replica serves with eager ones.

The engine calls ``advance`` between two of its own steps, and then one piece of the work is done: a step is
opened, or recorded, or one forward pass of the test is made that it has to pass.
"""

from collections.abc import Callable, Generator
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from backends.faults import first_line
from backends.hf import selftest
from backends.hf.compiled.rows import Place, StaticRows
from backends.hf.compiled.steps import Size, Step, Steps
from backends.hf.state.causal import CausalRows

DIFFERS = "their answers differ from eager ones"


class Candidate(NamedTuple):
    """A step that may be used, once it is seen to compute what it should."""

    step: Step
    open: Callable[[], Callable[[], Tensor]]
    """Returns what computes it; raises what it likes."""
    discard: Callable[[], None]
    """Called if it turns out to be of no use."""


class Source(Protocol):
    """Makes steps."""

    how: str
    """In a word or two."""

    def attend(self, wake: Callable[[], None]) -> None:
        """Begin; ``wake`` is called, from any thread, when ``take`` may have one."""
        ...

    def take(self, running: int) -> Candidate | None:
        """The next, if there is one now, with ``running`` rows to compute at this time."""
        ...


class Warming:
    """See ``backends.hf.kinds.Background``."""

    def __init__(self, steps: Steps, place: Place, source: Source, wanted: list[Size]) -> None:
        """``source`` will make a step of each size in ``wanted``."""
        self._steps = steps
        self._place = place
        self._source = source
        self._wanted = wanted
        self._refused: dict[Size, str] = {}
        self._trial: Generator[None, None, None] | None = None

    @property
    def pending(self) -> bool:
        """Whether there are steps still to come."""
        return len(self._steps.sizes) + len(self._refused) < len(self._wanted)

    @property
    def notes(self) -> tuple[str, ...]:
        """How far it is, and what does not go."""
        found = []
        ready = self._steps.sizes
        if self.pending:
            found.append(
                f"{self._source.how}: {len(ready)} of {len(self._wanted)} steps are ready, "
                "the others are made in the background and eager until then"
            )
        if ready:
            length = self._steps.buffer.length
            found.append(
                f"steps are {self._source.how} for batches of {self._listed(ready)}, up to {length} tokens; "
                "all else is eager"
            )
        for why in dict.fromkeys(self._refused.values()):
            sizes = [size for size, reason in self._refused.items() if reason == why]
            found.append(f"steps for batches of {self._listed(sizes)} stay eager: {why}")
        return tuple(found)

    def attend(self, wake: Callable[[], None]) -> None:
        """Begin; ``wake`` is called, from any thread, when ``advance`` has something to do."""
        self._source.attend(wake)

    def advance(self, running: int) -> bool:
        """Do one piece, beside so many rows that run; whether the next can be done at once."""
        if self._trial is None:
            candidate = self._source.take(running)
            if candidate is None:
                return running > 0  # it may be another matter once nothing runs
            self._trial = self._tried(candidate)
        try:
            with torch.inference_mode():
                next(self._trial)
        except StopIteration:
            self._trial = None
        if not self.pending and not self._steps.sizes:
            self._steps.buffer.release()
        return self.pending

    def _tried(self, candidate: Candidate) -> Generator[None, None, None]:
        """Use it if it can be opened and does what it should, and never raise."""
        step = candidate.step
        try:
            alone = Steps(step.eager, self._steps.buffer)
            mine = StaticRows(step.eager.network, alone, self._place)
            mine.share()
            self._place.take(mine)  # to open it may be to write there
            step.use(candidate.open())
            alone.take(step)
            yield
            theirs = CausalRows(step.eager.network)
            good = yield from selftest.agreement(step.eager.network, mine, theirs, step.size.rows)
            why = "" if good else DIFFERS
        except Exception as error:  # a compiler's classes, and torch's, have nothing in common but this
            why = first_line(error)
        if why:
            self._refused[step.size] = why
            candidate.discard()
        else:
            self._steps.take(step)

    def _listed(self, sizes: list[Size]) -> str:
        """Their numbers of rows, and the lengths of their texts where these are not all there are."""
        every = {size.length for size in self._wanted}
        found = []
        for rows in sorted({size.rows for size in sizes}):
            lengths = sorted(size.length for size in sizes if size.rows == rows)
            only = "" if len(lengths) == len(every) else f" ({', '.join(map(str, lengths))} tokens)"
            found.append(f"{rows}{only}")
        return ", ".join(found)
