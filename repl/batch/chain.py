"""Each line through a chain of models: the output of one is the input of the next."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence

import msgspec

from repl.batch.errors import BatchError
from repl.batch.record import Record
from repl.batch.source import Item
from repl.config import Config, ModelConfig
from repl.messages import Error
from repl.probe.chain import Fault, Stage, check, fill, join, parse

Ask = Callable[[Item, ModelConfig], Awaitable[Record]]
USAGE = "--chain 'a>b', --chain '(a,b)>\"Which is better? {}\">c'; the last model answers alone"


def read(text: str, config: Config) -> tuple[Stage, ...]:
    """The stages of ``--chain``; raises ``BatchError``."""
    try:
        stages, rest = parse(text)
        check(stages)
        if rest:
            raise Fault(f"'{rest}' is no part of a chain")
        unknown = [model for stage in stages for model in stage.models if model not in config.models]
        if unknown:
            raise Fault(f"there is no model '{unknown[0]}', there are {', '.join(config.models)}")
        if len(stages[-1].models) > 1:
            raise Fault(f"{' and '.join(stages[-1].models)} cannot both write the line's answer")
    except Fault as fault:
        raise BatchError(f"--chain {text}: {fault}", USAGE) from None
    return stages


async def passed(stages: Sequence[Stage], item: Item, ask: Ask, models: Mapping[str, ModelConfig]) -> Record:
    """The answer at the end of the chain, or the first hop's error: a line is whole or it failed."""
    given, outputs = item.prompt, dict[str, str]()
    hops: list[Record] = []
    *before, last = stages
    for number, stage in enumerate(before, 1):
        asked = msgspec.structs.replace(item, prompt=fill(stage.template, given, item.prompt, outputs))
        records = await asyncio.gather(*(ask(asked, models[name]) for name in stage.models))
        for record in records:
            if record.error is None and not _text(record):
                record.error = Error(kind="empty_prompt", message="it wrote nothing to pass on", hint="")
            if record.error is not None:
                return _ended(record, item, hops, f"hop {number} of {len(stages)}, {record.model}: ")
        hops += records
        own = {record.model: _text(record) for record in records}
        outputs |= own
        given = join(own)
    asked = msgspec.structs.replace(item, prompt=fill(last.template, given, item.prompt, outputs))
    return _ended(await ask(asked, models[last.models[0]]), item, hops, f"hop {len(stages)}, the last: ")


def _ended(record: Record, item: Item, hops: list[Record], where: str) -> Record:
    """The line's record: with the prompt of the line, and the place of its error."""
    error = record.error
    if error is not None:
        error = msgspec.structs.replace(error, message=where + error.message)
    return msgspec.structs.replace(record, item=item, error=error, hops=hops)


def _text(record: Record) -> str:
    return record.answer.text.strip() if record.answer is not None else ""
