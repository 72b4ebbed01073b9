"""Drafts change how many passes an answer takes and nothing else."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from backends.base import BackendError
from backends.hf import selftest
from backends.hf.guesses.lookup import Lookup
from backends.hf.guesses.speculation import Drafts
from backends.hf.state.causal import CausalRows
from tests.backends.hf.support import REPETITIVE, SETTINGS, alike, ask, request, run

KINDS = ("gpt2", "llama", "mistral-window", "bloom", "qwen3-moe", "deepseek-mla")


class Said:
    """A row that has a history and nothing else."""

    def __init__(self, history):
        self.history = history


@pytest.fixture(scope="module")
def lookup(checkpoint, load):
    engines = {}

    def of(kind, most=6):
        if (kind, most) not in engines:
            engines[kind, most] = load(checkpoint(kind), options={"lookup": most})
        return engines[kind, most]

    return of


class Oracle:
    """Proposes a given answer."""

    def __init__(self, tokens):
        self._tokens = tokens

    def draft(self, row, most):
        return [token % 300 for token in self._tokens[len(row.tokens) :][:most]]


@pytest.fixture
def guessing(lookup, monkeypatch):
    """``guessing(tokens)`` is an engine that takes them for the answer."""

    def given(tokens):
        engine = lookup("llama")
        monkeypatch.setattr(engine._model, "drafts", lambda: Drafts(Oracle(tokens), 5))
        return engine

    return given


def test_what_followed_the_same_words_is_proposed():
    seen = Lookup()
    assert seen.draft(Said([1, 2, 3, 4]), 4) == []
    assert seen.draft(Said([1, 2, 3, 4, 9, 1, 2]), 3) == [3, 4, 9]
    # The later of two occurrences, and three words in common before two.
    assert Lookup().draft(Said([1, 2, 5, 1, 2, 6, 1, 2]), 1) == [6]
    assert Lookup().draft(Said([7, 1, 2, 5, 8, 1, 2, 6, 7, 1, 2]), 1) == [5]


def test_a_repetition_is_taken_to_go_on():
    assert Lookup().draft(Said([4, 8, 8, 8]), 5) == [8] * 5
    assert Lookup().draft(Said([1, 2, 3, 1, 2, 3]), 7) == [1, 2, 3, 1, 2, 3, 1]


def test_the_next_draft_is_as_long_as_the_last_was_good():
    drafts = Drafts(Lookup(), 8)
    row = Said([5, 5, 5, 5])
    lengths = []
    for right in (8, 1, 2, 3, 0, 1):
        drafted = len(drafts.draft(row, 100))
        lengths.append(drafted)
        drafts.offer(drafted)
        for _ in range(right):
            drafts.confirm()
    assert lengths == [8, 8, 2, 4, 4, 1]
    assert (drafts.drafted, drafts.accepted) == (27, 15)
    assert len(drafts.draft(row, 1)) == 1 and drafts.draft(row, 0) == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_repetitive_text_is_written_in_fewer_steps(engine, lookup, kind):
    wanted = ask(engine(kind), REPETITIVE, max_new=40)
    found = ask(lookup(kind), REPETITIVE, max_new=40)
    alike(found, wanted)
    assert wanted.end.drafted == wanted.end.accepted == 0
    assert 0 < found.end.accepted <= found.end.drafted


@pytest.mark.parametrize("temperature", [0.0, 0.2])
def test_copied_drafts_are_verified_whatever_they_are(engine, lookup, temperature):
    accepted = 0
    for seed in range(8):
        asked = {"max_new": 40, "temperature": temperature, "seed": seed}
        prompt = REPETITIVE + "the cat sat on the mat"[: 4 + 2 * seed]
        found = ask(lookup("llama"), prompt, **asked)
        alike(found, ask(engine("llama"), prompt, **asked))
        accepted += found.end.accepted
    assert accepted > 0


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_every_setting_gives_the_same_answer(engine, guessing, settings):
    for seed in range(6):
        asked = {"max_new": 40} | settings | ({"seed": seed} if "seed" in settings else {})
        wanted = ask(engine("llama"), **asked)
        # Every seventh guess is wrong.
        found = ask(guessing([token + (i % 7 == 6) for i, token in enumerate(wanted.tokens)]), **asked)
        alike(found, wanted)
        forced = sum(step.forced for step in wanted.steps)
        assert found.end.accepted > 0.4 * (len(wanted.tokens) - forced)
        assert found.end.accepted < found.end.drafted


def test_the_answer_ends_where_it_would_have(engine, guessing):
    whole = ask(engine("llama"), max_new=40)
    assert len(whole.text) > 20
    for at in range(4, 16, 3):
        for ending in (
            {"stop": (whole.text[at : at + 3],)},
            {"max_new": at},
            {"stop_tokens": (f"#{whole.tokens[at]}",)},
        ):
            settings = {"max_new": 40} | ending
            alike(ask(guessing(whole.tokens), **settings), ask(engine("llama"), **settings))


def test_an_end_token_in_the_middle_of_a_draft_ends_the_answer(engine, guessing):
    """Sampled hot from a small vocabulary, an answer comes to its end token sooner or later."""
    ended = 0
    for seed in range(40):
        settings = {"max_new": 60, "temperature": 3.0, "seed": seed}
        wanted = ask(engine("llama"), **settings)
        found = ask(guessing([*wanted.tokens, 5, 5, 5, 5]), **settings)
        alike(found, wanted)
        ended += found.end.reason == "eos"
    assert ended > 0


def test_streams_side_by_side_take_one_token_each(engine, lookup):
    requests = [request(n, REPETITIVE * n, max_new=30) for n in (1, 2)]
    for found, wanted in zip(run(lookup("llama"), *requests), run(engine("llama"), *requests), strict=True):
        alike(found, wanted)
    together = run(lookup("llama"), *requests)
    assert all(heard.end.batch == 2 for heard in together)
    # The one that is left alone is guessed again.
    shorter = [request(1, REPETITIVE, max_new=5), request(2, REPETITIVE, max_new=40)]
    first, last = run(lookup("llama"), *shorter)
    assert first.end.accepted == 0 < last.end.accepted
    alike(last, ask(engine("llama"), REPETITIVE, max_new=40))


def test_requests_that_come_and_go_change_nothing(engine, lookup):
    requests = [
        request(n, REPETITIVE + "the cat"[: n + 1], max_new=20 + n, temperature=0.2 * (n % 2), seed=n)
        for n in range(5)
    ]
    for gap in (3, 9):
        found = run(lookup("llama"), *requests, gap=gap)
        for heard, one in zip(found, requests, strict=True):
            alike(heard, run(engine("llama"), one)[0])


def test_samples_of_one_prompt_are_drawn_as_before(engine, lookup):
    settings = {"n": 3, "temperature": 0.3, "seed": 1, "max_new": 30}
    found, wanted = (ask(model("llama"), REPETITIVE, **settings) for model in (lookup, engine))
    assert found.end.hypotheses == wanted.end.hypotheses


def test_what_an_answer_leaves_behind_serves_the_next_turn(lookup, network):
    first = ask(lookup("llama"), REPETITIVE, max_new=30)
    assert first.end.accepted > 0
    held = [*first.started.prompt_ids, *first.tokens[:-1]]
    kept = lookup("llama")._prefixes.find([*held, 1, 1])
    assert kept.length == len(held)
    fresh = CausalRows(network("llama"))
    with torch.inference_mode():
        fresh.prefill([held])
    for found, wanted in zip(kept.layers, fresh.snapshot(0).layers, strict=True):
        torch.testing.assert_close(found.keys, wanted.keys, atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found.values, wanted.values, atol=1e-5, rtol=1e-4)


def test_a_cancelled_stream_leaves_nothing(lookup):
    engine = lookup("llama")
    engine.admit(request(1, REPETITIVE, max_new=60))
    while not any(getattr(event, "index", 0) > 5 for event in engine.step()):
        pass
    engine.cancel(1)
    assert not engine.step()
    assert ask(engine, "the cat").end.reason == "length"


def test_the_exact_lane_takes_one_token_at_a_time(lookup):
    assert ask(lookup("llama"), REPETITIVE, max_new=40, lane="exact").end.drafted == 0


def test_a_pass_that_runs_out_of_memory_is_tried_again(engine, guessing, monkeypatch):
    wanted = ask(engine("llama"), REPETITIVE, max_new=30)
    model = guessing(wanted.tokens)
    feed, failed = CausalRows.feed, []

    def fails_once(self, tokens):
        logits = feed(self, tokens)
        if not failed:
            failed.append(tokens)
            raise torch.OutOfMemoryError("pretended")
        return logits

    ask(model, "the cat sat on the mat with the hat and that was that, the cat " * 2)  # leaves its text
    monkeypatch.setattr(CausalRows, "feed", fails_once)
    alike(ask(model, REPETITIVE, max_new=30), wanted)
    assert failed


def test_numbers_that_are_none_fail_the_request_alone(guessing, engine, monkeypatch):
    wanted = ask(engine("llama"), max_new=30)
    model = guessing(wanted.tokens)
    feed = CausalRows.feed

    def damaged(self, tokens):
        logits = feed(self, tokens)
        logits[2] = float("nan")
        return logits

    monkeypatch.setattr(CausalRows, "feed", damaged)
    heard = ask(model, max_new=30)
    assert heard.end.error.kind == "nan_logits"
    assert heard.tokens == wanted.tokens[: len(heard.tokens)]
    monkeypatch.undo()
    alike(ask(model, max_new=30), wanted)


@pytest.mark.parametrize("kind", ["mamba", "t5"])
def test_kinds_that_cannot_go_back_say_so(engine, lookup, kind):
    assert any(note.startswith("lookup has no effect") for note in lookup(kind).capabilities.notes)
    found = ask(lookup(kind), REPETITIVE)
    assert found.tokens == ask(engine(kind), REPETITIVE).tokens and found.end.drafted == 0


def test_keys_that_depend_on_the_length_of_a_pass_cannot_be_cut(checkpoint, load, tokenizer, tmp_path):
    config = transformers.AutoConfig.from_pretrained(checkpoint("llama"))
    config.rope_parameters = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 10_000.0}
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = load(tmp_path, options={"lookup": 4})
    assert any(note.startswith("lookup has no effect") for note in model.capabilities.notes)
    assert ask(model, REPETITIVE, max_new=30).end.drafted == 0


def test_a_self_test_that_fails_turns_drafts_off(checkpoint, load, monkeypatch):
    monkeypatch.setattr(selftest, "rewinds", lambda network, make: False)
    model = load(checkpoint("llama"), options={"lookup": 4})
    assert any(note.startswith("lookup has no effect") for note in model.capabilities.notes)
    assert ask(model, REPETITIVE).end.drafted == 0


def test_the_self_test_finds_rows_that_keep_what_was_cut_off(network):
    class Forgetful(CausalRows):
        def crop(self, length):
            self.length = length

    assert selftest.rewinds(network("llama"), lambda: CausalRows(network("llama")))
    assert not selftest.rewinds(network("llama"), lambda: Forgetful(network("llama")))


def test_a_draft_of_no_tokens_is_refused(checkpoint, load):
    with pytest.raises(BackendError, match="lookup"):
        load(checkpoint("llama"), options={"lookup": 0})
