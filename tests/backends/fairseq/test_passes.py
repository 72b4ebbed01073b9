"""Texts that are scored at once share passes, and each gets what it gets alone."""

from tests.backends.fairseq.support import (
    FIRST,
    PROMPTS,
    SMALL,
    TARGET,
    Told,
    load,
    request,
    scored,
    together,
    write_model,
)

# isort: split
import gc
import weakref
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from backends.fairseq import passes, teacher
from backends.fairseq.engine import FairseqEngine
from repl.messages import Failed, Finished, Request

TEXTS = ["w3", TARGET, "w1 w2", "w7 w7 w7 w7 w2 w1 w0 w3", "w19 w18 w4"]


def texts(**more: Any) -> list[Request]:
    prompts = [*PROMPTS, FIRST]
    return [
        scored(prompt, text, number, closing=number % 2 == 0, **more)
        for number, (prompt, text) in enumerate(zip(prompts, TEXTS, strict=True), 1)
    ]


@pytest.mark.parametrize("architecture", SMALL)
def test_each_gets_what_it_gets_alone(architecture: str, tmp_path: Path) -> None:
    engine = load(write_model(tmp_path, architecture))
    seq2seq = engine.capabilities.kind == "seq2seq"
    for more in ({"attention": seq2seq}, {"params": {"logprobs": 2, "temperature": 0.7, "unkpen": 1.0}}):
        requests = texts(**more)
        alone = [Told(engine, one) for one in requests]
        for heard, its in zip(together(engine, requests), alone, strict=True):
            ours = Told.of(heard)
            assert (ours.finished.batch, its.finished.batch) == (len(TEXTS), 1)
            assert ours.tokens == its.tokens and ours.text == its.text
            for name in ("raw_lp", "search_lp", "entropy"):
                mine, other = ([getattr(step, name) or 0 for step in told.steps] for told in (ours, its))
                assert mine == pytest.approx(other, rel=1e-5, abs=2e-4), name
            for mine, other in zip(ours.finished.hypotheses, its.finished.hypotheses, strict=True):
                assert np.array(mine.attention) == pytest.approx(np.array(other.attention), abs=1e-4)
                assert mine.alignment == other.alignment


def test_ensembles_and_language_models_say_are_added_to_each(translation: Path, tmp_path: Path) -> None:
    say = {"lm_path": str(write_model(tmp_path, "transformer_lm")), "lm_weight": 0.4}
    engine = load(f"{translation}:{translation.with_name('other.pt')}", options=say)
    requests = texts()
    alone = [Told(engine, one) for one in requests]
    for heard, its in zip(together(engine, requests), alone, strict=True):
        ours = [step.search_lp for step in Told.of(heard).steps]
        assert ours == pytest.approx([step.search_lp for step in its.steps], abs=2e-4)


def test_the_exact_lane_and_what_differs_much_in_length_share_none(engine: FairseqEngine) -> None:
    exact = [msgspec.structs.replace(one, lane="exact") for one in texts()]
    requests = [*exact, scored("w1", "w2", 8), scored("w3", "w4", 9)]
    heard = together(engine, requests)
    assert [Told.of(told).finished.batch for told in heard] == [1] * len(exact) + [2, 2]


def test_a_pass_has_a_bound(engine: FairseqEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passes, "LOGITS", 3 * 4 * 24 * 5)
    requests = [scored(FIRST, TARGET, number) for number in range(1, 8)]
    told = [Told.of(heard).finished for heard in together(engine, requests)]
    assert [end.batch for end in told] == [3, 3, 3, 3, 3, 3, 1]


def test_when_a_pass_breaks_each_is_read_alone(
    engine: FairseqEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(network: Any, inputs: Any, run: Any = teacher._run) -> Any:
        if len(inputs[0]) > 1 or inputs[0].shape[1] == len(PROMPTS[2].split()) + 1:
            raise RuntimeError("out of memory")
        return run(network, inputs)

    monkeypatch.setattr(teacher, "_run", run)
    ends = [heard[-1] for heard in together(engine, texts())]
    assert [type(end) for end in ends] == [Finished, Finished, Failed, Finished, Finished]


def test_a_pass_that_broke_holds_no_memory_when_each_is_read_alone(
    engine: FairseqEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[weakref.ref[Any]] = []
    left: list[bool] = []

    def run(network: Any, inputs: Any, run: Any = teacher._run) -> Any:
        if len(inputs[0]) > 1:
            tensor = inputs[0].clone()
            held.append(weakref.ref(tensor))
            raise RuntimeError("out of memory")
        left.append(any(one() is not None for one in held))
        return run(network, inputs)

    monkeypatch.setattr(teacher, "_run", run)
    gc.disable()
    try:
        together(engine, texts())
    finally:
        gc.enable()
    assert held and not any(left)


def test_a_cancelled_text_is_not_read(engine: FairseqEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []

    def run(network: Any, inputs: Any, run: Any = teacher._run) -> Any:
        sizes.append(len(inputs[0]))
        return run(network, inputs)

    monkeypatch.setattr(teacher, "_run", run)
    answer = request(FIRST, number=99, min_new=12)
    engine.admit(answer)
    while not engine.step():
        pass
    requests = texts()
    for one in requests:
        engine.admit(one)
    engine.step()  # tells of the first text, and knows of the others
    for one in requests[2:]:
        engine.cancel(one.id)
    sizes.clear()
    heard: list[Any] = []
    while sum(isinstance(event, Finished) for event in heard) < 3:
        heard += engine.step()
    assert sizes == [2]
    assert {event.id for event in heard} == {1, 2, 99}
