"""Answers lines as ``repl.interactive.flags`` understood the command."""

import os
import sys
from collections.abc import AsyncIterator
from functools import partial

import msgspec

from repl import exits
from repl.batch.errors import BatchError
from repl.batch.journal import Header, Mark
from repl.batch.output import StreamOutput
from repl.batch.progress import report
from repl.batch.record import as_fairseq
from repl.batch.runner import WINDOW, Asked, Digest, Runner
from repl.batch.source import Item, items
from repl.config import Arguments, Config, choose
from repl.devices import plan
from repl.interactive.flags import Wanted
from repl.messages import Error
from repl.opening import open_pool
from repl.options import Options
from repl.streams import Feed

STDIN, STDOUT = 0, 1
MODEL = "model"


async def perform(wanted: Wanted) -> int:
    """The exit code; raises ``BatchError``, ``ConfigError``, and ``BrokenPipeError`` without a reader."""
    config = configuration(wanted)
    fd = _open(wanted.input)
    header = Header(input="text", output="fairseq", seed=wanted.seed, models={})
    output = StreamOutput(STDOUT, header)
    shown = report(wanted.input, None, Mark(), quiet=True)
    asked = Asked(
        models=config.models,
        settings=wanted.settings,
        seed=output.seed,
        task="score" if wanted.score else "generate",
        attention=wanted.style.alignment == "soft",
    )
    async with open_pool(config, Options(), plan(config), 2 * WINDOW) as pool:
        runner = Runner(pool, asked, output, partial(as_fairseq, style=wanted.style), shown)
        if os.isatty(fd):
            print("Type the input sentence and press return:", file=sys.stderr)
        await runner.run(_lines(fd, wanted), Digest())
    return exits.SOME_FAILED if output.mark.failed else exits.OK


def configuration(wanted: Wanted) -> Config:
    """One model, on the devices and with the options that were asked for."""
    devices = wanted.devices
    if wanted.replicas and devices is None:
        devices = ",".join(str(number) for number in range(int(wanted.replicas)))
    config = choose(
        Arguments(
            models=(f"{MODEL}={wanted.path}",),
            backend="fairseq",
            data=wanted.data,
            devices=devices,
            dtype=wanted.dtype,
            slots=wanted.slots,
        )
    )
    model = msgspec.structs.replace(config.models[MODEL], options=wanted.options, trust=wanted.trust)
    return msgspec.structs.replace(config, models={MODEL: model})


async def _lines(fd: int, wanted: Wanted) -> AsyncIterator[Item]:
    async for item in items(aiter(Feed(fd)), jsonl=False):
        yield taken_apart(item, wanted)


def taken_apart(item: Item, wanted: Wanted) -> Item:
    """``[PREFIX<TAB>]SOURCE[<TAB>CONSTRAINT ...]``, or ``SOURCE<TAB>REFERENCE``: what the flags say it is.

    The answer is to begin with the first ``--prefix-size`` words of the prefix.
    """
    if item.error is not None:
        return item
    if wanted.score:
        source, _, reference = item.prompt.partition("\t")
        if not reference.strip():
            error = Error(
                kind="bad_line",
                message="the line has no reference to score",
                hint="write SOURCE, a tab and REFERENCE on each line",
            )
            return msgspec.structs.replace(item, prompt=source, error=error)
        return msgspec.structs.replace(item, prompt=source, target=reference)
    if wanted.prefix and "\t" in item.prompt:
        prefix, _, source = item.prompt.partition("\t")
        words = prefix.split()[: wanted.prefix]
        item = msgspec.structs.replace(item, prompt=source, prefix=" ".join(words))
    if wanted.constraints and "\t" in item.prompt:
        source, *phrases = item.prompt.split("\t")
        params = {**item.params, "constraints": tuple(phrase for phrase in phrases if phrase.strip())}
        item = msgspec.structs.replace(item, prompt=source, params=params)
    return item


def _open(name: str) -> int:
    if name == "-":
        return STDIN
    try:
        return os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise BatchError(f"{name}: {error.strerror}", "name the file of lines with --input") from None
