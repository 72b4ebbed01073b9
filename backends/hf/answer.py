"""One request on its way: its rows, the text they write, and the events that tell of it."""

import secrets
from collections.abc import Sequence

from backends.hf.choosing.processors import Warp, processors
from backends.hf.choosing.sampling import Choice
from backends.hf.events import started, step
from backends.hf.guesses.speculation import Drafts
from backends.hf.model import Model
from backends.hf.prompt import Prompt
from backends.hf.text import Writer
from repl.messages import Event, Finished, FinishReason, Hypothesis, Request, Started, Step

_FRESH_SEED_BITS = 63


def writer(model: Model, request: Request, prompt: Prompt) -> Writer:
    """Writes an answer to ``prompt``: a decoder goes on from its prompt, an encoder-decoder starts afresh."""
    context = () if model.seq2seq else prompt.ids
    return Writer(model.codec.stream(context), request.params.stop)


class Row:
    """One sequence being written. It says how its next token is drawn (``sampling.Draws``)."""

    def __init__(self, model: Model, request: Request, prompt: Prompt, seed: int, sample: int) -> None:
        params = request.params
        before = list(model.start) if model.seq2seq else prompt.ids
        self.tokens: list[int] = []
        self.history = list(before)
        self.reason: FinishReason | None = None
        self.processors = processors(params, model.fixed, len(before), prompt.limit)
        self.warp = None
        if params.temperature > 0:
            warp = (params.temperature, params.top_k, params.top_p, params.min_p, params.typical_p)
            self.warp = Warp(*warp)
        self.alternatives = params.logprobs
        self.whole = request.distributions
        self._min_new = params.min_new
        self._request = request
        self.piece = model.codec.piece
        self._eos = model.fixed.eos
        self._stops = model.fixed.wording.ends(params)
        self._limit = prompt.limit
        self.longest = len(before) + prompt.limit
        self._noise = (seed, sample)
        self._writer = writer(model, request, prompt)
        self.drafts: Drafts | None = None
        """None where every token is computed on its own."""
        if model.drafts is not None and request.lane == "fast" and not request.distributions:
            self.drafts = model.drafts()

    @property
    def text(self) -> str:
        """What can be seen so far."""
        return self._writer.text

    @property
    def forbidden(self) -> Sequence[int]:
        """See ``sampling.Draws``."""
        return self.forbidden_after(0)

    def forbidden_after(self, more: int) -> Sequence[int]:
        """See ``speculation.Following``."""
        return (*self._eos, *self._stops) if len(self.tokens) + more < self._min_new else ()

    @property
    def noise_key(self) -> tuple[int, int, int]:
        """See ``sampling.Draws``."""
        return self.key_after(0)

    def key_after(self, more: int) -> tuple[int, int, int]:
        """See ``speculation.Following``."""
        return (*self._noise, len(self.tokens) + more)

    def draft(self) -> list[int]:
        """Tokens that may follow, and never so many that they would not fit."""
        room = self._limit - len(self.tokens) - 1
        return self.drafts.draft(self, room) if self.drafts is not None else []

    def push(self, choice: Choice, forced: bool = False, ends: bool = True) -> Step:
        """Write a token; afterwards ``reason`` tells whether the row is complete.

        Without ``ends`` it goes on after a token that ends an answer.
        """
        token, index = choice.token, len(self.tokens)
        self.tokens.append(token)
        self.history.append(token)
        if token in self._eos and ends:
            self.reason = "eos"
        elif len(self.tokens) >= self._limit:
            self.reason = "length"
        if token in self._stops and ends:
            self.reason = "stop"
            text = self._writer.end()
        else:
            text, stopped = self._writer.push(token, last=self.reason is not None)
            self.reason = "stop" if stopped else self.reason
        return step(self._request, self.piece, index, choice, text, forced=forced)

    def hypothesis(self) -> Hypothesis:
        """The row as one of several samples."""
        return Hypothesis(text=self.text, tokens=tuple(self.tokens))


class Answer:
    """A request with all its rows: one, or one for each of ``n`` samples."""

    def __init__(self, model: Model, request: Request, prompt: Prompt) -> None:
        self.request = request
        self.prompt = prompt
        self.batch = 0
        self.padded = 0
        self.cancelled = False
        self.failed = False
        self._notes = list(prompt.notes)
        params = request.params
        seed, count = params.seed, params.n
        if params.temperature > 0 and seed is None:
            seed = secrets.randbits(_FRESH_SEED_BITS)
            self._notes.append(f"seed {seed}")
        if params.temperature == 0 and count > 1:
            count = 1
            self._notes.append("n has no effect without sampling or beams")
        if params.unkpen and model.fixed.unknown is None:
            self._notes.append("unkpen has no effect: the model has no unknown token")
        if prompt.limit < params.max_new:
            self._notes.append(f"max_new is {prompt.limit} here: the model has {model.context} positions")
        first = request.sample
        self.rows = [Row(model, request, prompt, seed or 0, first + i) for i in range(count)]
        self.longest = self.rows[0].longest
        """Tokens of each row and of what is before it, once it has all it may have."""
        self.granted = self.longest
        """So many of them there is room for."""
        self.settled = True
        """It does not step back."""
        self.away = False
        """It stepped back."""
        self.number = 0
        """Less than that of all that came later."""

    @property
    def alternatives(self) -> int | None:
        """What is told of the forced beginning's tokens; see ``sampling.force``."""
        return self.request.params.logprobs or None

    @property
    def begun(self) -> bool:
        """Whether there are tokens of it already."""
        return bool(self.rows[0].tokens)

    @property
    def full(self) -> bool:
        """Whether it has no room for its next token."""
        return len(self.rows[0].history) > self.granted

    def step_back(self) -> None:
        """Leave; it comes back for good."""
        self.away = self.settled = True
        self.granted = self.longest

    @property
    def reads(self) -> list[int]:
        """What the model has to have read before the next step; once it is begun, all but its last token."""
        return self.rows[0].history[:-1] if self.begun else self.prompt.ids

    @property
    def done(self) -> bool:
        """Whether every row is complete."""
        return all(row.reason for row in self.rows)

    def started(self) -> Started:
        """The first event."""
        return started(self.request, self.prompt, self._notes, self.rows[0].piece)

    def push(self, row: Row, choice: Choice, forced: bool = False, ends: bool = True) -> list[Event]:
        """Write a token to ``row``, the first of which is shown; ``ends`` says that an end token is one."""
        written = row.push(choice, forced, ends)
        events: list[Event] = [written] if row is self.rows[0] else []
        if row.reason and self.done:
            events.append(self._finished())
        return events

    def force(self, row: Row, choices: Sequence[Choice]) -> list[Event]:
        """Write the prescribed beginning to ``row``; what comes after its end is left out.

        An answer that was given up to and with its end token ends there, as it did when it was drawn.
        """
        events: list[Event] = []
        for number, choice in enumerate(choices, start=1):
            if row.reason:
                break
            last = number == len(choices) and bool(self.request.prefix_ids)
            events += self.push(row, choice, forced=True, ends=last)
        return events

    def _finished(self) -> Finished:
        shown = self.rows[0]
        assert shown.reason is not None
        several = tuple(row.hypothesis() for row in self.rows) if len(self.rows) > 1 else ()
        tried = [row.drafts for row in self.rows if row.drafts is not None]
        return Finished(
            id=self.request.id,
            reason=shown.reason,
            text=shown.text,
            hypotheses=several,
            batch=self.batch,
            padded=self.padded,
            drafted=sum(drafts.drafted for drafts in tried),
            accepted=sum(drafts.accepted for drafts in tried),
        )
