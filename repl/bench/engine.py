"""The Hugging Face engine against what transformers offers: one stream, many at once, a second turn.

And against itself: what it costs to tell the alternatives at each token.

All sides run the embedded causal LM in a process of their own, with one thread on the same core, in turn.
Figures are per second of processor time, so that other work on the machine does not count.
"""

import importlib.util
from collections.abc import Sequence

import msgspec

from repl.bench.alone import Alone, Job
from repl.bench.report import Figure, Report
from repl.bench.rounds import cores, demo_lm
from repl.params import Params

TOKENS = 64
MIXED = (8, 16, 32, 160)
"""Lengths of the answers, in turn."""
TURN_TOKENS = 32
TOP = 5
"""Alternatives told at each token."""
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
    kept, fresh = [], []
    with Alone(job, "repl.bench.peers.turns") as process:
        for turn in range(rounds + 1):
            ours, peer = process.round().cpu_rate, process.round().cpu_rate
            if turn:  # the first warms both up
                kept.append(ours)
                fresh.append(peer)
    return Figure.compare("second turn", "first tokens/s", kept, "the prompt read anew", fresh, 3.0)


def alternatives(rounds: int, streams: int) -> Figure:
    """Answers that tell rank, entropy and the five likeliest tokens at each token, against plain ones."""
    plain = Job(
        model=demo_lm(slots=streams),
        prompts=_prompts(streams),
        params=Params(max_new=TOKENS, min_new=TOKENS),
        cores=cores()[-1:],
    )
    told = msgspec.structs.replace(plain, params=msgspec.structs.replace(plain.params, logprobs=TOP))
    ours, peers = [], []
    with Alone(told) as own, Alone(plain) as other:
        for turn in range(rounds + 1):
            rate, peer_rate = own.round().cpu_rate, other.round().cpu_rate
            if turn:  # the first warms both up
                ours.append(rate)
                peers.append(peer_rate)
    name = f"{streams} stream{'s' if streams > 1 else ''}, top {TOP}"
    return Figure.compare(name, "tokens/s", ours, "without", peers, 0.95)


def _prompts(count: int) -> list[str]:
    return [f"The value {i} of the" for i in range(count)]


def _against(
    rounds: int,
    name: str,
    prompts: Sequence[str],
    slots: int,
    *,
    peer: str,
    together: int,
    bar: float,
    lengths: Sequence[int] = (),
) -> Figure:
    """The engine with ``slots`` beside ``generate`` with ``together`` prompts at a time."""
    job = Job(
        model=demo_lm(slots=slots),
        prompts=list(prompts),
        params=Params(max_new=TOKENS, min_new=TOKENS),
        cores=cores()[-1:],
        lengths=list(lengths),
        together=together,
    )
    ours, peers = [], []
    with Alone(job) as own, Alone(job, "repl.bench.peers.generate") as other:
        for turn in range(rounds + 1):
            rate, peer_rate = own.round().cpu_rate, other.round().cpu_rate
            if turn:  # the first warms both up
                ours.append(rate)
                peers.append(peer_rate)
    return Figure.compare(name, "tokens/s", ours, peer, peers, bar)


def run(*, quick: bool = False) -> Report:
    """Run the benchmark: 5 rounds, or 2 when ``quick``."""
    about = (
        f"lm-late, answers of {TOKENS} tokens or {', '.join(map(str, MIXED))}; per second of processor time"
    )
    if importlib.util.find_spec("transformers") is None:
        return Report(bench="engine", about=about, skipped="transformers is not installed")
    rounds = 2 if quick else 5
    figures = (
        one_stream(rounds),
        *at_once(rounds, 16),
        *at_once(rounds, 64),
        mixed(rounds, 16),
        second_turn(rounds),
        alternatives(rounds, 1),
        alternatives(rounds, 16),
    )
    return Report(bench="engine", about=about, figures=figures)
