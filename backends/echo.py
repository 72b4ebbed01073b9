"""Echo: answers with the words of the prompt. It needs no model; tests, benchmarks and the tour use it.

Options of a model:
    tokens_per_second   pace of each answer; 0 (default) is as fast as it can
    slots               requests at once (also the model's ``slots`` key); default 4
    length              answer with this many words, the prompt's over and over; 0 is the prompt once
    chat                behave as a model with a chat template: earlier turns become part of the prompt
    max_prompt          longest prompt in words
    load_seconds, load_error    a slow load; a load that fails with this message
    gate                path of a FIFO: each byte written to it releases one event (tests need not sleep)
    faults              obey prompts such as ``!crash 3``: see ``Fault``
"""

import contextlib
import os
import select
import signal
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar

import msgspec

from backends.base import BackendError, Engine, Progress, Requirement
from repl.messages import (
    Capabilities,
    Error,
    Event,
    Failed,
    Finished,
    FinishReason,
    Hypothesis,
    ModelSpec,
    Request,
    Rewound,
    Started,
    Step,
)
from repl.params import PARAMETERS, Support, SupportTable

MOMENT = 0.02
"""Seconds the engine may rest in one step, so that a cancel is seen soon."""


class Options(msgspec.Struct, forbid_unknown_fields=True):
    """Validated ``options`` of the configuration."""

    tokens_per_second: float = 0.0
    length: int = 0
    chat: bool = False
    max_prompt: int = 4096
    load_seconds: float = 0.0
    load_error: str = ""
    gate: str = ""
    faults: bool = False


class Fault(msgspec.Struct, frozen=True):
    """What a prompt such as ``!crash 3`` asks for, after so many tokens."""

    kind: str
    after: int

    @classmethod
    def of(cls, prompt: str) -> "Fault | None":
        """``!crash``, ``!raise``, ``!hang``, ``!oom`` or ``!nan``, with a number; None for other prompts."""
        word, _, number = prompt.partition(" ")
        if word[:1] == "!" and word[1:] in ("crash", "raise", "hang", "oom", "nan"):
            return cls(word[1:], int(number) if number.strip().isdigit() else 0)
        return None

    def strike(self) -> None:
        """Do it; raises, hangs or ends the process."""
        if self.kind == "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "hang":
            while True:
                signal.pause()
        if self.kind == "oom":
            raise MemoryError("asked for by the prompt")
        if self.kind == "nan":
            raise BackendError("nan_logits", "the model's logits are not numbers", "try another dtype")
        raise RuntimeError("asked for by the prompt")


class _Row:
    """One request and the events still to come."""

    def __init__(self, request: Request, options: Options) -> None:
        self.request = request
        self.due = 0.0
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
    """A ``BatchingEngine`` without a model."""

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
        self._pause = 1 / options.tokens_per_second if options.tokens_per_second > 0 else 0.0
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
        self._rest()
        now = time.monotonic()
        events: list[Event] = []
        for row in list(self._rows.values()):
            if row.due <= now and self._released():
                events.append(self._advance(row))
                row.due = max(row.due + self._pause, now - 1.0) if row.due else now + self._pause
        return events

    def _advance(self, row: _Row) -> Event:
        try:
            event = next(row.events)
        except BackendError as failure:
            event = Failed(id=row.request.id, error=failure.error)
        except Exception as failure:
            kind = "out_of_memory" if isinstance(failure, MemoryError) else "internal"
            fault = Error(kind=kind, message=str(failure), hint="/retry")
            event = Failed(id=row.request.id, error=fault)
        if isinstance(event, Finished | Failed):
            del self._rows[row.request.id]
        return event

    def _rest(self) -> None:
        """Sleep until a row is due, or for a moment."""
        wait = min((row.due for row in self._rows.values()), default=0.0) - time.monotonic()
        if wait > 0:
            time.sleep(min(wait, MOMENT))

    def _released(self) -> bool:
        """Whether the gate, if there is one, lets a token through."""
        if self._gate is None:
            return True
        if not select.select([self._gate], [], [], MOMENT)[0]:
            return False
        with contextlib.suppress(BlockingIOError):  # another replica took the byte
            return bool(os.read(self._gate, 1))
        return False


class Echo:
    """The description of this backend."""

    name: ClassVar[str] = "echo"
    summary: ClassVar[str] = "repeats the prompt; needs no model"
    requires: ClassVar[tuple[Requirement, ...]] = ()
    parameters: ClassVar[SupportTable] = {
        name: Support("exact", name) if name in ("max_new", "stop", "truncate", "n") else Support("none")
        for name in PARAMETERS
    } | {
        "beam": Support("differs", "beam", "takes every third word back once"),
        "seed": Support("exact", "", "answers do not depend on chance"),
        "temperature": Support("differs", "", "has no effect"),
    }

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """No file is an echo checkpoint."""
        return False

    @classmethod
    def load(cls, model: ModelSpec, device: str, threads: int, progress: Progress) -> Engine:
        """Validate the options; raises ``BackendError``."""
        try:
            options = msgspec.convert(model.options, Options)
        except msgspec.ValidationError as error:
            raise BackendError(
                "bad_parameter", f"options of {model.name}: {error}", "see configs/echo.yaml"
            ) from None
        began = time.monotonic()
        while (done := time.monotonic() - began) < options.load_seconds:
            progress("weights", done / options.load_seconds)
            time.sleep(min(0.05, options.load_seconds))
        if options.load_error:
            raise BackendError(
                "missing_file", options.load_error, "asked for by the options of this echo model"
            )
        return EchoEngine(options, model.slots or 4)
