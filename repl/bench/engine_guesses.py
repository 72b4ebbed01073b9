"""What guessed tokens gain: the Hugging Face engine with a drafter against itself without.

Prompt lookup on a text that repeats itself and on prompts that do not; an assistant, the embedded causal LM,
for a model eight times as deep that says nearly the same.
"""

import subprocess
import sys
from collections.abc import Sequence
from tempfile import TemporaryDirectory

import msgspec

from repl.bench.alone import Alone, Job
from repl.bench.report import Figure
from repl.bench.rounds import cores, demo_lm, in_turn
from repl.messages import ModelSpec
from repl.params import Params

TOKENS = 96
REPETITIVE = ("the value of x\nthe value of y\n" * 8,)
ORDINARY = ("The with statement", "A list is", "Return the")


def figures(rounds: int) -> list[Figure]:
    """One stream each."""
    lm = demo_lm(slots=1)
    found = [
        _against(rounds, f"one stream, lookup, {name}", lm, {"lookup": 8}, prompts, bar)
        for name, prompts, bar in (("repetitive", REPETITIVE, 1.2), ("ordinary", ORDINARY, 0.95))
    ]
    with TemporaryDirectory() as folder:
        command = [sys.executable, "-P", "-m", "repl.bench.peers.deepened", lm.path, folder]
        subprocess.run(command, check=True)
        deep = msgspec.structs.replace(lm, name="lm-deep", path=folder)
        assisted = {"assistant": lm.path, "draft": 5}
        found.append(_against(rounds, "one stream, assistant", deep, assisted, ORDINARY, 1.3))
    return found


def _against(
    rounds: int, name: str, model: ModelSpec, options: dict[str, object], prompts: Sequence[str], bar: float
) -> Figure:
    """``model`` with ``options`` beside the same without."""
    plain = Job(
        model=model, prompts=list(prompts), params=Params(max_new=TOKENS, min_new=TOKENS), cores=cores()[-1:]
    )
    guessing = msgspec.structs.replace(plain, model=msgspec.structs.replace(model, options=options))
    with Alone(guessing) as own, Alone(plain) as other:
        ours, peers = in_turn(own, other, rounds)
    return Figure.compare(name, "tokens/s", ours, "without", peers, bar)
