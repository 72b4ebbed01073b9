"""``multigpu-repl bench``: the quality bars, each measured beside its peer in the same run.

A benchmark is a module with ``ABOUT`` and ``run(quick) -> Report``. Timings never gate a test: they are read
by people, as ratios with their spread.
"""

import importlib
import sys
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from repl import exits
from repl.bench.errors import BenchError
from repl.spelling import nearest

if TYPE_CHECKING:
    from repl.bench.report import Report

__all__ = ["BENCHES", "BenchError", "main"]

BENCHES: Mapping[str, str] = {
    "dispatch": "waiting behind the central queue against the best that any dispatcher could do",
    "stream": "tokens through the whole path against the backend alone",
    "replicas": "two replicas of a CPU-bound model, a core each, against one",
    "batch": "a file of prompts against fairseq-interactive; 16 requests at once against one by one",
    "engine": "one stream, many at once and second turns against transformers' generate",
    "fairseq": "lines through a fairseq model against fairseq-interactive, at two sizes",
    "paint": "start-up: --help, and the app's first paint",
    "keys": "key echo in a real terminal while 8 panes stream",
}


def main(
    names: Sequence[str] = (),
    *,
    json_path: Path | None = None,
    quick: bool = False,
    trace: Path | None = None,
) -> int:
    """Run the named benchmarks (all by default), print each as it ends; returns an exit code.

    With ``trace`` only that is replayed. Raises ``BenchError`` for an unknown name or what is no trace.
    """
    from rich.console import Console

    from repl.bench.report import machine, save, show

    for name in names:
        if name not in BENCHES:
            near = nearest(name, BENCHES)
            hint = f"did you mean '{near}'?" if near else "known are " + ", ".join(BENCHES)
            raise BenchError(f"there is no benchmark '{name}': {hint}")
    console = Console(width=max(100, Console().width), markup=False)
    console.print(" · ".join(f"{key} {value}" for key, value in machine().items()), highlight=False)
    reports = []
    for run in (
        [partial(_replay, trace)] if trace else [partial(_run, name, quick) for name in names or BENCHES]
    ):
        report = run()
        show(report, console)
        reports.append(report)
        if json_path is not None:
            save(reports, json_path)
    return exits.OK if any(not r.skipped for r in reports) else exits.SOME_FAILED


def _run(name: str, quick: bool) -> "Report":
    print(f"running {name} ...", file=sys.stderr, flush=True)
    report: Report = importlib.import_module(f"repl.bench.{name}").run(quick=quick)
    return report


def _replay(trace: Path) -> "Report":
    from repl import eventloop
    from repl.bench.replay import replay

    try:
        return eventloop.run(replay(trace))
    except OSError as error:
        raise BenchError(f"{trace}: {error.strerror}") from None
