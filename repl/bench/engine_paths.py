"""The Hugging Face engine on ONNX Runtime or with compiled steps against itself, at two sizes of model.

Both sides run one loop and give one answer, so the ratio is that of the forward passes as far as they count.
What has to be exported or compiled is so before the first round.
"""

import importlib.util
import shutil

import msgspec

from repl.bench.alone import Alone, Job
from repl.bench.report import Figure
from repl.bench.rounds import cache_in, cores, demo_lm, in_turn, random_lm
from repl.messages import ModelSpec
from repl.params import Params

TOKENS = 64


def on_onnx_runtime(rounds: int) -> list[Figure]:
    """Nothing where it is not installed."""
    if not all(importlib.util.find_spec(name) for name in ("onnxruntime", "onnx", "onnxscript")):
        return []
    return _figures(rounds, "onnx", ("ONNX Runtime", "torch"), (1, 16))


def compiled(rounds: int) -> list[Figure]:
    """Nothing where there is no compiler; on a CPU no steps are compiled for more than four rows."""
    if shutil.which("g++") is None:
        return []
    return _figures(rounds, "compiled", ("compiled steps", "eager"), (1, 4))


def _figures(rounds: int, engine: str, names: tuple[str, str], streams: tuple[int, ...]) -> list[Figure]:
    with random_lm() as random, cache_in(random.path):
        return [
            _against(rounds, engine, (f"{names[0]}, {size}", names[1]), model, count)
            for size, model in (("lm-late", demo_lm(slots=1)), ("30 M weights", random))
            for count in streams
        ]


def _against(rounds: int, engine: str, names: tuple[str, str], model: ModelSpec, streams: int) -> Figure:
    model = msgspec.structs.replace(model, slots=streams)
    eager = Job(
        model=model,
        prompts=[f"The value {i} of the" for i in range(max(streams, 3))],
        params=Params(max_new=TOKENS, min_new=TOKENS),
        cores=cores()[-1:],
    )
    options: dict[str, object] = {"engine": engine}
    other = msgspec.structs.replace(eager, model=msgspec.structs.replace(model, options=options))
    with Alone(other) as own, Alone(eager) as peer:
        ours, peers = in_turn(own, peer, rounds)
    name = f"{names[0]}, {streams} stream{'s' if streams > 1 else ''}"
    return Figure.compare(name, "tokens/s", ours, names[1], peers, 1.0)
