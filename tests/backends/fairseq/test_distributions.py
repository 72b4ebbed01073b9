"""Whole distributions of the tokens of answers and scored texts."""

from tests.backends.fairseq.support import (
    FIRST,
    Library,
    Told,
    request,
    scored,
)

# isort: split
from typing import Any

import msgspec
import numpy as np
import pytest

from backends import outbox
from backends.fairseq import scoring
from backends.fairseq.engine import FairseqEngine
from repl.messages import Event, Finished, Started, Step
from tests.backends.fairseq.test_figures import full_pass


def distribution(step: Step) -> np.ndarray[Any, Any]:
    return np.frombuffer(step.distribution, "<f4")


def test_whole_distributions_come_where_they_are_asked_for(
    engine: FairseqEngine, causal: FairseqEngine, library: Library
) -> None:
    requests = [
        msgspec.structs.replace(request(FIRST, **params), distributions=True)
        for params in ({}, {"beam": 3, "n": 2}, {"temperature": 1.2, "seed": 3, "top_k": 2})
    ]
    for asked in [scored(distributions=True, closing=True), *requests]:
        told = Told(engine, asked)
        raw = full_pass(library, FIRST, told.tokens)
        for step, row in zip(told.steps, raw, strict=True):
            assert distribution(step) == pytest.approx(row.numpy(), abs=1e-4)
            assert distribution(step)[step.token] == pytest.approx(step.raw_lp)
            assert np.exp(distribution(step).astype(float)).sum() == pytest.approx(1, abs=1e-5)
        assert told.started.prompt_pieces == (b"w1", b" w2", b" w3", b"</s>")
    told = Told(causal, msgspec.structs.replace(request(FIRST), distributions=True))
    assert all(len(step.distribution) == 4 * 24 for step in told.steps)
    plain = Told(engine, request(FIRST))
    assert not any(step.distribution for step in plain.steps) and plain.started.prompt_pieces == ()


def test_the_distributions_of_known_tokens_stay_where_they_are(
    engine: FairseqEngine, causal: FairseqEngine
) -> None:
    for model in (engine, causal):
        whole = Told(model, msgspec.structs.replace(request(FIRST), distributions=True))
        given = tuple(whole.tokens[:2])
        asked = msgspec.structs.replace(request(FIRST), distributions=True, prefix_ids=given, known=1)
        told = Told(model, asked)
        assert told.tokens == whole.tokens
        assert [step.distribution for step in told.steps] == [
            b"" if index < 1 else step.distribution for index, step in enumerate(whole.steps)
        ]


def test_distributions_are_sent_in_portions(engine: FairseqEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    portion = 3 * 4 * 24
    monkeypatch.setattr(outbox, "PORTION", portion)
    monkeypatch.setattr(scoring, "PART", portion)
    requests = [
        scored(distributions=True, closing=True),
        msgspec.structs.replace(request(FIRST, number=2, beam=4), distributions=True),
        msgspec.structs.replace(request("w7", number=3, beam=4), distributions=True),
    ]
    alone = [Told(engine, one) for one in requests]
    for one in requests:
        engine.admit(one)
    heard: dict[int, list[Event]] = {1: [], 2: [], 3: []}
    while not all(told and isinstance(told[-1], Finished) for told in heard.values()):
        produced = engine.step()
        assert sum(len(e.distribution) for e in produced if isinstance(e, Step)) <= portion
        for event in produced:
            heard[event.id].append(event)
    for told, its in zip(heard.values(), alone, strict=True):
        assert Told.of(told).tokens == its.tokens


def test_what_is_held_back_of_a_cancelled_request_is_never_sent(
    engine: FairseqEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "PORTION", 4 * 24)
    engine.admit(scored(distributions=True))
    assert [type(event) for event in engine.step()] == [Started]
    assert [type(event) for event in engine.step()] == [Step]
    engine.cancel(1)
    assert not list(engine.step()) and not engine._outbox and not engine._lookups
