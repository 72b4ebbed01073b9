"""The Hugging Face engine against what transformers offers: one stream, many at once, a second turn.

And against itself: what it costs to tell the alternatives at each token, what reading long prompts in parts
is worth to a short one, what a second replica is.

All sides run the embedded causal LM in a process of their own, with one thread on the same core, in turn.
Figures are per second of processor time, so that other work on the machine does not count; but two replicas
run beside each other, and are measured by the clock.
"""

import importlib.util
from collections.abc import Sequence

import msgspec

from repl import eventloop
from repl.bench import engine_gpu, engine_guesses, engine_paths, replicas
from repl.bench.alone import Alone, Job
from repl.bench.report import Figure, Report
from repl.bench.rounds import cores, demo_lm, in_turn, random_lm
from repl.messages import ModelSpec
from repl.params import Params

TOKENS = 64
MIXED = (8, 16, 32, 160)
"""Lengths of the answers, in turn."""
TURN_TOKENS = 32
TOP = 5
"""Alternatives told at each token."""
PART, WHOLE = 64, 1 << 20
"""Prompt tokens read in one step."""
CONTEXT = (
    "The with statement is used to wrap the execution of a block with methods of a context manager. " * 15
)


def one_stream(rounds: int) -> Figure:
    """One request after another."""
    prompts = ["The with statement", "A list is", "Return the"]
    return _against(rounds, "one stream", prompts, 1, peer="generate", together=1, bar=1.0)


def at_once(rounds: int, streams: int) -> list[Figure]:
    """``streams`` requests of equal length, against ``generate`` one by one and in one batch."""
    prompts = _prompts(streams)
    return [
        _against(rounds, f"{streams} streams", prompts, streams, peer=peer, together=together, bar=bar)
        for peer, together, bar in (("generate, one by one", 1, 4.0), ("generate, one batch", streams, 1.0))
    ]


def mixed(rounds: int, streams: int) -> Figure:
    """Answers of different lengths: a place in the batch is taken again as soon as it is free."""
    prompts = _prompts(4 * streams)
    lengths = [MIXED[i % len(MIXED)] for i in range(len(prompts))]
    name = f"{streams} streams, mixed lengths"
    peer = f"generate, batches of {streams}"
    return _against(rounds, name, prompts, streams, peer=peer, together=streams, bar=1.3, lengths=lengths)


def second_turn(rounds: int) -> Figure:
    """The first token of a conversation's second turn, with and without what the first one left."""
    job = Job(
        model=demo_lm(slots=1),
        prompts=[CONTEXT, " It can also be used"],
        params=Params(max_new=TURN_TOKENS, min_new=TURN_TOKENS),
        cores=cores()[-1:],
    )
    with Alone(job, "repl.bench.peers.turns") as process:  # whose rounds are of either kind in turn
        kept, fresh = in_turn(process, process, rounds)
    return Figure.compare("second turn", "first tokens/s", kept, "the prompt read anew", fresh, 3.0)


def alternatives(rounds: int) -> list[Figure]:
    """Answers that tell rank, entropy and the five likeliest tokens at each token, against plain ones."""
    with random_lm() as random:
        return [
            _told(rounds, size, model, streams)
            for size, model in (("lm-late", demo_lm(slots=1)), ("30 M weights", random))
            for streams in (1, 16)
        ]


def _told(rounds: int, size: str, model: ModelSpec, streams: int) -> Figure:
    plain = Job(
        model=msgspec.structs.replace(model, slots=streams),
        prompts=_prompts(streams),
        params=Params(max_new=TOKENS, min_new=TOKENS),
        cores=cores()[-1:],
    )
    told = msgspec.structs.replace(plain, params=msgspec.structs.replace(plain.params, logprobs=TOP))
    with Alone(told) as own, Alone(plain) as other:
        ours, peers = in_turn(own, other, rounds)
    name = f"{size}, {streams} stream{'s' if streams > 1 else ''}, top {TOP}"
    return Figure.compare(name, "tokens/s", ours, "without", peers, 0.95)


def continuous(rounds: int, streams: int) -> Figure:
    """``streams`` requests of equal length, against transformers' own continuous batching."""
    peer = "transformers' continuous batching"
    module = "repl.bench.peers.continuous"
    return _against(
        rounds, f"{streams} streams", _prompts(streams), streams, peer=peer, module=module, bar=1.0
    )


def under_load(rounds: int) -> Figure:
    """The first token of a short prompt behind a long one, beside 15 streams: read in parts, and whole."""
    job = Job(
        model=demo_lm(slots=len(_prompts(15)) + 2),
        prompts=[*_prompts(15), CONTEXT, "A list is"],
        params=Params(max_new=TOKENS, min_new=TOKENS),
        cores=cores()[-1:],
    )
    with (
        Alone(_reading(job, PART), "repl.bench.peers.pressed") as own,
        Alone(_reading(job, WHOLE), "repl.bench.peers.pressed") as other,
    ):
        ours, peers = in_turn(own, other, rounds)
    return Figure.compare("first token under load", "first tokens/s", ours, "prompts read whole", peers, 1.5)


def _reading(job: Job, tokens: int) -> Job:
    """With prompts read in parts of ``tokens``."""
    model = msgspec.structs.replace(job.model, options={"prefill_tokens": tokens})
    return msgspec.structs.replace(job, model=model)


def costs(figures: Sequence[Figure]) -> list[str]:
    """Processor time for each token, of the figures that are tokens in a second of it."""
    return [
        f"{f.name}: {1e3 / f.ours:.3g} ms of processor time a token; {f.peer}: {1e3 / f.peers:.3g} ms"
        for f in figures
        if f.unit == "tokens/s" and f.peers
    ]


def _prompts(count: int) -> list[str]:
    return [f"The value {i} of the" for i in range(count)]


def _against(
    rounds: int,
    name: str,
    prompts: Sequence[str],
    slots: int,
    *,
    peer: str,
    together: int = 1,
    bar: float,
    lengths: Sequence[int] = (),
    module: str = "repl.bench.peers.generate",
) -> Figure:
    """The engine with ``slots`` beside a peer, which takes ``together`` prompts at a time."""
    job = Job(
        model=demo_lm(slots=slots),
        prompts=list(prompts),
        params=Params(max_new=TOKENS, min_new=TOKENS),
        cores=cores()[-1:],
        lengths=list(lengths),
        together=together,
    )
    with Alone(job) as own, Alone(job, module) as other:
        ours, peers = in_turn(own, other, rounds)
    return Figure.compare(name, "tokens/s", ours, peer, peers, bar)


def run(*, quick: bool = False) -> Report:
    """Run the benchmark: 5 rounds, or 2 when ``quick``."""
    about = (
        f"lm-late, answers of {TOKENS} tokens or {', '.join(map(str, MIXED))}; per second of processor time"
    )
    if importlib.util.find_spec("transformers") is None:
        return Report(bench="engine", about=about, skipped="transformers is not installed")
    rounds = 2 if quick else 5
    figures = [
        one_stream(rounds),
        *at_once(rounds, 16),
        continuous(rounds, 16),
        *at_once(rounds, 64),
        continuous(rounds, 64),
        mixed(rounds, 16),
        second_turn(rounds),
        under_load(rounds),
        *alternatives(rounds),
    ]
    notes = costs(figures)
    if len(cores()) > 1:
        figures.append(eventloop.run(replicas.measure(rounds)))
    figures += engine_paths.on_onnx_runtime(rounds)
    figures += engine_paths.compiled(rounds)
    figures += engine_guesses.figures(rounds)
    figures += engine_gpu.figures(rounds)
    return Report(bench="engine", about=about, figures=tuple(figures), notes=tuple(notes))
