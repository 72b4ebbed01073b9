"""The Hugging Face engine on a GPU: the share of what its memory allows one stream, and 64 streams.

A single stream reads all weights for each token, so memory bandwidth over their bytes is the most tokens a
second that there can be; it is measured by reading and copying tensors of a gigabyte. Models have random
weights, in bfloat16, at the sizes of Llama 3. All times end with a token on the host, so that they hold all
that the GPU had to do. Written from the documentation: it has not been run on a GPU yet.
"""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir

from repl import devices
from repl.bench.alone import Alone, Job
from repl.bench.report import Figure
from repl.messages import ModelSpec
from repl.params import Params

SIZES = {"1B": 2_500_000_000, "8B": 16_100_000_000}
"""Bytes of the weights, by name."""
HEADROOM = 1.25
"""How much more than the weights has to be free on the GPU."""
TOKENS = 128
STREAMS = 64
WARM_UP = 2
"""Rounds before those that count: what is chosen and reserved once, on either side."""
SHARE = 0.7
"""Of the bandwidth's limit, with one stream and compiled steps."""
EAGER = 0.3
"""The same, where the host tells the GPU of each operation."""


def figures(rounds: int) -> list[Figure]:
    """Nothing without a GPU; sizes for which it or the folder of temporary files has no room are left out."""
    gpus = devices.gpus()
    if not gpus:
        return []
    free = gpus[0].total_memory if gpus[0].free_memory is None else gpus[0].free_memory
    room = min(free / HEADROOM, shutil.disk_usage(gettempdir()).free)
    sizes = tuple(size for size, weights in SIZES.items() if weights < room)
    return measure("cuda:0", sizes, rounds, {"compiled": SHARE, "eager": EAGER})


def measure(device: str, sizes: tuple[str, ...], rounds: int, engines: Mapping[str, float]) -> list[Figure]:
    """The figures of each size; ``device`` is ``cuda:0``, or ``cpu`` for a test.

    ``engines`` are those that serve one stream, each with the share of the limit that it is to reach.
    """
    found = []
    bandwidth = float(_said("bandwidth", device, *(["8"] if device == "cpu" else [])))
    for size in sizes:
        with TemporaryDirectory() as folder:
            limit = bandwidth / int(_said("large_llama", folder, size, device))
            for engine, share in engines.items():
                rates = _rates(_job(device, folder, 1, engine), "repl.bench.alone", rounds)
                name, peer = f"{size} in bfloat16, one stream, {engine}", "memory bandwidth allows"
                found.append(Figure.compare(name, "tokens/s", rates, peer, [limit] * rounds, share))
            found.append(_many(device, size, folder, rounds))
    return found


def _many(device: str, size: str, folder: str, rounds: int) -> Figure:
    job = _job(device, folder, STREAMS, "eager")
    # One after the other: both at once might not fit.
    ours = _rates(job, "repl.bench.alone", rounds)
    peers = _rates(job, "repl.bench.peers.generate", rounds)
    name = f"{size} in bfloat16, {STREAMS} streams"
    return Figure.compare(name, "tokens/s", ours, "generate, one batch", peers, 1.0)


def _job(device: str, folder: str, streams: int, engine: str) -> Job:
    spec = ModelSpec(
        name=Path(folder).name,
        backend="hf",
        path=folder,
        slots=streams,
        dtype="bfloat16",
        options={"engine": engine},
    )
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
        for _ in range(WARM_UP):
            process.round()
        return [process.round().rate for _ in range(rounds)]


def _said(module: str, *arguments: str) -> str:
    command = [sys.executable, "-P", "-m", f"repl.bench.peers.{module}", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
