"""The Hugging Face engine on ONNX Runtime against itself on torch, at two sizes of model.

Both sides run one loop and give one answer, so the ratio is that of the forward passes as far as they count.
"""

import importlib.util
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from repl.bench.alone import Alone, Job
from repl.bench.report import Figure
from repl.bench.rounds import cores, demo_lm, in_turn, random_lm
from repl.messages import ModelSpec
from repl.params import Params

TOKENS = 64
STREAMS = (1, 16)


def figures(rounds: int) -> list[Figure]:
    """Nothing where ONNX Runtime is not installed."""
    if any(importlib.util.find_spec(name) is None for name in ("onnxruntime", "onnx", "onnxscript")):
        return []
    with random_lm() as random, _cache(random.path):
        return [
            _against(rounds, size, model, streams)
            for size, model in (("lm-late", demo_lm(slots=1)), ("30 M weights", random))
            for streams in STREAMS
        ]


@contextmanager
def _cache(folder: str) -> Iterator[None]:
    """Graphs are kept in ``folder``: the user has no use for them."""
    name = "XDG_CACHE_HOME"
    before = os.environ.get(name)
    os.environ[name] = str(Path(folder) / "cache")
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def _against(rounds: int, size: str, model: ModelSpec, streams: int) -> Figure:
    model = msgspec.structs.replace(model, slots=streams)
    eager = Job(
        model=model,
        prompts=[f"The value {i} of the" for i in range(max(streams, 3))],
        params=Params(max_new=TOKENS, min_new=TOKENS),
        cores=cores()[-1:],
    )
    graph = msgspec.structs.replace(eager, model=msgspec.structs.replace(model, options={"engine": "onnx"}))
    with Alone(graph) as own, Alone(eager) as other:
        ours, peers = in_turn(own, other, rounds)
    name = f"ONNX Runtime, {size}, {streams} stream{'s' if streams > 1 else ''}"
    return Figure.compare(name, "tokens/s", ours, "torch", peers, 1.0)
