"""The engine: batches of requests, each taking one step of fairseq's search for each ``step``."""

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import chain

import torch

from backends import cuda
from backends.base import BackendError, Progress
from backends.fairseq import load as loading
from backends.fairseq.batch import Batch
from backends.fairseq.load import Model
from backends.fairseq.member import Member
from backends.fairseq.passes import Passes
from backends.fairseq.probe import Probe
from backends.fairseq.scoring import score
from backends.fairseq.tokenizing import tokenize
from backends.fairseq.waiting import Waiting
from backends.faults import is_out_of_memory, while_generating
from backends.outbox import Outbox
from repl.messages import Capabilities, Event, Failed, Finished, ModelSpec, Request
from repl.params import Params

CPU_SLOTS = 16
GPU_SLOTS = 64
_NAP = 0.0002
"""Seconds for which requests on the way are waited for at a time."""


def load(spec: ModelSpec, device: str, threads: int, progress: Progress) -> "FairseqEngine":
    """An engine that has answered once; raises ``BackendError``."""
    cuda.begin(spec.name, device)
    torch.set_num_threads(threads)
    slots = spec.slots or (CPU_SLOTS if device == "cpu" else GPU_SLOTS)
    engine = FairseqEngine(loading.load(spec, device, progress), slots)
    progress("warm-up", None)
    engine.warm_up()
    return engine


class FairseqEngine:
    """A ``backends.base.BatchingEngine`` over one loaded model or ensemble."""

    def __init__(self, model: Model, slots: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.capabilities = Capabilities(
            kind="causal" if model.causal else "seq2seq",
            slots=slots,
            max_prompt=model.max_prompt,
            vocab_size=len(model.codec.pieces),
            vocab_fingerprint=model.codec.fingerprint,
            checkpoint_hash=model.checkpoint_hash,
            dtype=model.dtype,
            parameters=model.parameters,
            notes=model.notes,
            resumes=True,
            tasks=("generate", "score", "tokenize"),
            distributions=True,
            attention=not model.causal,
        )
        self._model = model
        self._probe = Probe(model.networks)
        self._arrived: list[Request] = []
        self._waiting = Waiting(slots, clock)
        self._batches: list[Batch] = []
        self._passes = Passes(model, slots)
        self._lookups: deque[tuple[Request, Iterator[list[Event]]]] = deque()
        """Requests that draw nothing; they have their turns between the steps of the batches."""
        self._outbox = Outbox()

    def admit(self, request: Request) -> None:
        """See ``BatchingEngine``."""
        self._arrived.append(request)

    def cancel(self, request_id: int) -> None:
        """See ``BatchingEngine``."""
        self._arrived = [request for request in self._arrived if request.id != request_id]
        self._waiting.remove(request_id)
        self._lookups = deque(each for each in self._lookups if each[0].id != request_id)
        self._outbox.forget(request_id)
        for batch in self._batches:
            if batch.remove(request_id) and not batch.members:
                self._release()
        self._batches = [batch for batch in self._batches if batch.members]

    def step(self) -> Sequence[Event]:
        """See ``BatchingEngine``: begins what is to begin, then takes one step of each batch.

        What is too much for one call comes with the next ones, before anything else is done.
        """
        if not self._outbox:
            self._outbox.put(self._work())
        return self._outbox.take()

    def _work(self) -> list[Event]:
        events = self._receive()
        while members := self._next():
            try:
                self._batches.append(Batch(self._model, self._probe, members))
            except Exception as error:
                events += self._broken_off(members, error)
        if self._lookups:
            events += self._look_up(*self._lookups[0])
        elif not self._batches and len(self._waiting):
            time.sleep(_NAP)
        for batch in self._batches:
            events += self._advance(batch)
        self._batches = [batch for batch in self._batches if batch.members]
        if any(isinstance(event, Finished | Failed) for event in events):
            self._waiting.ended()
        return events

    def warm_up(self) -> None:
        """Answer once, so that the first request does not pay for what torch does only once."""
        dictionary = self._model.task.source_dictionary
        word = dictionary[dictionary.nspecial]
        request = Request(model=self._model.name, prompt=word, params=Params(max_new=2))
        batch = Batch(self._model, self._probe, [Member.of(self._model, request)])
        while batch.members:
            batch.step()

    def _next(self) -> list[Member]:
        """Those to begin now."""
        running = [member for batch in self._batches for member in batch.members]
        return self._waiting.next(len(running), sum(member.request.interactive for member in running))

    def _receive(self) -> list[Event]:
        """Read the prompts that have come."""
        arrived, self._arrived = self._arrived, []
        events: list[Event] = []
        for request in arrived:
            try:
                if request.task == "generate":
                    self._waiting.add(Member.of(self._model, request))
                else:
                    parts = self._answering(request)
                    # What can be said before anything is computed shows with whom it can be computed.
                    self._lookups.append((request, chain([next(parts)], parts)))
            except Exception as error:
                told = while_generating(error, "fairseq", request.params.beam, 0)
                events.append(Failed(id=request.id, error=told.error))
        return events

    def _answering(self, request: Request) -> Iterator[list[Event]]:
        """The events of a request that draws nothing, in parts."""
        if request.task == "score":
            return score(self._model, request, self._passes)
        if request.task == "tokenize":
            return iter([tokenize(self._model, request)])
        raise BackendError(
            "unsupported",
            f"model '{self._model.name}' cannot be asked for the task '{request.task}'",
            "a fairseq model does generate, score and tokenize",
        )

    def _look_up(self, request: Request, parts: Iterator[list[Event]]) -> list[Event]:
        """The next part of the answer to a request that draws nothing."""
        try:
            events = next(parts)
        except Exception as error:
            self._lookups.popleft()
            self._give_back(error)
            told = while_generating(error, "fairseq", 1, self._model.max_target)
            return [Failed(id=request.id, error=told.error)]
        if isinstance(events[-1], Finished):
            self._lookups.popleft()
        return events

    def _advance(self, batch: Batch) -> list[Event]:
        try:
            return batch.step()
        except Exception as error:
            members = batch.members[:]
            batch.members.clear()
            return batch.untold() + self._broken_off(members, error)

    def _broken_off(self, members: Sequence[Member], error: Exception) -> list[Event]:
        """Whoever was alone in a batch that broke has failed; of several each gets a try alone."""
        self._give_back(error)
        if len(members) > 1:
            for member in members:
                member.again()
                self._waiting.add(member)
            return []
        return [
            Failed(id=m.request.id, error=while_generating(error, "fairseq", *m.size).error) for m in members
        ]

    def _give_back(self, error: Exception) -> None:
        """Let go of the memory of what has failed, and leave if its cause leaves no use of the device."""
        error.__traceback__ = None  # whose frames hold the tensors
        if not isinstance(error, BackendError) and not is_out_of_memory(error):
            cuda.end_if_lost()
        self._release()

    def _release(self) -> None:
        if self._model.device.type == "cuda":
            torch.cuda.empty_cache()
