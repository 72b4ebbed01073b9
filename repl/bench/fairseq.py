"""Lines of a file through a fairseq model against ``fairseq-interactive``, at two sizes, on two engines.

The same model, lines and settings, start-up not counted on any side. Each pool has two replicas of a core
each, ``fairseq-interactive`` and bare CTranslate2 both cores. All are measured in turn in each round.
``repl.bench.batch`` takes the figure of the demo model from here.
"""

import asyncio
import importlib.util
import random
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec

from repl import eventloop
from repl.bench import footprint
from repl.bench.alone import Alone, Job
from repl.bench.peers import interactive
from repl.bench.report import Figure, Report
from repl.bench.rounds import cores, through
from repl.demo import model_path
from repl.demo.number_words import to_words
from repl.messages import ModelSpec
from repl.params import Params
from repl.pool import Coordinator, ReplicaPlan

BEAM = 5
BATCH, LINE, BARE = "interactive, batch 64", "interactive, line by line", "bare CTranslate2"


class Ours(msgspec.Struct, frozen=True):
    """An engine of the product."""

    name: str
    backend: str
    dtype: str
    bars: Mapping[str, float]
    """How many times the rate of a peer its own is to be."""

    def spec(self, folder: Path) -> ModelSpec:
        """The model in ``folder``, as this engine runs it."""
        return ModelSpec(
            name=self.name, backend=self.backend, path=str(folder / "model.pt"), dtype=self.dtype
        )


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A model with what it is asked."""

    name: str
    folder: Path
    """With ``model.pt`` and its dictionaries."""
    lines: list[str]
    longest: int
    """Tokens of an answer."""
    ours: tuple[Ours, ...]
    singly: int
    """How many of the lines ``fairseq-interactive`` gets line by line: enough for a rate; 0 for none."""
    together: int
    """Lines in a batch of bare CTranslate2: as many as serve it best."""
    options: tuple[str, ...] = ()
    """Of ``fairseq-interactive``, whoever runs it how."""

    @property
    def params(self) -> Params:
        """The settings of every line."""
        return Params(beam=BEAM, max_new=self.longest)


def demo(lines: int, *, everything: bool = True) -> Case:
    """The embedded number translator; without ``everything`` the least that gives the batch's figure."""
    step = 99_000 // lines
    ours = [Ours("fairseq", "fairseq", "float32", {BATCH: 1.8})]
    if everything:
        ours += _compiled({"float32": {BATCH: 8.0}})
    return Case(
        name="demo model",
        folder=model_path("num2digits"),
        lines=[to_words(n) for n in range(1013, 100_000, step)][:lines],
        longest=24,
        ours=tuple(ours),
        singly=lines // 4 if everything else 0,
        together=64,
    )


def base(folder: Path, lines: int) -> Case:
    """``--arch transformer`` with random weights, built in ``folder``; lines of 8 to 30 words."""
    command = [sys.executable, "-P", "-m", "repl.bench.peers.random_transformer", str(folder)]
    subprocess.run(command, check=True)
    draw = random.Random(1)
    words = [[f"w{draw.randrange(16_000)}" for _ in range(draw.randint(8, 30))] for _ in range(lines)]
    compiled = _compiled({"float32": {BATCH: 1.4, BARE: 0.9}, "int8": {BATCH: 2.0, BARE: 0.9}})
    return Case(
        name="base size",
        folder=folder,
        lines=[" ".join(line) for line in words],
        longest=30,
        ours=(Ours("fairseq", "fairseq", "float32", {BATCH: 1.15, LINE: 6.0}), *compiled),
        singly=max(8, lines // 8),
        together=16,
        options=("--source-lang", "src", "--target-lang", "tgt"),
    )


def _compiled(bars: Mapping[str, Mapping[str, float]]) -> list[Ours]:
    """CTranslate2 in each type, where it is installed."""
    if importlib.util.find_spec("ctranslate2") is None:
        return []
    return [Ours(f"ctranslate2 {dtype}", "ctranslate2", dtype, own) for dtype, own in bars.items()]


async def measure(case: Case, rounds: int) -> list[Figure]:
    """Lines a second, a figure for each engine and peer; then what a lone line and the memory cost."""
    rates: dict[str, list[float]] = {}
    peaks: dict[str, int | None] = {}
    async with AsyncExitStack() as stack:
        pools = {ours.name: await stack.enter_async_context(_pool(case, ours)) for ours in case.ours}
        bare = {
            ours.name: stack.enter_context(Alone(_job(case, ours), "repl.bench.peers.bare_ctranslate2"))
            for ours in case.ours
            if BARE in ours.bars
        }
        for name, pool in pools.items():
            await pool.ready()
            await through(pool, name, case.lines[:16], case.params, interactive=False)
        for process in bare.values():
            await asyncio.to_thread(process.round)
        for _ in range(rounds):
            for name, pool in pools.items():
                ran = await through(pool, name, case.lines, case.params, interactive=False)
                rates.setdefault(name, []).append(len(case.lines) / ran.seconds)
                if name in bare:
                    took = (await asyncio.to_thread(bare[name].round)).seconds
                    rates.setdefault(f"{BARE} of {name}", []).append(len(case.lines) / took)
            for peer, lines, options in _peers(case):
                alone = await asyncio.to_thread(_interactive, case, lines, options)
                rates.setdefault(peer, []).append(len(lines) / alone.seconds)
                peaks[peer] = max(alone.peak or 0, peaks.get(peer) or 0) or None
        figures = [figure for ours in case.ours for figure in _figures(case, ours, rates)]
        for name, pool in pools.items():
            figures += await footprint.figures(case.name, name, pool, case.lines[0], case.params)
        for name, process in bare.items():
            figures += footprint.memory_of(case.name, f"bare {name}", [process.pid])
    held = {name: size for name, size in peaks.items() if size is not None}
    return figures + [footprint.memory(case.name, name, size) for name, size in held.items()]


def _pool(case: Case, ours: Ours) -> Coordinator:
    spec = ours.spec(case.folder)
    plans = [
        ReplicaPlan(name=f"{spec.name}/{i}", model=spec, device=f"cpu:{i}", threads=1, cores=(core,))
        for i, core in enumerate(cores()[:2])
    ]
    return Coordinator(plans)


def _job(case: Case, ours: Ours) -> Job:
    return Job(
        model=ours.spec(case.folder),
        prompts=case.lines,
        params=case.params,
        cores=cores()[:2],
        together=case.together,
    )


def _peers(case: Case) -> list[tuple[str, list[str], tuple[str, ...]]]:
    """The ways to run ``fairseq-interactive``: their names, their lines and their flags."""
    peers: list[tuple[str, list[str], tuple[str, ...]]] = [
        (BATCH, case.lines, ("--buffer-size", "64", "--batch-size", "64"))
    ]
    if case.singly:
        peers.append((LINE, case.lines[: case.singly], ("--buffer-size", "1")))
    return peers


def _interactive(case: Case, lines: Sequence[str], flags: Sequence[str]) -> interactive.Run:
    options = [*case.options, *flags, "--beam", str(BEAM), "--max-len-b", str(case.longest)]
    return interactive.run(case.folder, case.folder / "model.pt", lines, threads=2, options=options)


def _figures(case: Case, ours: Ours, rates: Mapping[str, Sequence[float]]) -> list[Figure]:
    """Beside each peer that was measured, with the bar if there is one."""
    found = []
    for peer in (BATCH, LINE, BARE):
        measured = rates.get(f"{BARE} of {ours.name}" if peer == BARE else peer)
        if measured is None:
            continue
        name = f"{case.name}, {ours.name}"
        found.append(Figure.compare(name, "lines/s", rates[ours.name], peer, measured, ours.bars.get(peer)))
    return found


def run(*, quick: bool = False) -> Report:
    """Run the benchmark: 3 rounds, or 1 when ``quick``."""
    about = f"lines a second, beam {BEAM}; two replicas of a core each against both cores"
    if importlib.util.find_spec("fairseq") is None:
        return Report(bench="fairseq", about=about, skipped="fairseq is not installed")
    rounds = 1 if quick else 3
    notes = () if importlib.util.find_spec("ctranslate2") else ("ctranslate2 is not installed: left out",)
    figures = eventloop.run(measure(demo(400), rounds))
    with tempfile.TemporaryDirectory() as folder:
        figures += eventloop.run(measure(base(Path(folder), 64), rounds))
    return Report(bench="fairseq", about=about, figures=tuple(figures), notes=notes)
