"""The engine: requests come, share forward passes, and go.

One call of ``step`` adds a token to every running request and reads a part of the prompts of new ones, as
much as ``prefill_tokens`` allows: a long prompt takes several steps, between which the others go on. Requests
to a decoder-only model share one batch, which they join and leave between steps. What needs a batch of its
own gets one and advances beside it: beams, the exact lane, models whose state cannot be joined.
"""

from collections import deque
from collections.abc import Callable, Sequence
from itertools import count

import msgspec
import torch

from backends.faults import is_out_of_memory
from backends.hf.answer import Answer
from backends.hf.batch import Batch
from backends.hf.batches import Batches
from backends.hf.beams import BeamSearch
from backends.hf.events import failed
from backends.hf.kinds import Background
from backends.hf.model import Model
from backends.hf.probes.attention import Attentive
from backends.hf.probes.lens import Looking
from backends.hf.probes.scoring import Scoring
from backends.hf.probes.tokenizing import tokenize
from backends.hf.reading import Reading, Work, known_tokens, text_of
from backends.hf.reserve import Reserve
from backends.hf.state.causal import Snapshot
from backends.hf.state.prefixes import PrefixStore
from backends.hf.work import check, work_of
from backends.outbox import Outbox
from repl.messages import Capabilities, Event, Request, Started

PREFIX_SHARE = 0.5
"""Of the memory for keys and values that finished texts may hold while nobody else needs it."""


class HuggingFaceEngine:
    """A ``backends.base.BatchingEngine`` over one loaded model."""

    def __init__(
        self, model: Model, capabilities: Capabilities, background: Background | None = None
    ) -> None:
        self.capabilities = capabilities
        self._model = model
        self._background = background
        self._notes = capabilities.notes
        """Beside those of the background."""
        self._wake: Callable[[], None] = lambda: None
        self._waiting: deque[Request] = deque()
        self._next: Work | Looking | None = None
        """The first of them, once it was looked at and found to want memory that is not free yet."""
        self._readings: deque[Reading] = deque()
        self._searches: list[BeamSearch] = []
        self._looks: deque[Looking] = deque()
        self._attentive = Attentive(model)
        self._outbox = Outbox()
        """What happened and is not yet told."""
        self._prefixes = None
        if model.divisible and model.cache_tokens is not None:
            self._prefixes = PrefixStore(int(model.cache_tokens * PREFIX_SHARE))
        self._batches = Batches(self._prefixes, self.forget)
        self._reserve = Reserve(model, self._prefixes)
        self._away: deque[Answer] = deque()
        """Those that stepped back, oldest first."""
        self._numbers = count()
        self._tell()

    @property
    def preparing(self) -> bool:
        """See ``backends.base.Preparing``."""
        return self._background is not None and self._background.pending

    def attend(self, wake: Callable[[], None]) -> None:
        """See ``backends.base.Preparing``."""
        self._wake = wake
        if self._background is not None:
            self._background.attend(wake)

    def admit(self, request: Request) -> None:
        """See ``BatchingEngine``."""
        self._waiting.append(request)

    def cancel(self, request_id: int) -> None:
        """See ``BatchingEngine``."""
        self._waiting = deque(request for request in self._waiting if request.id != request_id)
        if self._next is not None and self._next.request.id == request_id:
            self._next = None
        for reading in self._readings:
            reading.drop(request_id)
        self._readings = deque(reading for reading in self._readings if reading.works)
        self._searches = [search for search in self._searches if search.request.id != request_id]
        for answer in self._batches.answers:
            answer.cancelled |= answer.request.id == request_id
        with torch.inference_mode():
            self._outbox.put(self._compact())
        self._looks = deque(look for look in self._looks if look.request.id != request_id)
        self._away = deque(answer for answer in self._away if answer.request.id != request_id)
        self._attentive.forget(request_id)
        self._outbox.forget(request_id)

    def step(self) -> Sequence[Event]:
        """See ``BatchingEngine``."""
        if self.preparing:
            self._prepare()
        with torch.inference_mode():
            stages = [self._grow, self._advance, self._start_waiting, self._read, self._look, self._compact]
            if self._outbox:  # large distributions are still on their way out
                stages.remove(self._read)
            for stage in stages:
                self._outbox.put(self._attentive.over(stage()))
        return self._outbox.take()

    def _prepare(self) -> None:
        """A piece of what goes on in the background; for the next one a step is called for."""
        assert self._background is not None
        if self._background.advance(self._batches.sharing or bool(self._running())):
            self._wake()
        self._tell()

    def _tell(self) -> None:
        """Say how far the background is."""
        if self._background is not None:
            notes = (*self._notes, *self._background.notes)
            if notes != self.capabilities.notes:
                self.capabilities = msgspec.structs.replace(self.capabilities, notes=notes)

    def _running(self) -> list[Work | Looking]:
        """Everything that has a slot."""
        reading = [work for reading in self._readings for work in reading.works]
        started = [*reading, *self._searches, *self._looks]
        return [*started, *self._batches.answers]

    def _start_waiting(self) -> list[Event]:
        """Take in as many waiting requests as there are slots and memory for, in their order."""
        events: list[Event] = []
        self._return()
        if self._away or not self._waiting:  # nobody passes who stepped back
            return events
        account = self._reserve.account(self._running())
        while self._waiting and len(account) < self.capabilities.slots:
            request = self._waiting[0]
            try:
                check(self._model, self.capabilities.tasks, request)
                if request.task == "tokenize":
                    events += tokenize(self._model.codec, request, translates=self._model.seq2seq)
                    self._waiting.popleft()
                    continue
                work = self._next or work_of(self._model, request)
                if self._next is None:
                    self._reserve.begin(work)
                self._next = work
                if not account.admits(work):
                    break
                events.append(self._enqueue(work))
                account.add(work)
            except Exception as error:  # a request must not take its neighbours along
                events.append(failed(request, error))
            if self._waiting and self._waiting[0] is request:
                self._waiting.popleft()
            self._next = None
        return events

    def _grow(self) -> list[Event]:
        """Room for the next token of each answer, oldest first; where there is none, the newest step back."""
        short = [answer for answer in self._batches.answers if answer.full]
        if not short:
            return []
        for answer in sorted(short, key=_age):
            running = self._running()
            while not answer.settled and not self._reserve.extends(running, answer):
                unsettled = [work for work in running if isinstance(work, Answer) and not work.settled]
                newest = max(unsettled, key=_age)
                self._step_back(newest)
                running = [work for work in running if work is not newest]
        events = self._compact()
        self._batches.reserve()
        return events

    def _step_back(self, answer: Answer) -> None:
        """Have ``answer`` wait, with what it has written, until there is room for all it may write."""
        answer.step_back()
        self._away.appendleft(answer)  # it is older than all that did so before
        for reading in [reading for reading in self._readings if answer in reading.works]:
            self._readings.remove(reading)
            if rest := [work for work in reading.works if work is not answer]:
                self._readings.append(Reading(self._model, rest))

    def _return(self) -> None:
        """Have those who stepped back read again, in their order, once there is room for them."""
        while self._away and self._reserve.account(self._running()).admits(self._away[0]):
            answer = self._away.popleft()
            answer.away = False
            self._readings.append(Reading(self._model, [answer], self._known(answer)))

    def _known(self, work: Work) -> Snapshot | None:
        """What an old text left of the beginning of what ``work`` reads."""
        if self._prefixes is None or work.request.lane != "fast":
            return None
        return self._prefixes.find([*text_of(work), *known_tokens(work)])

    def _enqueue(self, work: Work | Looking) -> Started:
        """Have a prompt read: from where an old text parts from it, or with others, where one pass does."""
        if isinstance(work, Looking):
            self._looks.append(work)
            return work.started()
        self._attentive.watch(work.request, work.prompt.ids)
        if isinstance(work, Answer):
            work.number = next(self._numbers)
        prefix = self._known(work)
        for reading in self._readings:
            if reading.takes(work, 0 if prefix else self._model.prefill_tokens):
                reading.add(work)
                return work.started()
        reading = Reading(self._model, [work], prefix)
        self._readings.append(reading)
        return msgspec.structs.replace(work.started(), reused=min(reading.rows.length, len(work.prompt.ids)))

    def _read(self) -> list[Event]:
        """Read from prompts, in turn, what one step allows."""
        events: list[Event] = []
        budget = left = self._model.prefill_tokens
        while self._readings and left > 0:
            reading = self._readings[0]
            count = reading.part(left, budget)
            if count > left and left < budget:
                break
            left -= count
            self._readings.popleft()
            try:
                reading.advance(count)
                events += reading.tell()
                if reading.done:
                    events += self._begin(reading)
                else:
                    self._readings.append(reading)
            except Exception as error:
                events += self._apart(reading, error)
        return events

    def _look(self) -> list[Event]:
        """A part of one lens, in turn."""
        if not self._looks:
            return []
        look = self._looks.popleft()
        try:
            events = look.advance()
        except Exception as error:
            return [failed(look.request, error, 1, look.demand.length)]
        if not look.done:
            self._looks.append(look)
        return list(events)

    def _apart(self, reading: Reading, error: Exception) -> list[Event]:
        """After a failure: prompts that were too much together are read one by one."""
        if is_out_of_memory(error):
            self.forget()
            if len(reading.works) > 1:
                self._readings.extendleft(Reading(self._model, [work]) for work in reversed(reading.works))
                return []
        rows = reading.rows
        return [failed(work.request, error, rows.size, rows.length) for work in reading.works]

    def _begin(self, reading: Reading) -> list[Event]:
        """From prompts that are read to running requests."""
        assert reading.logits is not None
        first = reading.works[0]
        if isinstance(first, Scoring):
            return []
        if isinstance(first, BeamSearch):
            events = first.begin(reading.rows, reading.logits, reading.choices)
            self._searches.append(first)
            return events
        answers = [work for work in reading.works if isinstance(work, Answer)]
        batch = Batch(reading.rows, answers)
        events = batch.begin(reading.logits, reading.sources, reading.choices)
        alone = first.request.lane == "exact" or all(answer.done for answer in answers)
        self._batches.add(batch, alone=alone)
        return events

    def _advance(self) -> list[Event]:
        """One token for every running request."""
        events = self._batches.advance()
        for search in list(self._searches):
            try:
                events += search.advance()
            except Exception as error:
                events.append(failed(search.request, error, search.request.params.beam))
                search.done = True
        return events

    def forget(self) -> bool:
        """Let go of all finished texts; whether there were any."""
        forgot = self._prefixes is not None and self._prefixes.shrink(0)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return forgot

    def _compact(self) -> list[Event]:
        """Let go of what is over."""
        events = self._batches.compact()
        self._searches = [search for search in self._searches if not search.done]
        return events


def _age(answer: Answer) -> int:
    return answer.number
