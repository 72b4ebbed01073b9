"""The Hugging Face engine with compiled steps against itself without, at two sizes of model.

Both sides run one loop and give one answer. The compiler has done its work before the first round.
"""

import shutil

import msgspec

from repl.bench.alone import Alone, Job
from repl.bench.report import Figure
from repl.bench.rounds import cache_in, cores, demo_lm, in_turn, random_lm
from repl.messages import ModelSpec
from repl.params import Params

TOKENS = 64
STREAMS = (1, 4)
"""There are no compiled steps for more rows on a CPU."""


def figures(rounds: int) -> list[Figure]:
    """Nothing where there is no compiler."""
    if shutil.which("g++") is None:
        return []
    with random_lm() as random, cache_in(random.path):
        return [
            _against(rounds, size, model, streams)
            for size, model in (("lm-late", demo_lm(slots=1)), ("30 M weights", random))
            for streams in STREAMS
        ]


def _against(rounds: int, size: str, model: ModelSpec, streams: int) -> Figure:
    model = msgspec.structs.replace(model, slots=streams)
    eager = Job(
        model=model,
        prompts=[f"The value {i} of the" for i in range(max(streams, 3))],
        params=Params(max_new=TOKENS, min_new=TOKENS),
        cores=cores()[-1:],
    )
    options: dict[str, object] = {"engine": "compiled"}
    compiled = msgspec.structs.replace(eager, model=msgspec.structs.replace(model, options=options))
    with Alone(compiled) as own, Alone(eager) as other:
        ours, peers = in_turn(own, other, rounds)
    name = f"compiled steps, {size}, {streams} stream{'s' if streams > 1 else ''}"
    return Figure.compare(name, "tokens/s", ours, "eager", peers, 1.0)
