"""The engine: requests come, share forward passes, and go.

One call of ``step`` either reads the prompts of new requests or adds a token to every running one. Requests
to a decoder-only model share one batch, which they join and leave between steps. What needs a batch of its
own gets one and advances beside it: beams, the exact lane, models whose state cannot be joined.
"""

from collections import deque
from collections.abc import Sequence

import torch

from backends.hf.answer import Answer
from backends.hf.batch import Batch
from backends.hf.beams import BeamSearch
from backends.hf.causal import CausalRows
from backends.hf.errors import is_out_of_memory, while_generating
from backends.hf.model import Model
from backends.hf.prompt import Prompt, build
from repl.messages import Capabilities, Event, Failed, Request

PREFILL_BUDGET = 512
"""Prompt tokens, padding included, read in one forward pass; a longer prompt is read alone."""


class HuggingFaceEngine:
    """A ``backends.base.BatchingEngine`` over one loaded model."""

    def __init__(self, model: Model, capabilities: Capabilities) -> None:
        self.capabilities = capabilities
        self._model = model
        self._waiting: deque[Request] = deque()
        self._shared: Batch | None = None
        self._batches: list[Batch] = []
        """All batches, the shared one included."""
        self._searches: list[BeamSearch] = []
        self._late: list[Event] = []
        """What happened outside of ``step``."""

    def admit(self, request: Request) -> None:
        """See ``BatchingEngine``."""
        self._waiting.append(request)

    def cancel(self, request_id: int) -> None:
        """See ``BatchingEngine``."""
        self._waiting = deque(request for request in self._waiting if request.id != request_id)
        self._searches = [search for search in self._searches if search.request.id != request_id]
        for batch in self._batches:
            for answer in batch.answers:
                answer.cancelled |= answer.request.id == request_id
        with torch.inference_mode():
            self._late += self._compact()

    def step(self) -> Sequence[Event]:
        """See ``BatchingEngine``."""
        events, self._late = self._late, []
        with torch.inference_mode():
            started = self._start_waiting()
            events += started or self._advance()
            events += self._compact()
        return events

    def _start_waiting(self) -> list[Event]:
        """Begin as many waiting requests as there are slots, together where they can be."""
        events: list[Event] = []
        together: list[Answer] = []
        longest = 0
        free = self.capabilities.slots - len(self._searches) - sum(len(b.answers) for b in self._batches)
        while self._waiting and free > 0:
            request = self._waiting[0]
            try:
                prompt = build(self._model, request)
                longest = max(longest, len(prompt.ids))
                if together and longest * (len(together) + 1) > PREFILL_BUDGET:
                    break
                events += self._start(request, prompt, together)
                free -= 1
            except Exception as error:  # a request must not take its neighbours along
                events.append(_failed(request, error))
            self._waiting.popleft()
        return events + self._begin(together)

    def _start(self, request: Request, prompt: Prompt, together: list[Answer]) -> list[Event]:
        """Begin one request alone, or add it to those that begin together."""
        if request.params.beam > 1:
            search = BeamSearch(self._model, request, prompt)
            self._searches.append(search)
            return [search.started()]
        answer = Answer(self._model, request, prompt)
        if self._model.ragged and not prompt.forced and request.lane == "fast":
            together.append(answer)
            return [answer.started()]
        return [answer.started(), *self._begin([answer], alone=request.lane == "exact")]

    def _begin(self, answers: list[Answer], alone: bool = False) -> list[Event]:
        """Read the prompts of ``answers`` in one pass; ``alone`` keeps them apart from all others."""
        if not answers:
            return []
        batch = Batch(self._model.rows(), answers)
        try:
            events = batch.begin()
            batch.compact()
        except Exception as error:
            if len(answers) > 1 and is_out_of_memory(error):
                _release_memory()
                return [event for answer in answers for event in self._begin([answer], alone)]
            return [_failed(answer.request, error, batch) for answer in answers]
        if batch.answers and not (not alone and self._joined(batch)):
            self._batches.append(batch)
        return events

    def _joined(self, batch: Batch) -> bool:
        """Whether ``batch`` went into the shared one; where that fails it goes on beside it."""
        if not isinstance(batch.rows, CausalRows):
            return False
        if self._shared not in self._batches:
            self._shared = batch
            return False
        assert self._shared is not None
        try:
            self._shared.join(batch)
        except Exception:  # out of memory, mostly; both batches are as they were
            return False
        return True

    def _advance(self) -> list[Event]:
        """One token for every running request."""
        events: list[Event] = []
        for batch in self._batches:
            try:
                events += batch.advance()
            except Exception as error:
                events += _rescue(batch, error)
        for search in list(self._searches):
            try:
                events += search.advance()
            except Exception as error:
                events.append(_failed(search.request, error))
                search.done = True
        return events

    def _compact(self) -> list[Event]:
        """Let go of what is over."""
        events: list[Event] = []
        kept = []
        for batch in self._batches:
            try:
                batch.compact()
            except Exception as error:
                events += [_failed(answer.request, error, batch) for answer in batch.answers]
                continue
            if batch.answers:
                kept.append(batch)
        self._batches = kept
        self._searches = [search for search in self._searches if not search.done]
        return events


def _rescue(batch: Batch, error: Exception) -> list[Event]:
    """Fail as few requests as possible after a step that raised."""
    victims = batch.answers
    if is_out_of_memory(error) and len(victims) > 1 and batch.retreat():
        victims = victims[-1:]
    _release_memory()
    for answer in victims:
        answer.failed = True
    return [_failed(answer.request, error, batch) for answer in victims]


def _failed(request: Request, error: Exception, batch: Batch | None = None) -> Failed:
    rows, length = (batch.rows.size, batch.rows.length) if batch else (request.params.beam, 0)
    return Failed(id=request.id, error=while_generating(error, rows, length))


def _release_memory() -> None:
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
