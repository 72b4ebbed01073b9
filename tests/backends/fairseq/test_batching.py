"""What is generated together is what each request gets alone, whatever happens to its neighbours.

The models run in float64, so that what padding would change cannot hide behind rounding.
"""

from tests.backends.fairseq.support import PROMPTS, SMALL, Told, load, request, together, write_model

# isort: split
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

from backends.fairseq.engine import FairseqEngine
from repl.messages import Event, Failed, Finished, Request, Started

LINES = [*PROMPTS, "w9 w8 w7 w6 w5 w4 w3 w2", "w19"]


def precise(path: Path | str) -> FairseqEngine:
    engine = load(path)
    for network in engine._model.networks:
        network.double()
    return engine


@pytest.fixture(scope="module")
def engine(translation: Path) -> FairseqEngine:
    return precise(translation)


@pytest.fixture(scope="module")
def causal(language_model: Path) -> FairseqEngine:
    return precise(language_model)


def asked(**params: Any) -> list[Request]:
    """Of each line, with limits of its own."""
    return [
        request(line, number=place + 1, **{"max_new": 12 - place, "min_new": place % 3, **params})
        for place, line in enumerate(LINES)
    ]


def assert_alike(ours: Told, alone: Told) -> None:
    """Token for token and, up to rounding, score for score."""
    assert ours.finished.text == alone.finished.text
    assert ours.finished.reason == alone.finished.reason
    assert ours.tokens == alone.tokens
    assert [step.text for step in ours.steps] == [step.text for step in alone.steps]
    for name in ("search_lp", "raw_lp", "proc_lp", "entropy"):
        figures = [[getattr(step, name) for step in told.steps] for told in (ours, alone)]
        assert figures[0] == pytest.approx(figures[1], abs=1e-6), name
    assert [[t for t, _, _ in step.top] for step in ours.steps] == [
        [t for t, _, _ in step.top] for step in alone.steps
    ]
    for mine, its in zip(ours.finished.hypotheses, alone.finished.hypotheses, strict=True):
        assert (mine.tokens, mine.alignment) == (its.tokens, its.alignment)
        assert mine.score == pytest.approx(its.score, abs=1e-6)
        assert mine.token_scores == pytest.approx(its.token_scores, abs=1e-6)


def assert_like_alone(engine: FairseqEngine, requests: list[Request]) -> None:
    alone = [Told(engine, one) for one in requests]
    heard = [Told.of(events) for events in together(engine, requests)]
    for ours, its in zip(heard, alone, strict=True):
        assert ours.finished.batch > its.finished.batch
        assert_alike(ours, its)


@pytest.mark.parametrize("architecture", SMALL)
@pytest.mark.parametrize("beam", [1, 4])
def test_padding_changes_nothing(architecture: str, beam: int, tmp_path: Path) -> None:
    # Larger weights give a convolutional model logits of several hundreds, and fairseq's softmax is float32.
    scale = 1.0 if architecture.startswith("fconv") else 2.5
    engine = precise(write_model(tmp_path, architecture, scale=scale))
    assert_like_alone(engine, asked(beam=beam, n=beam, logprobs=3))


@pytest.mark.parametrize(
    "params",
    [
        {"beam": 3, "length_penalty": 0.2, "unkpen": 1.0},
        {"beam": 3, "temperature": 0.6},
        {"no_repeat_ngram": 2, "stop": ("w3 w", "w7")},
        {"beam": 3, "no_repeat_ngram": 1},
    ],
    ids=str,
)
def test_every_setting_holds_for_each_of_them(
    engine: FairseqEngine, causal: FairseqEngine, params: dict[str, Any]
) -> None:
    for model in (engine, causal):
        assert_like_alone(model, asked(**params))


def test_samples_keep_their_noise(engine: FairseqEngine, causal: FairseqEngine) -> None:
    for model in (engine, causal):
        requests = [
            msgspec.structs.replace(
                one,
                sample=one.id % 2,
                params=msgspec.structs.replace(one.params, seed=one.id, n=1 + one.id % 3),
            )
            for one in asked(temperature=1.5, top_k=8)
        ]
        assert_like_alone(model, requests)


def test_beginnings_of_different_length_are_kept(engine: FairseqEngine, causal: FairseqEngine) -> None:
    beginnings = ["", "w5", "w6 w7 w8", "", "w1 w1", "w2"]
    for model in (engine, causal):
        requests = [
            msgspec.structs.replace(one, prefix=prefix)
            for one, prefix in zip(asked(beam=3, n=3, min_new=2), beginnings, strict=True)
        ]
        assert_like_alone(model, requests)


def test_an_ensemble_is_batched(translation: Path) -> None:
    assert_like_alone(precise(f"{translation}:{translation.with_name('other.pt')}"), asked(beam=3, n=3))


def test_different_settings_take_turns_in_batches_of_their_own(engine: FairseqEngine) -> None:
    requests = [
        one
        for number, params in enumerate(({"beam": 4}, {}, {"beam": 2, "temperature": 0.5}))
        for one in [msgspec.structs.replace(two, id=two.id + 10 * number) for two in asked(**params)]
    ]
    alone = [Told(engine, one) for one in requests]
    for ours, its in zip([Told.of(events) for events in together(engine, requests)], alone, strict=True):
        assert_alike(ours, its)


def test_the_exact_lane_is_served_alone(engine: FairseqEngine) -> None:
    requests = asked(beam=2)
    requests[1] = msgspec.structs.replace(requests[1], lane="exact")
    batches = [Told.of(events).finished.batch for events in together(engine, requests)]
    assert batches[1] == 2
    assert max(batches[2:]) > 2


@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("steps", [1, 3])
def test_cancelling_one_leaves_the_others_as_they_are(engine: FairseqEngine, beam: int, steps: int) -> None:
    threads = threading.active_count()
    requests = asked(beam=beam, n=beam, max_new=12, min_new=8)
    alone = [Told(engine, one) for one in requests]
    heard: dict[int, list[Event]] = {one.id: [] for one in requests}

    def step() -> None:
        for event in engine.step():
            heard[event.id].append(event)

    for one in requests:
        engine.admit(one)
    while sum(isinstance(told[0], Started) for told in heard.values() if told) < len(requests):
        step()
    for _ in range(steps):
        step()
    engine.cancel(2)
    engine.cancel(4)
    before = {number: len(heard[number]) for number in (2, 4)}
    while not all(isinstance(heard[number][-1], Finished) for number in (1, 3, 5)):
        step()
    for number in (1, 3, 5):
        assert_alike(Told.of(heard[number]), alone[number - 1])
    assert before == {number: len(heard[number]) for number in (2, 4)}
    assert threading.active_count() == threads


def test_a_line_that_fails_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    engine = precise(write_model(tmp_path))
    requests = asked(beam=3, n=3)
    alone = [Told(engine, one) for one in requests]
    encoder = engine._model.networks[0].encoder
    encoder.embed_tokens.weight.data[engine._model.codec.encode("w19").ids[0]] = torch.nan
    heard = together(engine, requests)
    for line, events, its in zip(LINES, heard, alone, strict=True):
        if "w19" in line:
            assert isinstance(events[-1], Failed) and events[-1].error.kind == "nan_logits"
        else:
            assert_alike(Told.of(events), its)
    assert not engine._batches


def test_a_batch_that_breaks_is_tried_one_by_one(
    engine: FairseqEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = asked(beam=2)
    alone = [Told(engine, one) for one in requests]
    decoder = engine._model.networks[0].decoder
    forward = decoder.forward

    def cramped(tokens: Any, *more: Any, **named: Any) -> Any:
        if tokens.shape[0] > 2 and tokens.shape[1] > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(tokens, *more, **named)

    monkeypatch.setattr(decoder, "forward", cramped)
    for events, its in zip(together(engine, requests), alone, strict=True):
        told = Told.of(events)
        assert_alike(told, its)
        assert sum(isinstance(event, Started) for event in events) == 1


def test_one_that_is_complete_is_told_before_the_others_are(engine: FairseqEngine) -> None:
    short = request(LINES[0], number=1, max_new=2)
    long = request(LINES[1], number=2, max_new=12, min_new=11)
    order: list[int] = []
    for one in (short, long):
        engine.admit(one)
    while len(order) < 2:
        events = engine.step()
        order += [event.id for event in events if isinstance(event, Finished)]
        if order == [1]:
            assert [member.request.id for batch in engine._batches for member in batch.members] == [2]
    assert order == [1, 2]
