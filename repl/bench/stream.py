"""Streaming: tokens a second through queue, process, socket and sink, against the engine called directly.

Both sides run the embedded causal LM with one thread on the same core, in turn.
"""

from repl import eventloop
from repl.bench.alone import Alone, Job
from repl.bench.report import Figure, Report
from repl.bench.rounds import cores, demo_lm, through
from repl.params import Params
from repl.pool import Coordinator, ReplicaPlan

PROMPTS = ["The with statement", "A list is", "Return the"]
TOKENS = 128


async def measure(rounds: int) -> Figure:
    """Rounds of both sides in turn."""
    core = cores()[-1]
    params = Params(max_new=TOKENS, min_new=TOKENS)
    spec = demo_lm(slots=1)
    plan = ReplicaPlan(name="lm-late/0", model=spec, device="cpu:0", threads=1, cores=(core,))
    ours, peers = [], []
    with Alone(Job(model=spec, prompts=PROMPTS, params=params, cores=[core])) as alone:
        async with Coordinator([plan]) as pool:
            await pool.ready()
            for turn in range(rounds + 1):
                peer = alone.round().rate
                own = (await through(pool, spec.name, PROMPTS, params)).rate
                if turn:  # the first warms both up
                    ours.append(own)
                    peers.append(peer)
    return Figure.compare("one stream", "tokens/s", ours, "backend alone", peers, 0.97)


def run(*, quick: bool = False) -> Report:
    """Run the benchmark: 15 rounds, or 5 when ``quick``."""
    figure = eventloop.run(measure(5 if quick else 15))
    about = f"lm-late, {len(PROMPTS)} prompts one after another, {TOKENS} tokens each, one core"
    return Report(bench="stream", about=about, figures=(figure,))
