"""What is streamed is what fairseq returns in one call, token for token and score for score."""

from tests.backends.fairseq.support import (
    FIRST,
    PROMPTS,
    SMALL,
    Library,
    Told,
    assert_same,
    events,
    load,
    request,
    together,
    write_model,
)

# isort: split
import threading
from pathlib import Path
from typing import Any

import pytest

from backends.base import BatchingEngine
from backends.cut import Cut
from backends.fairseq.engine import FairseqEngine
from backends.fairseq.sampling import Draws, KeyedSampling
from repl.messages import Error, Event, Failed, Finished, Started, Step


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("beam", [1, 5])
def test_translation_equals_one_call(engine: FairseqEngine, library: Library, prompt: str, beam: int) -> None:
    told = Told(engine, request(prompt, beam=beam, n=beam))
    assert_same(told, library.generate(prompt, beam=beam, max_len_b=12)[0])


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("beam", [1, 4])
def test_language_model_equals_one_call(
    causal: FairseqEngine, causal_library: Library, prompt: str, beam: int
) -> None:
    told = Told(causal, request(prompt, beam=beam, n=beam, max_new=8))
    skip = len(prompt.split())
    assert_same(told, causal_library.generate(prompt, beam=beam, max_len_b=8 + skip)[0], skip)


@pytest.mark.parametrize(
    ("params", "settings"),
    [
        ({"length_penalty": 0.3}, {"lenpen": 0.3}),
        ({"unkpen": 2.5}, {"unkpen": 2.5}),
        ({"temperature": 0.5}, {"temperature": 0.5}),
        ({"min_new": 6}, {"min_len": 6}),
        ({"max_new": 3}, {"max_len_b": 3}),
    ],
    ids=str,
)
def test_each_parameter_is_fairseqs_own(
    engine: FairseqEngine, library: Library, params: dict[str, Any], settings: dict[str, Any]
) -> None:
    for prompt in PROMPTS:
        told = Told(engine, request(prompt, beam=3, n=3, **params))
        assert_same(told, library.generate(prompt, beam=3, **{"max_len_b": 12, **settings})[0])


@pytest.mark.parametrize("cut", [{}, {"top_k": 3}, {"top_p": 0.7}, {"min_p": 0.2}], ids=str)
def test_seeded_samples_equal_one_call_with_the_same_search(
    engine: FairseqEngine, library: Library, cut: dict[str, Any]
) -> None:
    told = Told(engine, request(FIRST, temperature=1.3, seed=11, n=3, sample=2, **cut))
    search = KeyedSampling(
        library.task.target_dictionary, [Draws(11, 2 + i, 0) for i in range(3)], Cut(**cut)
    )
    found = library.generate(FIRST, rows=3, search=search, beam=1, temperature=1.3, max_len_b=12)
    assert_same(told, [hypotheses[0] for hypotheses in found])


def test_a_sample_is_the_same_alone_and_among_others(engine: FairseqEngine, causal: FairseqEngine) -> None:
    for model in (engine, causal):
        three = Told(model, request(FIRST, temperature=1.0, seed=5, n=3)).finished.hypotheses
        for sample, hypothesis in enumerate(three):
            alone = Told(model, request(FIRST, temperature=1.0, seed=5, sample=sample))
            assert alone.finished.hypotheses[0].tokens == hypothesis.tokens
        assert len({h.tokens for h in three}) > 1


def test_another_seed_gives_another_answer_and_none_says_which_it_drew(engine: FairseqEngine) -> None:
    texts = {Told(engine, request(FIRST, temperature=1.5, seed=seed)).text for seed in range(6)}
    assert len(texts) > 1
    told = Told(engine, request(FIRST, temperature=1.5))
    (note,) = told.started.notes
    seed = int(note.removeprefix("seed "))
    assert Told(engine, request(FIRST, temperature=1.5, seed=seed)).text == told.text


def test_an_ensemble_equals_one_call(translation: Path) -> None:
    other = translation.with_name("other.pt")
    both = load(f"{translation}:{other}")
    library = Library(translation, other)
    assert both.capabilities.parameters == 2 * (load(other).capabilities.parameters or 0)
    for beam in (1, 3):
        told = Told(both, request(FIRST, beam=beam, n=beam))
        assert_same(told, library.generate(FIRST, beam=beam, max_len_b=12)[0])
    assert [step.raw_lp for step in told.steps] == pytest.approx([s.search_lp for s in told.steps], abs=1e-5)


@pytest.mark.parametrize("architecture", SMALL)
def test_every_supported_family_streams_what_it_returns(architecture: str, tmp_path: Path) -> None:
    path = write_model(tmp_path, architecture)
    engine, library = load(path), Library(path)
    for prompt in PROMPTS[:2]:
        skip = len(prompt.split()) if architecture.endswith("_lm") else 0
        told = Told(engine, request(prompt, beam=3, n=3, max_new=6))
        assert_same(told, library.generate(prompt, beam=3, max_len_b=6 + skip)[0], skip)


@pytest.mark.parametrize("style", ["args", "cfg"])
def test_both_styles_of_checkpoint_give_the_same_answer(
    style: str, tmp_path: Path, engine: FairseqEngine
) -> None:
    path = write_model(tmp_path, style=style)
    assert Told(load(path), request(FIRST)).text == Told(engine, request(FIRST)).text


# -- lengths -----------------------------------------------------------------------------------------------


def test_max_new_counts_the_tokens_of_the_answer(engine: FairseqEngine, causal: FairseqEngine) -> None:
    for model in (engine, causal):
        for prompt in PROMPTS:
            told = Told(model, request(prompt, max_new=3))
            assert len(told.steps) <= 3
            if told.finished.reason == "length":
                assert len(told.steps) == 3
                assert told.finished.hypotheses[0].tokens[3:] == (2,)


def test_an_answer_ends_where_the_positions_do(engine: FairseqEngine, causal: FairseqEngine) -> None:
    told = Told(engine, request(FIRST, max_new=500, min_new=20))
    assert told.started.notes == ("max_new is 23 here: the model has 24 positions",)
    assert (len(told.steps), told.finished.reason) == (23, "length")
    told = Told(causal, request(FIRST, max_new=500, min_new=20))
    assert len(told.steps) == 20


def test_a_long_prompt_is_refused_or_cut(engine: FairseqEngine, causal: FairseqEngine) -> None:
    words = [f"w{i % 20}" for i in range(40)]
    assert (engine.capabilities.max_prompt, causal.capabilities.max_prompt) == (23, 22)
    (last,) = events(engine, request(" ".join(words)))
    assert isinstance(last, Failed)
    assert last.error.kind == "prompt_too_long"
    assert "40 tokens" in last.error.message and "23" in last.error.message
    assert "/set truncate left" in last.error.hint
    left = Told(engine, request(" ".join(words), truncate="left")).started
    assert (left.prompt_text, left.truncated) == (" ".join(words[-23:]), 17)
    right = Told(engine, request(" ".join(words), truncate="right")).started
    assert right.prompt_text == " ".join(words[:23])
    told = Told(causal, request(" ".join(words), truncate="left", max_new=8))
    assert told.started.prompt_text == " ".join(words[-15:])
    assert len(told.steps) <= 8


# -- one after another -------------------------------------------------------------------------------------


def test_a_cancelled_request_leaves_nothing_behind(engine: FairseqEngine) -> None:
    assert isinstance(engine, BatchingEngine)
    threads = threading.active_count()
    whole = Told(engine, request(FIRST, beam=5))
    for after in (0, 1, 4):
        engine.admit(request(FIRST, number=7, beam=5))
        seen = [event for _ in range(after) for event in engine.step()]
        engine.cancel(7)
        assert threading.active_count() == threads
        assert all(not isinstance(event, Finished) for event in seen)
        assert list(engine.step()) == []
        again = Told(engine, request(FIRST, beam=5))
        assert (again.steps, again.finished) == (whole.steps, whole.finished)


def test_with_one_slot_requests_are_answered_in_turn(translation: Path) -> None:
    engine = load(translation, slots=1)
    assert engine.capabilities.slots == 1
    told: list[Event] = []
    for number in (1, 2):
        told += together(engine, [request(PROMPTS[number], number=number)])[0]
    assert [e.id for e in told if isinstance(e, Started)] == [1, 2]
    assert all(e.batch == 1 for e in told if isinstance(e, Finished))


def test_each_call_takes_one_step_of_the_search(causal: FairseqEngine) -> None:
    causal.admit(request("w1 w2 w3", max_new=4, min_new=4))
    batches: list[list[Event]] = []
    while not any(isinstance(event, Finished) for batch in batches for event in batch):
        batches.append(list(causal.step()))
    batches = [batch for batch in batches if batch]  # it may have waited for others to come
    assert isinstance(batches[0][0], Started)
    assert [sum(isinstance(event, Step) for event in batch) for batch in batches] == [0] + [1] * 4 + [0]


# -- failures ----------------------------------------------------------------------------------------------


def failure(engine: FairseqEngine, prompt: str = FIRST, **params: Any) -> Error:
    *_, last = events(engine, request(prompt, **params))
    assert isinstance(last, Failed)
    return last.error


def test_contradictions_are_named(engine: FairseqEngine) -> None:
    for prompt, params, word in (
        (FIRST, {"beam": 2, "n": 3}, "n = 3"),
        (FIRST, {"min_new": 20, "max_new": 3}, "min_new = 20"),
    ):
        error = failure(engine, prompt, **params)
        assert error.kind == "bad_parameter" and word in error.message and error.hint
    for prompt in ("", "  \n\t"):
        assert failure(engine, prompt).kind == "empty_prompt"


def test_visible_marks_for_what_has_no_effect(engine: FairseqEngine) -> None:
    def notes(prompt: str = FIRST, **params: Any) -> str:
        return "; ".join(Told(engine, request(prompt, **params)).started.notes)

    assert notes() == ""
    assert notes(n=4) == "n has no effect without sampling or beams"
    assert "top_k, top_p: no effect under beams" in notes(beam=2, top_k=3, top_p=0.5)
    assert "divides the logits" in notes(beam=2, temperature=0.5)
    assert notes(beam=200) == "beam is 23 here: the dictionary has 24 symbols"
    assert notes("w1 Paris x Paris") == "not in the dictionary: Paris, x"


def test_nan_is_an_error_and_the_replica_lives_on(tmp_path: Path) -> None:
    engine = load(write_model(tmp_path))
    whole = Told(engine, request(FIRST)).text
    weight = next(iter(engine._model.networks[0].decoder.parameters()))
    kept = weight.data.clone()
    weight.data.fill_(float("nan"))
    error = failure(engine)
    assert (error.kind, "token 0" in error.message) == ("nan_logits", True)
    weight.data.copy_(kept)
    assert Told(engine, request(FIRST)).text == whole


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "out_of_memory"),
        (RuntimeError("expected scalar type Half"), "internal"),
    ],
    ids=["memory", "other"],
)
def test_what_torch_raises_fails_the_request_alone(
    engine: FairseqEngine, monkeypatch: pytest.MonkeyPatch, raised: Exception, kind: str
) -> None:
    whole = Told(engine, request(FIRST)).text

    def broken(*arguments: Any, **more: Any) -> Any:
        raise raised

    with monkeypatch.context() as patched:
        patched.setattr(engine._model.networks[0].decoder, "forward", broken)
        error = failure(engine, beam=2)
        assert error.kind == kind and error.hint
    assert Told(engine, request(FIRST)).text == whole
