"""All batches of an engine: the one that requests share, and those beside it."""

from collections.abc import Callable

from backends.faults import is_out_of_memory
from backends.hf.answer import Answer
from backends.hf.batch import Batch
from backends.hf.events import failed
from backends.hf.state.causal import CausalRows
from backends.hf.state.prefixes import PrefixStore
from repl.messages import Event


class Batches:
    """They advance together, one token a step; what one of them does wrong costs its requests alone."""

    def __init__(self, store: PrefixStore | None, forget: Callable[[], bool]) -> None:
        """``store`` keeps texts that are over; ``forget`` lets go of all, and says whether there were any."""
        self._store = store
        self._forget = forget
        self._batches: list[Batch] = []
        self._shared: Batch | None = None

    @property
    def answers(self) -> list[Answer]:
        """All that are being written."""
        return [answer for batch in self._batches for answer in batch.answers]

    @property
    def sharing(self) -> int:
        """Rows of the batch that requests share."""
        return self._shared.rows.size if self._shared is not None else 0

    def add(self, batch: Batch, *, alone: bool) -> None:
        """Have ``batch`` advance, beside the others if it is to be ``alone`` or cannot join them."""
        if alone or not self._joined(batch):
            self._batches.append(batch)

    def advance(self) -> list[Event]:
        """One token for every row."""
        events: list[Event] = []
        for batch in self._batches:
            try:
                events += batch.advance()
            except Exception as error:
                events += self._rescue(batch, error)
        return events

    def compact(self) -> list[Event]:
        """Let go of what is over."""
        events: list[Event] = []
        kept = []
        for batch in self._batches:
            try:
                batch.compact(self._store)
            except Exception as error:
                left = [answer for answer in batch.answers if not answer.away]
                events += _fail(batch, left, error)
                continue
            if batch.answers:
                kept.append(batch)
        self._batches = kept
        if self._shared not in kept:
            self._shared = None  # whose keys and values would stay as long
        return events

    def reserve(self) -> None:
        """Tell all rows what is granted to them."""
        for batch in self._batches:
            batch.reserve()

    def _joined(self, batch: Batch) -> bool:
        """Whether ``batch`` went into the shared one; where that fails it goes on beside it."""
        if not isinstance(batch.rows, CausalRows):
            return False
        if self._shared is None:
            self._shared = batch
            batch.rows.share()
            return False
        try:
            self._shared.join(batch)
        except Exception:  # out of memory, mostly; both batches are as they were
            return False
        return True

    def _rescue(self, batch: Batch, error: Exception) -> list[Event]:
        """Fail as few requests as possible after a step that raised."""
        victims = batch.answers
        if is_out_of_memory(error):
            forgot = self._forget()
            if (forgot or len(victims) > 1) and batch.retreat():
                victims = [] if forgot else victims[-1:]
        for answer in victims:
            answer.failed = True
        return _fail(batch, victims, error)


def _fail(batch: Batch, answers: list[Answer], error: Exception) -> list[Event]:
    return [failed(answer.request, error, batch.rows.size, batch.rows.length) for answer in answers]
