"""The echo engine: a ``BatchingEngine`` without a model."""

import contextlib
import os
import random
import select
import time
from collections.abc import Iterator, Sequence

from backends.base import BackendError
from backends.echo.faults import Fault
from backends.echo.options import Options
from repl.messages import (
    Capabilities,
    Error,
    Event,
    Failed,
    Finished,
    FinishReason,
    Hypothesis,
    Request,
    Rewound,
    Started,
    Step,
)

MOMENT = 0.02
"""Seconds the engine may rest in one step, so that a cancel is seen soon."""


class _Row:
    """One request and the events still to come."""

    def __init__(self, request: Request, options: Options) -> None:
        self.request = request
        self.due: float | None = None
        """When its next event is, in seconds of ``time.monotonic``; None while it waits for memory."""
        words = request.prompt.split()
        answer = min(request.params.max_new, options.length or len(words))
        self.size = len(words) + answer
        """Tokens it holds memory for."""
        self.prompt_size = len(words)
        self.events = self._answer(options)

    def _answer(self, options: Options) -> Iterator[Event]:
        request, params = self.request, self.request.params
        turns = [m.text for m in request.history] if options.chat and request.template else []
        words = " ".join([*turns, request.prompt]).split()
        cut = max(0, len(words) - options.max_prompt)
        if not words:
            raise BackendError("empty_prompt", "the prompt is empty", "type some words")
        if cut and params.truncate == "off":
            message = f"the prompt has {len(words)} words, the model takes {options.max_prompt}"
            raise BackendError("prompt_too_long", message, "/set truncate left drops its beginning")
        words = words[cut:] if params.truncate == "left" else words[: len(words) - cut]
        yield Started(
            id=request.id,
            prompt_ids=tuple(range(len(words))),
            prompt_text=" ".join(words),
            truncated=cut,
        )
        yield from self._tokens(request.prompt.split() or words, options)

    def _tokens(self, words: list[str], options: Options) -> Iterator[Event]:
        request, params = self.request, self.request.params
        fault = Fault.of(request.prompt) if options.faults else None
        forced = request.prefix.split()
        wanted = max(options.length or len(words), fault.after + 1 if fault else 0)
        shown = ""
        reason: FinishReason = "eos"
        pieces: list[str] = []
        for index in range(wanted + len(forced)):
            if fault and index >= fault.after:
                fault.strike()
            if index >= params.max_new:
                reason = "length"
                break
            word = forced[index] if index < len(forced) else words[(index - len(forced)) % len(words)]
            piece = word if index == 0 else f" {word}"
            if params.beam > 1 and index % 3 == 2:  # a beam that changes its mind
                yield self._step(index, piece.upper(), False)
                yield Rewound(id=request.id, keep=index)
            if any(stop in shown + piece for stop in params.stop):
                reason = "stop"
                shown = min(((shown + piece).partition(stop)[0] for stop in params.stop), key=len)
                break
            shown += piece
            pieces.append(piece)
            yield self._step(index, piece, index < max(len(forced), len(request.resume)))
        best = Hypothesis(text=shown, tokens=tuple(range(len(pieces))))
        yield Finished(id=request.id, reason=reason, text=shown, hypotheses=(best,) * params.n)

    def _step(self, index: int, piece: str, forced: bool) -> Step:
        data = piece.encode("utf-8", "surrogateescape")
        return Step(id=self.request.id, index=index, token=index, piece=data, text=piece, forced=forced)


class EchoEngine:
    """Paces and releases the answers of its rows."""

    def __init__(self, options: Options, slots: int) -> None:
        self.capabilities = Capabilities(
            kind="echo",
            slots=slots,
            max_prompt=options.max_prompt,
            chat=options.chat,
            dtype="none",
            resumes=True,
        )
        self._options = options
        self._rows: dict[int, _Row] = {}
        self._chance = random.Random(0)
        # Read-write, so that the FIFO never reads as ended while no test has it open.
        self._gate = os.open(options.gate, os.O_RDWR | os.O_NONBLOCK) if options.gate else None

    def admit(self, request: Request) -> None:
        """Take a request."""
        self._rows[request.id] = _Row(request, self._options)

    def cancel(self, request_id: int) -> None:
        """Drop a request."""
        self._rows.pop(request_id, None)

    def step(self) -> Sequence[Event]:
        """One event for each row that is due."""
        events: list[Event] = self._make_room()
        self._rest()
        now = time.monotonic()
        for row in list(self._rows.values()):
            if row.due is not None and row.due <= now and self._released():
                events.append(self._advance(row))
                row.due = max(row.due + self._pause(), now - 1.0)
        return events

    def _make_room(self) -> list[Event]:
        """Let rows begin, in order, while they fit; one that never will fails."""
        used = sum(row.size for row in self._rows.values() if row.due is not None)
        failed: list[Event] = []
        for row in [row for row in self._rows.values() if row.due is None]:
            limit = self._options.memory
            if limit and row.size > limit:
                message = f"the request needs {row.size} tokens of memory, there are {limit}"
                fault = Error(
                    kind="out_of_memory", message=message, hint="lower max_new or shorten the prompt"
                )
                failed.append(Failed(id=row.request.id, error=fault))
                del self._rows[row.request.id]
            elif limit and used + row.size > limit:
                break
            else:
                used += row.size
                row.due = time.monotonic() + self._prefill(row)
        return failed

    def _prefill(self, row: _Row) -> float:
        rate = self._options.prefill_tokens_per_second
        return row.prompt_size / rate if rate > 0 else 0.0

    def _pause(self) -> float:
        """Seconds between two events of a row, with as many rows as there are now."""
        options = self._options
        if options.tokens_per_second <= 0:
            return 0.0
        running = sum(row.due is not None for row in self._rows.values())
        slowed = (1 + options.batch_slope * max(0, running - 1)) / options.tokens_per_second
        return slowed * (1 + options.jitter * self._chance.uniform(-1, 1))

    def _advance(self, row: _Row) -> Event:
        try:
            event = next(row.events)
        except BackendError as failure:
            event = Failed(id=row.request.id, error=failure.error)
        except Exception as failure:
            event = Failed(id=row.request.id, error=_described(failure))
        if isinstance(event, Finished | Failed):
            del self._rows[row.request.id]
        return event

    def _rest(self) -> None:
        """Sleep until a row is due, or for a moment."""
        dues = [row.due for row in self._rows.values() if row.due is not None]
        wait = min(dues, default=0.0) - time.monotonic()
        if wait > 0:
            time.sleep(min(wait, MOMENT))

    def _released(self) -> bool:
        """Whether the gate, if there is one, lets an event through."""
        if self._gate is None:
            return True
        if not select.select([self._gate], [], [], MOMENT)[0]:
            return False
        with contextlib.suppress(BlockingIOError):  # another replica took the byte
            return bool(os.read(self._gate, 1))
        return False


def _described(failure: Exception) -> Error:
    if isinstance(failure, MemoryError):
        message = f"the device ran out of memory: {failure}"
        return Error(kind="out_of_memory", message=message, hint="lower max_new or shorten the prompt")
    return Error(kind="internal", message=str(failure), hint="/retry asks again")
