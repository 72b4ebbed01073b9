"""One batch run from the command line's wishes to the exit code."""

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import msgspec

from repl import exits
from repl.batch.chain import read as read_chain
from repl.batch.errors import BatchError
from repl.batch.journal import Header
from repl.batch.output import FileOutput, Output, StreamOutput
from repl.batch.progress import Report, report
from repl.batch.record import writer
from repl.batch.runner import WINDOW, Asked, Digest, Runner, dishonoured
from repl.batch.source import Item, items
from repl.config import Config, ModelConfig
from repl.devices import plan
from repl.opening import open_pool
from repl.options import BatchOptions
from repl.params import Value, changed
from repl.probe.chain import Stage
from repl.probe.figure import plural
from repl.session.decoding import decoding
from repl.streams import Feed

STDIN, STDOUT = 0, 1


class _Input(msgspec.Struct, frozen=True):
    """What prompts are read from."""

    fd: int
    name: str
    """For messages."""
    size: int | None
    """Bytes, of a regular file."""
    jsonl: bool


async def perform(config: Config, options: BatchOptions) -> int:
    """Do it all; raises ``BatchError``, and ``BrokenPipeError`` when nobody reads the output any more."""
    options = replace(options, chain=config.chains.get(options.chain, options.chain))
    chain = read_chain(options.chain, config) if options.chain else ()
    named = dict.fromkeys(name for stage in chain for name in stage.models) if chain else config.compare
    models = {name: config.models[name] for name in named}
    with ExitStack() as opened:
        source = _open_input(options.input, opened)
        output = _open_output(source, _header(models, options, source.jsonl), options, opened)
        shown = report(source.name, source.size, output.mark, quiet=options.quiet)
        if source.fd == STDIN and os.isatty(STDIN) and not options.quiet:
            shown.say("each line you type is a prompt; Ctrl+D ends them, and --input FILE reads a file")
        try:
            await _answer_all(config, models, chain, options, source, output, shown)
        except asyncio.CancelledError:
            again = "; the same command goes on from there" if isinstance(output, FileOutput) else ""
            shown.close()
            shown.say(f"stopped after {plural(output.mark.lines, 'line')}{again}")
            raise
        finally:
            shown.close()
            await output.close()
        if not options.quiet:
            shown.say(shown.summary())
        return exits.SOME_FAILED if output.mark.failed else exits.OK


async def _answer_all(
    config: Config,
    models: Mapping[str, ModelConfig],
    chain: tuple[Stage, ...],
    options: BatchOptions,
    source: _Input,
    output: Output,
    shown: Report,
) -> None:
    lines = items(aiter(Feed(source.fd)), jsonl=source.jsonl)
    digest = Digest()
    await _skip(lines, digest, output, source.name)
    first = await anext(lines, None)
    if first is None:
        return
    plans = plan(msgspec.structs.replace(config, models=dict(models)))
    async with open_pool(config, options, plans, 2 * WINDOW) as coordinator:
        coordinator.watch(shown.replica)
        asked = Asked(
            models={
                name: msgspec.structs.replace(model, template=_template(model, options))
                for name, model in models.items()
            },
            settings=_without_seed(options.settings),
            seed=output.seed,
            system=options.system,
            chain=chain,
        )
        written = writer(options.format, 1 if chain else len(models))
        runner = Runner(coordinator, asked, output, written, shown)
        try:
            await runner.run(_chain(first, lines), digest)
        except BrokenPipeError:
            raise
        except OSError as error:
            raise BatchError(
                f"{error.strerror} ({options.output or 'output'}, after {plural(output.mark.lines, 'line')})",
                "put that right and run the same command again",
                code=exits.SOME_FAILED,
            ) from None


def _template(model: ModelConfig, options: BatchOptions) -> bool:
    return model.template if options.template is None else options.template


async def _skip(lines: AsyncIterator[Item], digest: Digest, output: Output, name: str) -> None:
    """Pass over what an earlier run has done; raises ``BatchError`` if it was something else."""
    mark = output.mark
    found = ""
    for done in range(mark.lines):
        item = await anext(lines, None)
        if item is None:
            raise BatchError(
                f"{name} has {plural(done, 'line')}, but the output answers {mark.lines:,}",
                "run with the input it was begun with, or --restart to begin anew",
            )
        found = digest.add(item)
    if found != mark.digest:
        raise BatchError(
            f"the first {mark.lines:,} lines of {name} are not those that the output answers",
            "run with the input it was begun with, or --restart to begin anew",
        )


async def _chain(first: Item, rest: AsyncIterator[Item]) -> AsyncIterator[Item]:
    yield first
    async for item in rest:
        yield item


def _header(models: Mapping[str, ModelConfig], options: BatchOptions, jsonl: bool) -> Header:
    """What this run is; raises ``BatchError`` for one that cannot be."""
    if options.format == "fairseq" and len(models) > 1 and not options.chain:
        names = ", ".join(models)
        raise BatchError(
            f"--format fairseq has no place for the names of several models: {names}",
            "choose one with --model or --compare",
        )
    described: dict[str, dict[str, object]] = {}
    for name, model in models.items():
        asked = decoding(model, options.settings)
        if asked.ignored:
            error = dishonoured(model, asked.ignored)
            raise BatchError(error.message, error.hint)
        described[name] = {
            "backend": model.backend,
            "path": model.path,
            "data": model.data,
            "dtype": model.dtype,
            "template": _template(model, options),
            "prompt_template": model.prompt_template,
            "options": model.options,
            "parameters": _without_seed(changed(asked.params)),
        }
    return Header(
        input="jsonl" if jsonl else "text",
        system=options.system,
        output=options.format,
        seed=_seed(models, options),
        models=described,
        chain=options.chain,
    )


def _seed(models: Mapping[str, ModelConfig], options: BatchOptions) -> int | None:
    """As set, or of the first model that has one by default."""
    defaults = [model.defaults.get("seed") for model in models.values()]
    given = [seed for seed in (options.settings.get("seed"), *defaults) if isinstance(seed, int)]
    return given[0] if given else None


def _without_seed(settings: Mapping[str, Value]) -> dict[str, Value]:
    return {name: value for name, value in settings.items() if name != "seed"}


def _open_input(path: Path | None, opened: ExitStack) -> _Input:
    if path is None:
        return _Input(STDIN, "standard input", None, jsonl=False)
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise BatchError(f"{path}: {error.strerror}", "name the file of prompts with --input") from None
    opened.callback(os.close, fd)
    status = os.fstat(fd)
    if stat.S_ISDIR(status.st_mode):
        raise BatchError(f"{path}: is a folder", "name a file of prompts with --input")
    size = status.st_size if stat.S_ISREG(status.st_mode) else None
    return _Input(fd, str(path), size, jsonl=path.suffix == ".jsonl")


def _open_output(source: _Input, header: Header, options: BatchOptions, opened: ExitStack) -> Output:
    """A file that can be gone on with where it is a regular one, else a stream."""
    path = options.output
    if path is None:
        return StreamOutput(STDOUT, header)
    try:
        if path.exists() and os.path.samestat(path.stat(), os.fstat(source.fd)):
            raise BatchError(f"{path}: is the input, too", "name another --output")
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC) if path.exists() and not path.is_file() else None
    except OSError as error:
        raise BatchError(f"{path}: {error.strerror}", "name another --output") from None
    if fd is not None:
        opened.callback(os.close, fd)
        return StreamOutput(fd, header)
    return FileOutput(path, header, restart=options.restart)
