"""One line sent to one model, and what came of it."""

import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import msgspec

from repl.messages import Error, Failed, Finished, Lost, ModelSpec, Request, Stopped
from repl.params import Params, Value
from repl.pool.ticket import Ticket, Timings
from repl.readings import Reading
from repl.session.answer import Answer

ExchangeState = Literal["queued", "placed", "streaming", "finished", "stopped", "failed", "lost"]


class Origin(msgspec.Struct, frozen=True, array_like=True):
    """What an answer was made from, where it was not simply asked."""

    exchange: int | None
    """The number of another answer; None where there is none."""
    position: int = 0
    """Index of the token where the two part; 0 where it is the whole answer."""
    how: str = ""
    """The command that did it: ``branch``, ``sweep``, ``chain`` ..."""

    @property
    def words(self) -> str:
        """``branch of #5 @3``, or the command alone."""
        if self.exchange is None:
            return self.how
        place = f" @{self.position}" if self.position else ""
        return f"{self.how or 'made'} of #{self.exchange}{place}"


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """Which model it was, exactly enough to find it again. The hashes are empty until it has loaded."""

    spec: ModelSpec
    dtype: str = ""
    """As loaded."""
    checkpoint_hash: str = ""
    vocab_fingerprint: str = ""


@dataclass(eq=False, kw_only=True)
class Exchange:
    """A prompt, the request made of it, and the answer. Nothing in it changes once it is ``done``."""

    id: int
    """The number people call it by (``#18``); unique in the record."""
    line: int
    """Id of the first exchange of the same typed line: equal for answers that belong side by side."""
    identity: Identity
    prompt: str
    """The line as typed, without the ``@name`` it was routed by."""
    request: Request
    requested: dict[str, Value]
    """Parameters set by the user or the configuration; ``params`` has all in their effective value."""
    created: datetime
    """UTC."""
    conversation: str
    parent: "Exchange | None" = None
    """The exchange before it in its conversation."""
    pin: str | None = None
    """The replica or device it was sent to, where the user named one."""
    marks: tuple[str, ...] = ()
    """What the session has to say about it, such as settings this model cannot honour."""
    origin: Origin | None = None
    """What a command made it from; None for a typed line, which alone stands in a conversation."""
    shown: bool = True
    """Stands in the panes; what a probe asks for its own ends does not."""
    answer: Answer = field(default_factory=Answer)
    ticket: Ticket | None = None
    """None before submission and for an exchange read back from the record."""
    replica: str | None = None
    device: str | None = None
    """``cpu`` or ``cuda:0``: where that replica ran."""
    timings: Timings | None = None

    @property
    def model(self) -> str:
        """Name of the model."""
        return self.identity.spec.name

    @property
    def params(self) -> Params:
        """Effective parameters, the seed that was drawn included."""
        return self.request.params

    @property
    def seed(self) -> int | None:
        """Of the sampler; None only where the backend has none."""
        return self.request.params.seed

    @property
    def system(self) -> str:
        """The system prompt that went along, if any."""
        first = self.request.history[0] if self.request.history else None
        return first.text if first is not None and first.role == "system" else ""

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        return self.answer.terminal is not None

    @property
    def state(self) -> ExchangeState:
        """How far it is; a request that waits is ``queued``, one a replica prepares is ``placed``."""
        state = self.answer.state
        if state != "waiting":
            return state
        return "placed" if self.ticket is not None and self.ticket.state == "placed" else "queued"

    @property
    def error(self) -> Error | None:
        """Why it failed or was lost."""
        terminal = self.answer.terminal
        return terminal.error if isinstance(terminal, Failed | Lost) else None

    @property
    def reading(self) -> Reading | None:
        """The outcome of a task that looks into a text instead of writing one."""
        terminal = self.answer.terminal
        return terminal.reading if isinstance(terminal, Finished) else None

    @property
    def finish(self) -> str:
        """Why it ended, in a word: ``eos``, ``length``, ``stop``, ``user`` ...; empty while it runs."""
        match self.answer.terminal:
            case Finished(reason=reason) | Stopped(reason=reason):
                return reason
            case Failed(error=error) | Lost(error=error):
                return error.kind
            case None:
                return ""

    @property
    def notes(self) -> tuple[str, ...]:
        """Everything that should be shown beside the answer: the session's marks and the backend's."""
        started = self.answer.started
        return self.marks + (started.notes if started is not None else ())

    @property
    def first_token_seconds(self) -> float | None:
        """From submission to the first token."""
        return self.timings.first_seconds if self.timings is not None else None

    @property
    def total_seconds(self) -> float | None:
        """From submission to the end."""
        return self.timings.total_seconds if self.timings is not None else None

    @property
    def tokens_per_second(self) -> float | None:
        """Decoding rate after the first token, up to now while it runs; None before the second token."""
        if self.timings is None or self.timings.first is None or len(self.answer.steps) < 2:
            return None
        until = self.timings.ended if self.timings.ended is not None else time.monotonic()
        elapsed = until - self.timings.first
        return (len(self.answer.steps) - 1) / elapsed if elapsed > 0 else None
