"""The engine on a pretended GPU: the CPU's answers, no two devices mixed, and how often the host waits."""

from tests.backends.fairseq.support import (
    FIRST,
    PROMPTS,
    SMALL,
    Told,
    request,
    scored,
    spec,
    together,
    write_model,
)

# isort: split
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from backends.fairseq import Fairseq, networks
from backends.fairseq.engine import FairseqEngine
from backends.fairseq.relay import Relay
from repl.messages import Finished, Request
from tests.backends.hf import pretended

SETTINGS: dict[str, dict[str, Any]] = {
    "greedy": {},
    "explained": {"logprobs": 3, "no_repeat_ngram": 2, "min_new": 4},
    "drawn": {"temperature": 0.8, "seed": 5, "top_k": 9, "top_p": 0.9, "n": 3},
    "beams": {"beam": 3, "n": 3, "length_penalty": 0.8, "unkpen": 0.5},
    "warm beams": {"beam": 3, "temperature": 0.7, "logprobs": 2},
    "groups": {"beam": 4, "diverse_groups": 2},
    "siblings": {"beam": 3, "diversity_rate": 0.5},
    "worded": {"ban": ("w3",), "presence_penalty": 0.5, "stop": ("w9",), "logit_bias": ("w5=2.0",)},
}


@contextmanager
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The card in this thread, and in the one that a generation runs in."""
    with pretended.card() as there, monkeypatch.context() as patch:
        run = Relay._run

        def on_the_card(relay: Relay[Any]) -> None:
            torch._C._set_only_lift_cpu_tensors(True)  # which each thread says for itself
            with there:
                run(relay)

        patch.setattr(Relay, "_run", on_the_card)
        yield there


def load(path: Path, device: str, **more: Any) -> FairseqEngine:
    swapped = torch.__future__.get_swap_module_params_on_conversion()

    def build(*arguments: Any, build: Any = networks.build, **named: Any) -> Any:
        """Weights are read on the CPU, by torch's usual way, which weight norms need."""
        torch.__future__.set_swap_module_params_on_conversion(False)
        try:
            return build(*arguments, **named)
        finally:
            torch.__future__.set_swap_module_params_on_conversion(swapped)

    with mock.patch.object(networks, "build", build):
        engine = Fairseq.load(spec(path, **more), device, 1, lambda stage, fraction: None)
    assert isinstance(engine, FairseqEngine)
    return engine


def alike(mine: Told, theirs: Told) -> None:
    assert mine.tokens == theirs.tokens and mine.text == theirs.text
    for name in ("raw_lp", "proc_lp", "search_lp", "entropy", "rank"):
        pairs = zip(mine.steps, theirs.steps, strict=True)
        for ours, other in ((getattr(step, name) or 0.0 for step in pair) for pair in pairs):
            assert ours == pytest.approx(other, abs=1e-4), name
    for ours, other in zip(mine.finished.hypotheses, theirs.finished.hypotheses, strict=True):
        assert ours.tokens == other.tokens and ours.alignment == other.alignment
        assert ours.score == pytest.approx(other.score, abs=1e-4)
        assert np.array(ours.attention) == pytest.approx(np.array(other.attention), abs=1e-4)


# A packed sequence, as an LSTM reads it, is of two devices, which the pretended one has no notion of.
@pytest.mark.parametrize("architecture", [name for name in SMALL if name != "lstm"])
def test_answers_are_those_of_the_cpu(
    architecture: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_model(tmp_path, architecture)
    here = load(path, "cpu")
    settings = [{}, {"beam": 3, "n": 2, "logprobs": 2}, {"temperature": 0.9, "seed": 1}]
    asked = [[request(p, i, **more) for i, p in enumerate(PROMPTS, 1)] for more in settings]
    asked.append([scored(p, number=i) for i, p in enumerate(PROMPTS, 1)])
    with card(monkeypatch):
        there = load(path, "cuda:0")
        found = [together(there, each) for each in asked]
    for each, told in zip(asked, found, strict=True):
        for heard, one in zip(told, together(here, each), strict=True):
            alike(Told.of(heard), Told.of(one))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("architecture", [name for name in SMALL if name != "lstm"])
def test_half_of_the_digits_say_nearly_the_same(
    architecture: str, dtype: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_model(tmp_path, architecture, scale=1.5)
    asked = [scored(p, number=i) for i, p in enumerate(PROMPTS, 1)]
    exact = together(load(path, "cpu"), asked)
    with card(monkeypatch):
        there = load(path, "cuda:0", dtype=dtype)
        assert there.capabilities.dtype == dtype
        found = together(there, asked)
        for more in ({"logprobs": 2}, {"beam": 3, "n": 2}, {"temperature": 0.7, "seed": 3}):
            answer = Told(there, request(FIRST, **more))
            assert answer.tokens and all(step.raw_lp == step.raw_lp for step in answer.steps)
    for heard, one in zip(found, exact, strict=True):
        ours, theirs = ([step.raw_lp for step in Told.of(told).steps] for told in (heard, one))
        assert ours == pytest.approx(theirs, abs=0.2 if dtype == "bfloat16" else 0.03)


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_those_of_the_cpu(
    name: str, translation: Path, engine: FairseqEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [request(p, i, prefix="w2" * (i == 2), **SETTINGS[name]) for i, p in enumerate(PROMPTS, 1)]
    with card(monkeypatch):
        found = together(load(translation, "cuda:0"), asked)
    for heard, one in zip(found, together(engine, asked), strict=True):
        alike(Told.of(heard), Told.of(one))


def test_constraints_are_those_of_the_cpu(
    translation: Path, engine: FairseqEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = request(FIRST, beam=4, constraints=("w9 w3", "w1"))
    with card(monkeypatch):
        found = Told(load(translation, "cuda:0"), asked)
    alike(found, Told(engine, asked))


def waits(engine: FairseqEngine, there: Any, asked: list[Request]) -> list[dict[str, int]]:
    """For what the host waited in each step between the first and one that ends a request."""
    for one in asked:
        engine.admit(one)
    while not engine.step():
        pass
    each = []
    over = False
    while not over:
        there.waits.clear()
        over = any(isinstance(event, Finished) for event in engine.step())
        each.append(dict(there.waits))
    return each[:-1]


BY_FAIRSEQ = {
    "aten._local_scalar_dense.default": 2,  # is anything padded, is anything left to go on with
    "a mask as an index": 2,
    "aten.masked_select.default": 1,
    "a copy to the card": 4,  # two of them of nothing
}
"""What fairseq itself does in a step in which nothing ends."""


@pytest.mark.parametrize(
    ("name", "history"),
    [("greedy", 0), ("drawn", 0), ("beams", 0), ("warm beams", 0), ("explained", 1), ("worded", 1)],
)
def test_the_host_waits_twice_a_step_for_all_that_is_told(
    name: str, history: int, translation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for the figures of a step, once for what goes on; rules want to see what was said, too."""
    asked = [request(p, i, **{**SETTINGS[name], "min_new": 12}) for i, p in enumerate(PROMPTS, 1)]
    with card(monkeypatch) as there:
        found = waits(load(translation, "cuda:0"), there, asked)
    assert len(found) > 8
    assert all(each == {**BY_FAIRSEQ, "a copy to the host": 2 + history} for each in found), found
