"""Many prompts: the pool against what people use today, start-up not counted on either side.

fairseq: the lines of a file over two replicas of a core each, against ``fairseq-interactive --buffer-size 64
--batch-size 64`` with both cores. Hugging Face: 16 requests at once on one replica against 16 calls of
``generate`` one after another, the same core.
"""

import importlib.util

from repl import eventloop
from repl.bench import fairseq
from repl.bench.alone import Alone, Job
from repl.bench.report import Figure, Report
from repl.bench.rounds import cores, demo_lm, through
from repl.params import Params
from repl.pool import Coordinator, ReplicaPlan

LINES = 400
REQUESTS = 16
TOKENS = 64


async def number_translator(rounds: int) -> Figure:
    """Lines a second of the embedded fairseq model."""
    figure, *_ = await fairseq.measure(fairseq.demo(LINES, everything=False), rounds)
    return figure


async def hugging_face(rounds: int) -> Figure:
    """Tokens a second of the embedded causal LM."""
    core = cores()[-1]
    spec = demo_lm(slots=REQUESTS)
    plan = ReplicaPlan(name="lm-late/0", model=spec, device="cpu:0", threads=1, cores=(core,))
    params = Params(max_new=TOKENS, min_new=TOKENS)
    prompts = [f"The value {i} of the" for i in range(REQUESTS)]
    job = Job(model=spec, prompts=prompts, params=params, cores=[core])
    ours, peers = [], []
    with Alone(job, "repl.bench.peers.generate") as alone:
        async with Coordinator([plan]) as pool:
            await pool.ready()
            for turn in range(rounds + 1):
                own = (await through(pool, spec.name, prompts, params)).rate
                peer = alone.round().rate
                if turn:  # the first warms both up
                    ours.append(own)
                    peers.append(peer)
    return Figure.compare(f"hf, {REQUESTS} at once", "tokens/s", ours, "generate, one by one", peers, 4.0)


def run(*, quick: bool = False) -> Report:
    """Run the benchmark: 5 rounds, or 2 when ``quick``; a backend that is not installed is left out."""
    rounds = 2 if quick else 5
    figures, notes = [], []
    for package, measure in (("transformers", hugging_face), ("fairseq", number_translator)):
        if importlib.util.find_spec(package) is None:
            notes.append(f"{package} is not installed: left out")
        else:
            figures.append(eventloop.run(measure(rounds)))
    return Report(
        bench="batch",
        about=f"{LINES} lines of number words; {REQUESTS} requests of {TOKENS} tokens",
        figures=tuple(figures),
        notes=tuple(notes),
        skipped="" if figures else "; ".join(notes),
    )
