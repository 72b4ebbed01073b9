"""The engine: one request at a time, one step of fairseq's search for each ``step``."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import torch

from backends.base import Progress
from backends.fairseq import load as loading
from backends.fairseq import prompt as prompts
from backends.fairseq.answer import Answer
from backends.fairseq.errors import while_generating
from backends.fairseq.generation import Generation, Plan
from backends.fairseq.load import Model
from backends.fairseq.prompt import Prompt
from backends.fairseq.relay import Relay
from backends.fairseq.results import finished
from backends.fairseq.search import Report
from repl.messages import Capabilities, Event, Failed, ModelSpec, Request, Started
from repl.params import Params


def load(spec: ModelSpec, device: str, threads: int, progress: Progress) -> "FairseqEngine":
    """An engine that has answered once; raises ``BackendError``."""
    torch.set_num_threads(threads)
    engine = FairseqEngine(loading.load(spec, device, progress))
    progress("warm-up", None)
    engine.warm_up()
    return engine


class FairseqEngine:
    """A ``backends.base.BatchingEngine`` over one loaded model or ensemble; it has one slot."""

    def __init__(self, model: Model) -> None:
        self.capabilities = Capabilities(
            kind="causal" if model.causal else "seq2seq",
            slots=1,
            max_prompt=model.max_prompt,
            vocab_size=len(model.codec.pieces),
            vocab_fingerprint=model.codec.fingerprint,
            checkpoint_hash=model.checkpoint_hash,
            dtype=model.dtype,
            parameters=model.parameters,
            notes=model.notes,
            resumes=True,
        )
        self._model = model
        self._waiting: deque[Request] = deque()
        self._running: _Running | None = None

    def admit(self, request: Request) -> None:
        """See ``BatchingEngine``."""
        self._waiting.append(request)

    def cancel(self, request_id: int) -> None:
        """See ``BatchingEngine``."""
        self._waiting = deque(request for request in self._waiting if request.id != request_id)
        if self._running is not None and self._running.request.id == request_id:
            self._end()

    def step(self) -> Sequence[Event]:
        """See ``BatchingEngine``: begins a request, or takes one step of the search."""
        if self._running is None and not self._waiting:
            return ()
        request = self._waiting.popleft() if self._running is None else self._running.request
        try:
            if self._running is None:
                self._running = _Running(self._model, request)
                return [self._running.started()]
            events = next(self._running.events, None)
        except Exception as error:
            rows, length = self._running.size if self._running else (request.params.beam, 0)
            self._end()
            return [Failed(id=request.id, error=while_generating(error, rows, length).error)]
        if events is None:
            events = self._running.finish()
            self._running = None
        return events

    def warm_up(self) -> None:
        """Answer once, so that the first request does not pay for what torch does only once."""
        codec = self._model.codec
        word = codec.raw([len(codec.pieces) - 1])
        request = Request(model=self._model.name, prompt=word, params=Params(max_new=2))
        list(_Running(self._model, request).events)

    def _end(self) -> None:
        if self._running is not None:
            self._running.events.close()
            self._running = None
        if self._model.device.type == "cuda":
            torch.cuda.empty_cache()


class _Running:
    """The request that is being answered."""

    def __init__(self, model: Model, request: Request) -> None:
        self.request = request
        self._model = model
        self._prompt: Prompt = prompts.build(model, request)
        self._plan = Plan.of(request.params, len(model.codec.pieces))
        self._generation = Generation(model, request, self._prompt, self._plan)
        self._answer = Answer(request, model.codec)
        self._found: list[list[dict[str, Any]]] = []
        self.events: Relay[list[Event]] = Relay(self._generate)

    @property
    def size(self) -> tuple[int, int]:
        """Hypotheses, and their greatest length."""
        return self._plan.sentences * self._plan.beam, self._prompt.start + self._prompt.limit

    def started(self) -> Started:
        """The first event."""
        prompt = self._prompt
        return Started(
            id=self.request.id,
            prompt_ids=tuple(prompt.ids),
            prompt_text=prompt.text,
            truncated=prompt.truncated,
            notes=prompt.notes + self._plan.notes,
        )

    def finish(self) -> list[Event]:
        """The last events."""
        assert self._generation.watched is not None
        ended = self._generation.watched.ended
        return finished(self.request, self._model, self._prompt, self._plan, self._found, ended, self._answer)

    def _generate(self, emit: Callable[[list[Event]], None]) -> None:
        """Runs in the relay's thread."""

        def report(leads: Report) -> None:
            # Of several samples the first is shown.
            shown = [node for sentence, node in leads if sentence == 0 and node is not None]
            emit([event for node in shown for event in self._answer.follow(node)])

        self._found = self._generation.run(report)
