"""The Hugging Face engine on a GPU: the share of what its memory allows one stream, and 64 streams.

A single stream reads all weights for each token, so memory bandwidth over their bytes is the most tokens a
second that there can be. Models have random weights, in bfloat16, at the sizes of Llama 3. Written from the
documentation: it has not been run on a GPU yet.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from repl import devices
from repl.bench.alone import Alone, Job
from repl.bench.report import Figure
from repl.messages import ModelSpec
from repl.params import Params

SIZES = ("1B", "8B")
TOKENS = 128
STREAMS = 64
SHARE = 0.7
"""Of the bandwidth's limit, with one stream."""


def figures(rounds: int) -> list[Figure]:
    """Nothing without a GPU."""
    return measure("cuda:0", SIZES, rounds) if devices.gpus() else []


def measure(device: str, sizes: tuple[str, ...], rounds: int) -> list[Figure]:
    """Both figures of each size; ``device`` is ``cuda:0``, or ``cpu`` for a test."""
    found = []
    bandwidth = float(_said("copies", device, *(["8"] if device == "cpu" else [])))
    for size in sizes:
        with TemporaryDirectory() as folder:
            limit = bandwidth / int(_said("large_llama", folder, size))
            found += [_one(device, size, folder, limit, rounds), _many(device, size, folder, rounds)]
    return found


def _one(device: str, size: str, folder: str, limit: float, rounds: int) -> Figure:
    rates = _rates(_job(device, folder, 1), "repl.bench.alone", rounds)
    name = f"{size} in bfloat16, one stream"
    return Figure.compare(name, "tokens/s", rates, "memory bandwidth allows", [limit] * rounds, SHARE)


def _many(device: str, size: str, folder: str, rounds: int) -> Figure:
    job = _job(device, folder, STREAMS)
    # One after the other: both at once might not fit.
    ours = _rates(job, "repl.bench.alone", rounds)
    peers = _rates(job, "repl.bench.peers.generate", rounds)
    name = f"{size} in bfloat16, {STREAMS} streams"
    return Figure.compare(name, "tokens/s", ours, "generate, one batch", peers, 1.0)


def _job(device: str, folder: str, streams: int) -> Job:
    spec = ModelSpec(name=Path(folder).name, backend="hf", path=folder, slots=streams, dtype="bfloat16")
    return Job(
        model=spec,
        prompts=[f"The value {i} of the" for i in range(streams)],
        params=Params(max_new=TOKENS, min_new=TOKENS),
        device=device,
        together=streams,
    )


def _rates(job: Job, module: str, rounds: int) -> list[float]:
    """Tokens a second of wall time: a GPU's work is not processor time."""
    with Alone(job, module) as process:
        process.round()  # warms up
        return [process.round().rate for _ in range(rounds)]


def _said(module: str, *arguments: str) -> str:
    command = [sys.executable, "-P", "-m", f"repl.bench.peers.{module}", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
