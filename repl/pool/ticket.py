"""One submitted request and its life: queued, placed, streaming, then exactly one end.

The only place where a request changes state. A request whose replica dies goes back to queued when nothing
was shown, or when it is to continue after what was; nothing else goes backwards.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Literal

import msgspec

from repl.messages import (
    Error,
    Event,
    Failed,
    Finished,
    Lost,
    Request,
    Rewound,
    Started,
    Step,
    Stopped,
    Terminal,
)

TicketState = Literal["queued", "placed", "streaming", "finished", "stopped", "failed", "lost"]
StopReason = Literal["user", "deadline", "closing"]
OnLoss = Literal["lose", "continue"]
Sink = Callable[["Ticket", Event], None]

TERMINAL = (Finished, Stopped, Failed, Lost)
_ENDS: dict[type, TicketState] = {Finished: "finished", Stopped: "stopped", Failed: "failed", Lost: "lost"}


class Timings(msgspec.Struct):
    """When what happened, in seconds of ``time.monotonic``."""

    submitted: float
    placed: float | None = None
    """The last time, where it was placed more than once."""
    first: float | None = None
    """First step received."""
    ended: float | None = None
    queued: float | None = None
    """Came back to the queue for the last time, where it did."""
    waited: float = 0.0
    """Seconds in the queue before that."""

    @property
    def waiting_since(self) -> float:
        """Joined the queue for the last time."""
        return self.submitted if self.queued is None else self.queued

    @property
    def queue_seconds(self) -> float | None:
        """Waiting for a slot, however often it had to."""
        if self.placed is None:
            return None
        return self.waited + max(0.0, self.placed - self.waiting_since)

    @property
    def first_seconds(self) -> float | None:
        """Time to first token, from submission."""
        return None if self.first is None else self.first - self.submitted

    @property
    def total_seconds(self) -> float | None:
        """From submission to the end."""
        return None if self.ended is None else self.ended - self.submitted


class Ticket:
    """A handle on one request. Iterate it, wait for it, or give a sink at submission; not two of these."""

    def __init__(
        self,
        request: Request,
        *,
        user: str,
        interactive: bool,
        pin: frozenset[str] | None,
        home: str | None,
        sink: Sink | None,
        on_loss: OnLoss = "lose",
        cancel: Callable[["Ticket", StopReason], None],
        ended: Callable[["Ticket"], None],
    ) -> None:
        self.request = request
        self.user = user
        self.interactive = interactive
        self.pin = pin
        """The replicas it may run on; None for all of its model."""
        self.home = home
        self.state: TicketState = "queued"
        self.replica: str | None = None
        self.tries = 0
        self.rank: float = request.id
        """Order within its user's queue, least first."""
        self.timings = Timings(submitted=time.monotonic())
        self.terminal: Terminal | None = None
        self.stopping: StopReason | None = None
        """Set once a stop was asked for, until it takes effect."""
        self.stop_asked: float | None = None
        """When, in seconds of ``time.monotonic``."""
        self.on_loss = on_loss
        self.last_step: float | None = None
        """When the last token came, in seconds of ``time.monotonic``."""
        self._next_index = 0
        self._shown: list[int] = []
        """Tokens so far, kept only for a request that is to continue after a loss."""
        self._rewound = False
        self._sink = sink
        self._cancel = cancel
        self._when_ended = ended
        self._events: asyncio.Queue[Event] | None = None if sink else asyncio.Queue()
        self._ended: asyncio.Future[Terminal] = asyncio.get_running_loop().create_future()
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.terminal is not None

    def cancel(self, reason: StopReason = "user") -> None:
        """Ask for it to stop, at whatever stage it is; harmless when it has ended."""
        self._cancel(self, reason)

    async def wait(self) -> Terminal:
        """How it ended."""
        return await asyncio.shield(self._ended)

    async def __aiter__(self) -> AsyncIterator[Event]:
        """All events, the terminal one last. Only without a sink."""
        if self._events is None:
            raise RuntimeError("this request's events go to its sink")
        while True:
            event = await self._events.get()
            yield event
            if isinstance(event, TERMINAL):
                return

    @property
    def tokens(self) -> int:
        """Tokens of the answer so far."""
        return self._next_index

    # -- for the coordinator -------------------------------------------------------------------------------

    @property
    def shown(self) -> bool:
        """Whether any step was delivered, so that running it again would repeat tokens."""
        return self.timings.first is not None

    def place(self, replica: str) -> None:
        """A replica got it."""
        assert self.state == "queued", self.state
        self.state = "placed"
        self.replica = replica
        self.tries += 1
        self.timings.placed = time.monotonic()
        limit = self.request.params.max_time
        if limit is not None and self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(limit, self.cancel, "deadline")

    def requeue(self) -> None:
        """Its replica died before anything was shown."""
        assert self.state == "placed" and not self.shown, self.state
        self._wait_again()

    @property
    def resumable(self) -> bool:
        """Whether it may go on after what was shown; a beam that rewound is more than its tokens."""
        return self.on_loss == "continue" and not self._rewound

    def resume(self) -> None:
        """Its replica died: go back to the queue and continue after what was shown."""
        assert self.resumable and self.state in ("placed", "streaming"), self.state
        self.request = msgspec.structs.replace(self.request, resume=tuple(self._shown))
        self._wait_again()

    def _wait_again(self) -> None:
        self.timings.waited = self.timings.queue_seconds or 0.0
        self.timings.queued = time.monotonic()
        self.state = "queued"
        self.replica = None

    def deliver(self, event: Event, at: float | None = None) -> None:
        """Pass an event on; a step out of order is a fault of the replica and fails the request.

        ``at`` is when it came, in seconds of ``time.monotonic``; now if it is not given.
        """
        if self.terminal is not None:
            return
        if isinstance(event, Step):
            if event.index < len(self.request.resume) and event.index < self._next_index:
                return  # shown before the loss
            if event.index != self._next_index:
                event = self._out_of_order(event)
            else:
                self._step(event, time.monotonic() if at is None else at)
        elif isinstance(event, Started):
            if self.request.resume:
                return  # told before the loss
        elif isinstance(event, Rewound):
            self._next_index = min(self._next_index, event.keep)
            self._rewound = True
        if isinstance(event, TERMINAL):
            self._end(event, time.monotonic() if at is None else at)
        if self._sink is not None:
            try:
                self._sink(self, event)
            except Exception as error:  # a fault of a front end must not take the connection down
                loop = asyncio.get_running_loop()
                loop.call_exception_handler({"message": "a sink of events failed", "exception": error})
        elif self._events is not None:
            self._events.put_nowait(event)

    def _step(self, step: Step, at: float) -> None:
        self._next_index += 1
        self.state = "streaming"
        self.last_step = at
        if self.timings.first is None:
            self.timings.first = at
        if self.on_loss == "continue":
            self._shown.append(step.token)

    def _out_of_order(self, step: Step) -> Failed:
        message = f"replica {self.replica} sent token {step.index} where {self._next_index} was due"
        return Failed(
            id=self.request.id, error=Error(kind="internal", message=message, hint="/retry asks again")
        )

    def _end(self, event: Terminal, at: float) -> None:
        self.terminal = event
        self.state = _ENDS[type(event)]
        self.timings.ended = at
        if self._deadline is not None:
            self._deadline.cancel()
        if not self._ended.done():
            self._ended.set_result(event)
        self._when_ended(self)
