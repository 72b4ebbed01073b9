"""Lines of a file through the fairseq backend against ``fairseq-interactive``, at two sizes.

The same model, lines and settings, start-up not counted on either side. The pool has two replicas of a core
each, ``fairseq-interactive`` both cores. ``repl.bench.batch`` takes the figure of the demo model from here.
"""

import asyncio
import importlib.util
import random
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import msgspec

from repl.bench.peers import interactive
from repl.bench.report import Figure, Report
from repl.bench.rounds import cores, through
from repl.demo import model_path
from repl.demo.number_words import to_words
from repl.messages import ModelSpec
from repl.params import Params
from repl.pool import Coordinator, ReplicaPlan

BEAM = 5
BATCHED = ("--buffer-size", "64", "--batch-size", "64")
LINE_BY_LINE = ("--buffer-size", "1")


class Peer(msgspec.Struct, frozen=True):
    """A way to run ``fairseq-interactive``."""

    name: str
    options: tuple[str, ...]
    lines: int
    """How many of the lines it gets: enough for a rate."""
    bar: float | None
    """How many times its rate ours is to be."""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A model with what it is asked."""

    name: str
    folder: Path
    """With ``model.pt`` and its dictionaries."""
    lines: list[str]
    longest: int
    """Tokens of an answer."""
    peers: tuple[Peer, ...]
    options: tuple[str, ...] = ()
    """Of ``fairseq-interactive``, whoever runs it how."""


def demo(lines: int, *, one_by_one: bool = True) -> Case:
    """The embedded number translator."""
    step = 99_000 // lines
    peers = [Peer("fairseq-interactive, batch 64", BATCHED, lines, 1.8)]
    if one_by_one:
        peers.append(Peer("fairseq-interactive, line by line", LINE_BY_LINE, lines // 4, None))
    return Case(
        name="demo model",
        folder=model_path("num2digits"),
        lines=[to_words(n) for n in range(1013, 100_000, step)][:lines],
        longest=24,
        peers=tuple(peers),
    )


def base(folder: Path, lines: int) -> Case:
    """``--arch transformer`` with random weights, built in ``folder``; lines of 8 to 30 words."""
    command = [sys.executable, "-P", "-m", "repl.bench.peers.random_transformer", str(folder)]
    subprocess.run(command, check=True)  # noqa: S603
    draw = random.Random(1)  # noqa: S311
    words = [[f"w{draw.randrange(16_000)}" for _ in range(draw.randint(8, 30))] for _ in range(lines)]
    return Case(
        name="base size",
        folder=folder,
        lines=[" ".join(line) for line in words],
        longest=30,
        peers=(
            Peer("fairseq-interactive, batch 64", BATCHED, lines, 1.15),
            Peer("fairseq-interactive, line by line", LINE_BY_LINE, max(8, lines // 8), 6.0),
        ),
        options=("--source-lang", "src", "--target-lang", "tgt"),
    )


async def measure(case: Case, rounds: int) -> list[Figure]:
    """Lines a second: a figure for each peer."""
    spec = ModelSpec(name="model", backend="fairseq", path=str(case.folder / "model.pt"))
    plans = [
        ReplicaPlan(name=f"model/{i}", model=spec, device=f"cpu:{i}", threads=1, cores=(core,))
        for i, core in enumerate(cores()[:2])
    ]
    params = Params(beam=BEAM, max_new=case.longest)
    ours: list[float] = []
    rates: dict[str, list[float]] = {peer.name: [] for peer in case.peers}
    async with Coordinator(plans) as pool:
        await pool.ready()
        await through(pool, spec.name, case.lines[:16], params)
        for _ in range(rounds):
            own = await through(pool, spec.name, case.lines, params)
            ours.append(len(case.lines) / own.seconds)
            for peer in case.peers:
                lines = case.lines[: peer.lines]
                took = await asyncio.to_thread(_interactive, case, peer, lines, len(plans))
                rates[peer.name].append(len(lines) / took)
    return [_figure(case, peer, ours, rates[peer.name]) for peer in case.peers]


def _interactive(case: Case, peer: Peer, lines: Sequence[str], threads: int) -> float:
    options = [*case.options, *peer.options, "--beam", str(BEAM), "--max-len-b", str(case.longest)]
    return interactive.seconds(case.folder, case.folder / "model.pt", lines, threads=threads, options=options)


def _figure(case: Case, peer: Peer, ours: Sequence[float], rates: Sequence[float]) -> Figure:
    name = f"{case.name}, beam {BEAM}"
    if peer.bar is not None:
        return Figure.compare(name, "lines/s", ours, peer.name, rates, peer.bar)
    figure = Figure.compare(name, "lines/s", ours, peer.name, rates, 0.0)
    return msgspec.structs.replace(figure, bar="", met=None)


def run(*, quick: bool = False) -> Report:
    """Run the benchmark: 3 rounds, or 1 when ``quick``."""
    about = f"lines a second, beam {BEAM}; two replicas of a core each against both cores"
    if importlib.util.find_spec("fairseq") is None:
        return Report(bench="fairseq", about=about, skipped="fairseq is not installed")
    rounds = 1 if quick else 3
    figures = asyncio.run(measure(demo(400), rounds))
    with tempfile.TemporaryDirectory() as folder:
        figures += asyncio.run(measure(base(Path(folder), 64), rounds))
    return Report(bench="fairseq", about=about, figures=tuple(figures))
