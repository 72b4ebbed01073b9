"""The command ``multigpu-repl``: reads its words, then hands over to one front end.

Standard output belongs to answers: everything said here goes to standard error. Nothing is imported before
it is known to be needed, so that ``--help`` is quick and no drawing process ever holds torch.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from repl import __version__, arguments, exits
from repl.arguments import PROGRAM, UsageError
from repl.spelling import is_unicode

if TYPE_CHECKING:
    from repl.config import Config
    from repl.options import Options


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code (``repl.exits``)."""
    # GPUs in the order of nvidia-smi, for us and for every replica.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    try:
        code = _obey(sys.argv[1:] if argv is None else argv)
        sys.stdout.flush()
        return code
    except UsageError as error:
        return _refuse(str(error))
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return exits.READER_GONE
    except Exception as error:
        if _expected(error):
            return _refuse(str(error))
        from repl.crash import report

        return report(error)


def _obey(argv: Sequence[str]) -> int:
    for word in argv:
        if not is_unicode(word):
            raise UsageError(f"{word} is not UTF-8: write it so, and name a file in it by another name")
    command, words = arguments.split(argv)
    try:
        return _COMMANDS[command](words)
    except SystemExit as leave:  # argparse, after --help or --version
        return leave.code if isinstance(leave.code, int) else exits.OK


def _open(words: Sequence[str]) -> int:
    said = arguments.opening(__version__).read(words)
    from repl.options import Options

    common = _common(said)
    config = _config(said)
    options = Options(
        **common,
        plain=said.plain,
        json=said.json,
        resume=said.resume,
        theme=said.theme or config.theme,
        no_record=said.no_record,
    )
    return _front_end(options)(config, options)


def _front_end(options: "Options") -> "Callable[[Config, Options], int]":
    if options.json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        from repl.line import pipe

        return pipe
    if options.plain or os.environ.get("TERM", "") in ("", "dumb"):
        from repl.line import run

        return run
    from repl.tui import run as draw

    return draw


def _run(words: Sequence[str]) -> int:
    said = arguments.run().read(words)
    from pathlib import Path

    from repl import batch
    from repl.options import BatchOptions

    options = BatchOptions(
        **_common(said),
        input=None if said.input == "-" else Path(said.input),
        output=None if said.output == "-" else Path(said.output),
        format=said.format,
        chain=said.chain,
        restart=said.restart,
        quiet=said.quiet,
    )
    return batch.run(_config(said), options)


def _bench(words: Sequence[str]) -> int:
    from pathlib import Path

    from repl import bench

    said = arguments.bench(list(bench.BENCHES)).read(words)
    try:
        return bench.main(
            said.names,
            json_path=Path(said.json) if said.json else None,
            quick=said.quick,
            trace=Path(said.replay) if said.replay else None,
        )
    except bench.BenchError as error:
        raise UsageError(str(error)) from None


def _doctor(words: Sequence[str]) -> int:
    said = arguments.doctor().read(words)
    from repl import doctor

    return doctor.main(as_json=said.json, quick=said.quick)


def _install(words: Sequence[str]) -> int:
    from repl import install

    said = arguments.install(list(install.RECIPES)).read(words)
    return install.main(said.what, constraints=said.constraint)


def _fairseq_interactive(words: Sequence[str]) -> int:
    from repl import interactive

    return interactive.run(words)


def _records(words: Sequence[str]) -> int:
    said = arguments.records().read(words)
    from repl import records

    return records.main(said)


_COMMANDS: dict[str | None, Callable[[Sequence[str]], int]] = {
    None: _open,
    "run": _run,
    "fairseq-interactive": _fairseq_interactive,
    "records": _records,
    "bench": _bench,
    "doctor": _doctor,
    "install": _install,
}


def _config(said: argparse.Namespace) -> "Config":
    from repl.config import Arguments, choose

    config = choose(
        Arguments(
            config=said.config,
            models=tuple(said.model),
            compare=tuple(name for word in said.compare for name in word.split(",") if name),
            backend=said.backend,
            data=said.data,
            devices=said.devices,
            replicas=said.replicas,
            dtype=said.dtype,
            slots=said.slots,
            gpus_per_replica=said.gpus_per_replica,
            trust=tuple(said.trust),
        )
    )
    if any(isinstance(m.replicas, tuple) or m.gpus_per_replica > 1 for m in config.models.values()):
        from repl.devices import plan

        plan(config)  # a device that is not there is told before a screen is taken
    return config


def _common(said: argparse.Namespace) -> dict[str, Any]:
    """What every kind of ``Options`` has."""
    from pathlib import Path

    from repl.params import ParamError, Value, parameter, parse

    settings: dict[str, Value] = {}
    for word in said.set:
        name, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"--set {word}: write NAME=VALUE, as in --set temperature=0.7")
        try:
            settings[parameter(name).name] = parse(name, value)
        except ParamError as error:
            raise UsageError(f"--set {word}: {error}") from None
    return {
        "settings": settings,
        "system": said.system,
        "template": said.template,
        "trace": Path(said.trace) if said.trace else None,
        "metrics_port": said.metrics_port,
    }


def _expected(error: Exception) -> bool:
    """Whether it is a fault of the configuration, in words for the user."""
    module = sys.modules.get("repl.config")  # never loaded: then it cannot be one
    return module is not None and isinstance(error, module.ConfigError)


def _refuse(message: str) -> int:
    from repl.safe import visible

    print(f"{PROGRAM}: {visible(message)}", file=sys.stderr)
    return exits.USAGE


def _discard_output() -> None:
    """Keep Python from complaining at exit about a reader that has gone."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
