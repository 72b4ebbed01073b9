"""Two replicas of a CPU-bound model, pinned to a core each, against one of them."""

from repl import eventloop
from repl.bench.report import Figure, Report
from repl.bench.rounds import cores, demo_lm, through
from repl.params import Params
from repl.pool import Coordinator, ReplicaPlan

REQUESTS = 16
TOKENS = 64


async def measure(rounds: int) -> Figure:
    """The same requests by both replicas, then by the first alone, in turn."""
    spec = demo_lm(slots=1)
    plans = [
        ReplicaPlan(name=f"lm-late/{i}", model=spec, device=f"cpu:{i}", threads=1, cores=(core,))
        for i, core in enumerate(cores()[:2])
    ]
    params = Params(max_new=TOKENS, min_new=TOKENS)
    prompts = [f"The value {i} of the" for i in range(REQUESTS)]
    two, one = [], []
    async with Coordinator(plans) as pool:
        await pool.ready()
        for turn in range(rounds + 1):
            both = (await through(pool, spec.name, prompts, params)).rate
            single = (await through(pool, spec.name, prompts, params, pin=plans[0].name)).rate
            if turn:  # the first warms both up
                two.append(both)
                one.append(single)
    return Figure.compare("two replicas", "tokens/s", two, "one replica", one, 1.9)


def run(*, quick: bool = False) -> Report:
    """Run the benchmark: 7 rounds, or 3 when ``quick``."""
    about = f"lm-late, {REQUESTS} requests of {TOKENS} tokens"
    if len(cores()) < 2:
        return Report(bench="replicas", about=about, skipped="needs two cores")
    return Report(bench="replicas", about=about, figures=(eventloop.run(measure(3 if quick else 7)),))
