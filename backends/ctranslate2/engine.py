"""The engine: requests wait for a call of CTranslate2, which serves many at once and tells of each token."""

import time
from collections.abc import Callable, Sequence

from backends.base import BackendError
from backends.ctranslate2.asked import Reader
from backends.ctranslate2.calls import Call
from backends.ctranslate2.choice import Chooser
from backends.ctranslate2.library import Feed, Library, Search
from backends.ctranslate2.member import Member
from backends.ctranslate2.plan import Plan
from backends.ctranslate2.waiting import Waiting
from backends.faults import end, first_line, is_out_of_memory, while_generating
from backends.outbox import Outbox
from repl.messages import Capabilities, Event, Failed, Request

_NAP = 0.0002
"""Seconds for which requests on the way are waited for at a time."""
_PATIENCE = 0.02
"""Seconds that a step waits for news of a call: so late a cancelled request is noticed."""


class CTranslate2Engine:
    """A ``backends.base.BatchingEngine`` over one converted model."""

    def __init__(
        self,
        library: Library,
        reader: Reader,
        capabilities: Capabilities,
        device: str,
        *,
        token_scores: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.capabilities = capabilities
        self._library, self._reader = library, reader
        self._token_scores = token_scores
        self._device = device
        self._chooser = Chooser(reader, len(reader.pieces))
        self._arrived: list[Request] = []
        self._clock = clock
        self._began = 0.0
        self._waiting = Waiting(device, library.causal, library.size, clock)
        self._call: Call | None = None
        self._left: Call | None = None
        """One that nobody waits for any more."""
        self._outbox = Outbox()

    def admit(self, request: Request) -> None:
        """See ``BatchingEngine``."""
        self._arrived.append(request)

    def cancel(self, request_id: int) -> None:
        """See ``BatchingEngine``. A beam search goes on to its end, but nobody waits for it."""
        self._arrived = [request for request in self._arrived if request.id != request_id]
        self._waiting.remove(request_id)
        self._outbox.forget(request_id)
        for member in self._call.members if self._call is not None else ():
            if member.request.id == request_id:
                member.dropped = member.cancelled = True
        if self._call is not None and self._call.is_unwanted and not self._is_busy_in_vain:
            self._left, self._call = self._call, None

    @property
    def _is_busy_in_vain(self) -> bool:
        """One such search at a time: the library has a worker for it, and the device has its price."""
        return self._left is not None and self._left.is_running

    def step(self) -> Sequence[Event]:
        """See ``BatchingEngine``: what has happened in the call that runs, or the beginning of the next."""
        self._receive()
        if self._call is not None:
            # With events on their way out there is no time to wait.
            self._outbox.put(self._call.wait(0.0 if self._outbox else _PATIENCE))
            if self._call.over:
                self._land(self._call)
        else:
            self._start(0)
            if self._call is None and len(self._waiting):
                time.sleep(_NAP)
        return self._outbox.take()

    def warm_up(self) -> None:
        """Answer once, so that the first request does not pay for what is done only once."""
        last = self._library.size - 1
        self._library.decode([Feed([last], [], (last,))], Search(ahead=2), self._reader.ends)

    def _receive(self) -> None:
        """Read the lines that have come."""
        arrived, self._arrived = self._arrived, []
        for request in arrived:
            try:
                self._outbox.put(self._taken(request))
            except Exception as error:
                told = while_generating(error, "CTranslate2", request.params.beam, 0)
                self._outbox.put([Failed(id=request.id, error=told.error)])

    def _taken(self, request: Request) -> list[Event]:
        if request.task == "tokenize":
            return self._reader.tokenize(request)
        asked = self._reader.read(request)
        plan = Plan.of(request, self._reader, self._library.size, self._token_scores)
        member = Member(request, asked, plan, self._reader, self._library.causal)
        events = member.begin()
        if not member.dropped:
            self._waiting.add(member)
        return events

    def _start(self, running: int) -> None:
        if members := self._waiting.next(running):
            self._began = self._clock()
            self._call = Call(self._library, self._reader, self._chooser, members, members[0].way)

    def _land(self, call: Call) -> None:
        """A call is over: who is not complete waits for the next one."""
        self._call = None
        if call.way == "beams":  # the others are told of token by token, and end sooner or later
            self._waiting.took(call.tokens, self._clock() - self._began)
        going = [member for member in call.members if not member.dropped]
        if call.error is not None:
            self._outbox.put(self._broken_off(going, call.error))
            going = [member for member in going if not member.dropped]
        for member in going:
            self._waiting.add(member)
        self._start(len(call.members))

    def _broken_off(self, members: Sequence[Member], error: Exception) -> list[Event]:
        """Who was alone in a call that broke has failed; of several each goes on alone."""
        if self._device != "cpu" and not isinstance(error, BackendError) and not is_out_of_memory(error):
            self._end_if_lost()
        if len(members) > 1:
            for member in members:
                member.alone = True
            return []
        events: list[Event] = []
        for member in members:
            member.dropped = True
            told = while_generating(error, "CTranslate2", member.hypotheses, member.length)
            events.append(Failed(id=member.request.id, error=told.error))
        return events

    def _end_if_lost(self) -> None:
        """End the process if its GPU does nothing for it any more, as after a bad address."""
        try:
            self.warm_up()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                end(f"the GPU does nothing more for this process: {first_line(error)}")
