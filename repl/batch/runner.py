"""Sends every line of the input to every model and writes what comes back, in the order of the input.

So many lines are on their way at once that all replicas are busy even while a slow line holds up the output;
beyond that, reading waits. ``repl.batch.run`` gives it its parts.
"""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from typing import Protocol

import msgspec

from repl import exits
from repl.batch.chain import passed
from repl.batch.errors import BatchError
from repl.batch.journal import Mark
from repl.batch.output import Output
from repl.batch.record import Record, Writer
from repl.batch.source import Item
from repl.config import ModelConfig
from repl.messages import Error, Event, Failed, Lost, Message, Request, Stopped, Task, Terminal
from repl.params import Params, Value
from repl.pool import Coordinator, Ticket
from repl.probe.chain import Stage
from repl.session.answer import Answer
from repl.session.decoding import decoding, level

WINDOW = 512
"""Lines on their way at once, for each model: several for each slot of a large machine."""
WINDOW_BYTES = 64 << 20
"""Of prompts on their way at once."""
TRIES = 3
"""Times a line is begun that loses its replica in the middle of the answer."""
UP = ("starting", "loading", "ready", "busy", "restarting")


def seed_of_line(seed: int, index: int) -> int:
    """The seed of line ``index`` (from 0): 63 bits of BLAKE2b over it and the run's, alike everywhere."""
    digest = hashlib.blake2b(f"{seed}:{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") >> 1


def dishonoured(model: ModelConfig, names: Sequence[str]) -> Error:
    """Why a model is not asked: a comparison may mark what it ignores, a file of answers must not differ."""
    return Error(
        kind="bad_parameter",
        message=f"{model.name} ({model.backend}) cannot honour {', '.join(names)}",
        hint="leave that out of the settings, the line or the model's defaults",
    )


class Digest:
    """A running hash over the lines of the input."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)

    def add(self, item: Item) -> str:
        """Take the next line; returns the hash over all so far."""
        raw = item.raw
        self._hash.update(raw.length.to_bytes(8, "little"))
        self._hash.update(raw.data)
        return self._hash.copy().hexdigest()


class Observer(Protocol):
    """Is told how the run goes."""

    def wrote(self, mark: Mark, item: Item) -> None:
        """The output now holds everything up to ``item``."""
        ...

    def failed(self, record: Record) -> None:
        """This line got no answer."""
        ...


class _Job(msgspec.Struct):
    """A line on its way."""

    item: Item
    answers: list["asyncio.Task[Record]"]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What every line asks, and of whom."""

    models: Mapping[str, ModelConfig]
    settings: Mapping[str, Value]
    """Over the models' defaults, without the seed."""
    seed: int
    """Of the run."""
    system: str = ""
    """System prompt, for models with a chat template."""
    task: Task = "generate"
    """``score`` has each line's target scored, its end token too."""
    attention: bool = False
    """Ask what the answers attend to."""
    chain: tuple[Stage, ...] = ()
    """Each line goes through the models one after another, not to all of them."""


class Runner:
    """One run, from where ``output`` stands to the end of the input."""

    def __init__(
        self,
        coordinator: Coordinator,
        asked: Asked,
        output: Output,
        writer: Writer,
        observer: Observer,
    ) -> None:
        self._coordinator = coordinator
        self._asked = asked
        self._history = (Message("system", asked.system),) if asked.system else ()
        self._output = output
        self._writer = writer
        self._observer = observer
        self._jobs: asyncio.Queue[_Job | None] = asyncio.Queue(WINDOW)
        self._suspects = asyncio.Lock()
        """Lines that lost their replica are tried again one by one: one of them may have killed it."""
        self._held = 0
        self._room = asyncio.Event()

    async def run(self, items: AsyncIterator[Item], digest: Digest) -> None:
        """Work off ``items``; ``digest`` is over those before. Raises ``BatchError`` and ``OSError``."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._send(items, group))
                group.create_task(self._write(digest))
        except* BatchError as stopped:
            raise stopped.exceptions[0] from None
        except* OSError as failed:
            raise failed.exceptions[0] from None

    async def _send(self, items: AsyncIterator[Item], group: asyncio.TaskGroup) -> None:
        async for item in items:
            while self._held > WINDOW_BYTES:
                self._room.clear()
                await self._room.wait()
            self._held += len(item.raw.data)
            answers = [group.create_task(answer) for answer in self._answers(item)]
            await self._jobs.put(_Job(item, answers))
        await self._jobs.put(None)

    def _answers(self, item: Item) -> list[Coroutine[None, None, Record]]:
        models, chain = self._asked.models, self._asked.chain
        if chain and item.error is None:
            return [passed(chain, item, self._answer, models)]
        wanted = [models[chain[-1].models[0]]] if chain else models.values()
        return [self._answer(item, model) for model in wanted]

    async def _write(self, digest: Digest) -> None:
        while (job := await self._jobs.get()) is not None:
            records = [await answer for answer in job.answers]
            before = self._output.mark
            after = msgspec.structs.replace(
                before,
                lines=before.lines + 1,
                digest=digest.add(job.item),
                records=before.records + len(records),
                failed=before.failed + sum(record.error is not None for record in records),
                tokens=before.tokens + sum(len(record.tokens) for record in records),
            )
            data = b"".join(map(self._writer, records))
            after = msgspec.structs.replace(after, end=before.end + len(data))
            await self._output.append(data, after)
            self._held -= len(job.item.raw.data)
            self._room.set()
            for record in records:
                if record.error is not None:
                    self._observer.failed(record)
            self._observer.wrote(after, job.item)

    async def _answer(self, item: Item, model: ModelConfig) -> Record:
        """Ask one model, anew if a replica is lost over it."""
        record = Record(item=item, model=model.name, error=item.error)
        if item.error is not None:
            return record
        wanted = decoding(model, {**self._asked.settings, **item.params})
        if wanted.ignored:
            record.error = dishonoured(model, wanted.ignored)
            return record
        record.params = self._seeded(wanted.params, model, item)
        request = Request(
            model=model.name,
            prompt=item.prompt,
            prefix=item.prefix,
            params=record.params,
            history=self._history,
            template=model.template,
            task=self._asked.task,
            target=item.target,
            closing=self._asked.task == "score",
            attention=self._asked.attention,
        )
        end = await self._try(record, request)
        while isinstance(end, Lost) and record.tries < TRIES:
            async with self._suspects:
                end = await self._try(record, request)
        record.error = self._error(end, record)
        return record

    async def _try(self, record: Record, request: Request) -> Terminal:
        record.answer = Answer()
        ticket = self._submit(request, record.answer)
        end = await ticket.wait()
        record.tries += ticket.tries
        record.replica, record.timings = ticket.replica, ticket.timings
        return end

    def _submit(self, request: Request, answer: Answer) -> Ticket:
        def sink(ticket: Ticket, event: Event) -> None:
            answer.feed(event)

        return self._coordinator.submit(request, user="batch", interactive=False, sink=sink)

    def _seeded(self, params: Params, model: ModelConfig, item: Item) -> Params:
        """Each line has its own seed, its own choice first; a model's default would be one for all lines."""
        if item.params.get("seed") is not None or level(model.backend, "seed").level == "none":
            return params
        return msgspec.structs.replace(params, seed=seed_of_line(self._asked.seed, item.index))

    def _error(self, end: Terminal, record: Record) -> Error | None:
        """Of a line, if it has one; raises ``BatchError`` where it is not the line's fault."""
        if isinstance(end, Stopped):
            if end.reason == "deadline":
                return None  # what there is by then is the answer, as it is at max_new
            hint = "run the same command again to go on"
            return Error(kind="stopped", message=f"the answer was stopped ({end.reason})", hint=hint)
        if not isinstance(end, Failed | Lost):
            return None
        model = record.model
        alive = any(s.state in UP for s in self._coordinator.status() if s.model == model)
        if record.tries == 0 and not alive:
            raise BatchError(
                f"no replica of {model} is left: {end.error.message}", end.error.hint, code=exits.NO_MODEL
            )
        return end.error
