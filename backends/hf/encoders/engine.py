"""Models that read and do not write: sequence classifiers and masked language models.

A request is a few rows of tokens, each of which needs one pass: one row for a label or for gaps, one for each
token of a pseudo-log-likelihood. Rows of all running requests share passes, padded on the right; the exact
lane reads each row alone.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from backends.base import BackendError
from backends.faults import is_out_of_memory
from backends.hf.errors import while_generating
from backends.hf.probes.tokenizing import tokenize
from backends.hf.state.rows import accepted, integers
from backends.hf.text import Codec
from backends.outbox import Outbox
from repl.messages import Capabilities, Event, Failed, Request, Started


@dataclass(slots=True)
class Encoder:
    """A loaded classifier or masked model."""

    name: str
    network: Any
    codec: Codec
    max_prompt: int | None
    template: str | None
    """Text with ``{prompt}`` in it, put round every prompt."""
    pass_tokens: int
    """Tokens, padding included, read in one step."""
    within_word: bool = False
    """Score a token with the rest of its word hidden too."""
    shares: bool = False
    """Rows of different lengths can be padded and read together."""

    @property
    def pad(self) -> int:
        """What rows are filled up with; no other token attends to it."""
        for owner in (self.network.config, self.codec.tokenizer):
            if owner.pad_token_id is not None:
                return int(owner.pad_token_id)
        return 0

    def read(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Logits ``[rows, ...]``, in float32."""
        longest = max(map(len, rows))
        gaps = [longest - len(row) for row in rows]
        ids = [[*row, *[self.pad] * gap] for row, gap in zip(rows, gaps, strict=True)]
        extra = {}
        if any(gaps) and "attention_mask" in accepted(self.network):
            mask = [[1] * (longest - gap) + [0] * gap for gap in gaps]
            extra["attention_mask"] = integers(mask, self.network)
        logits: Tensor = self.network(input_ids=integers(ids, self.network), **extra).logits
        return logits.float()


class Job(Protocol):
    """A request as rows to read; made by ``classifier`` and ``masked``."""

    request: Request
    rows: deque[list[int]]
    """Still to read."""
    batch: int
    padded: int

    def started(self) -> Started:
        """The first event."""
        ...

    def take(self, logits: Tensor) -> list[Event]:
        """What follows from the first of ``rows``, ``[tokens, vocab]`` or ``[labels]``, which is taken out.

        The last row's has the end.
        """
        ...


Maker = Callable[[Encoder, Request], Job]
"""Makes a job of a request, or raises ``BackendError``."""


class Pass(NamedTuple):
    """Rows that are read together, as jobs with how many of their rows go along."""

    shares: list[tuple[Job, int]]

    @property
    def rows(self) -> list[list[int]]:
        """In the order of the jobs."""
        return [row for job, count in self.shares for row in list(job.rows)[:count]]


class EncoderEngine:
    """A ``backends.base.BatchingEngine`` over one classifier or masked model."""

    def __init__(self, model: Encoder, capabilities: Capabilities, makers: dict[str, Maker]) -> None:
        """``makers`` has one for each task."""
        self.capabilities = capabilities
        self._model = model
        self._makers = makers
        self._waiting: deque[Request] = deque()
        self._jobs: deque[Job] = deque()
        self._outbox = Outbox()

    def admit(self, request: Request) -> None:
        """See ``BatchingEngine``."""
        self._waiting.append(request)

    def cancel(self, request_id: int) -> None:
        """See ``BatchingEngine``."""
        self._waiting = deque(request for request in self._waiting if request.id != request_id)
        self._jobs = deque(job for job in self._jobs if job.request.id != request_id)
        self._outbox.forget(request_id)

    def step(self) -> Sequence[Event]:
        """See ``BatchingEngine``; one forward pass."""
        self._start_waiting()
        if self._jobs:
            with torch.inference_mode():
                self._read(self._next())
        return self._outbox.take()

    def _start_waiting(self) -> None:
        while self._waiting and len(self._jobs) < self.capabilities.slots:
            request = self._waiting.popleft()
            try:
                if request.task == "tokenize":
                    self._outbox.put(tokenize(self._model.codec, request))
                    continue
                maker = self._makers.get(request.task)
                if maker is None:
                    raise self._unsupported(request)
                job = maker(self._model, request)
            except Exception as error:  # a request must not take its neighbours along
                self._outbox.put([Failed(id=request.id, error=while_generating(error, 1, 0))])
                continue
            self._outbox.put([job.started()])
            self._jobs.append(job)

    def _next(self) -> Pass:
        """What the next pass reads: as many rows as it takes, of each request in turn."""
        first = self._jobs[0]
        self._jobs.rotate(-1)
        if first.request.lane == "exact":
            return Pass([(first, 1)])
        chosen: list[tuple[Job, int]] = []
        longest = rows = 0
        others = [job for job in self._jobs if job is not first and job.request.lane == "fast"]
        for job in (first, *others):
            length = max(longest, len(job.rows[0]))
            if chosen and not self._model.shares and len(job.rows[0]) != longest:
                continue
            count = min(len(job.rows), max(self._model.pass_tokens // length - rows, 0 if chosen else 1))
            if count:
                chosen.append((job, count))
                longest, rows = length, rows + count
        return Pass(chosen)

    def _read(self, wanted: Pass) -> None:
        rows = wanted.rows
        longest = max(map(len, rows))
        try:
            logits = self._model.read(rows)
        except Exception as error:
            self._apart(wanted, error, len(rows), longest)
            return
        at = 0
        for job, count in wanted.shares:
            job.batch, job.padded = max(job.batch, len(rows)), max(job.padded, longest)
            self._hand(job, logits[at : at + count])
            at += count
        self._jobs = deque(job for job in self._jobs if job.rows)

    def _hand(self, job: Job, logits: Tensor) -> None:
        try:
            for row in logits:
                self._outbox.put(job.take(row))
        except Exception as error:
            self._fail(job, error)

    def _apart(self, wanted: Pass, error: Exception, rows: int, length: int) -> None:
        """After a failure: what was too much together is read row by row."""
        if is_out_of_memory(error) and rows > 1:
            for job, _ in wanted.shares:
                self._read(Pass([(job, 1)]))
            return
        for job, _ in wanted.shares:
            self._fail(job, error, rows, length)

    def _fail(self, job: Job, error: Exception, rows: int = 1, length: int = 0) -> None:
        self._jobs = deque(other for other in self._jobs if other is not job)
        self._outbox.put([Failed(id=job.request.id, error=while_generating(error, rows, length))])

    def _unsupported(self, request: Request) -> BackendError:
        kind = {"classifier": "classifier", "masked": "masked language model"}[self.capabilities.kind]
        hint = {"classifier": "/classify TEXT", "masked": "/cloze TEXT with [MASK], or /score TEXT"}
        return BackendError(
            "unsupported",
            f"model '{self._model.name}' is a {kind}: it cannot {request.task}",
            f"{hint[self.capabilities.kind]} asks it",
        )


def fit(model: Encoder, ids: list[int], side: str, keep: range = range(0)) -> list[int]:
    """``ids`` cut to what the model takes; special tokens at both ends stay, and so does what is in ``keep``.

    ``side`` is ``Params.truncate``: "left" cuts before ``keep``, "right" after it; raises ``BackendError``
    where that is not enough.
    """
    much = len(ids) - (model.max_prompt or len(ids))
    if much <= 0:
        return ids
    special = model.codec.special
    first, last = int(ids[0] in special), len(ids) - int(ids[-1] in special)
    begin, end = (
        (first, keep.start if keep else last) if side == "left" else (keep.stop if keep else first, last)
    )
    if side == "off" or end - begin < much:
        raise BackendError(
            "prompt_too_long",
            f"the text has {len(ids)} tokens, model '{model.name}' takes {model.max_prompt} at most",
            "shorten it, or /set truncate left (drops the beginning) or right (drops the end)",
        )
    at = begin if side == "left" else end - much
    return ids[:at] + ids[at + much :]
