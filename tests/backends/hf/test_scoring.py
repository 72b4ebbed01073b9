"""Scores are those of the model: its loss, its logits, and what an independent library computes."""

import math

import numpy as np
import pytest
import torch
from minicons import scorer

from repl.messages import Failed, Finished, Step
from repl.readings import Tokenized
from tests.backends.hf.support import SEQ2SEQ, ask, request, run

CONTEXT, TEXT = "the cat sat on", " the mat with the hat"
KINDS = ["gpt2", "llama", "bloom", "opt", "mistral-window", "mamba", "t5", "bart"]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def score(engine, prompt="", target="", **fields):
    (heard,) = run(engine, request(1, prompt, task="score", target=target, **fields))
    return heard


def lps(network, tokenizer, kind, prompt, target):
    """What the network's own logits give each token of ``target``."""
    with torch.inference_mode():
        if kind in SEQ2SEQ:
            start = network.config.decoder_start_token_id
            inputs = {"input_ids": torch.tensor([tokenizer(prompt)["input_ids"]])}
            before = [start]
            inputs["decoder_input_ids"] = torch.tensor([[start, *target[:-1]]])
        else:
            before = tokenizer(prompt)["input_ids"]
            inputs = {"input_ids": torch.tensor([[*before, *target]])}
        logits = network(**inputs).logits[0].float().log_softmax(-1)
    at = len(before) - 1
    return [logits[at + i, token].item() for i, token in enumerate(target)]


def test_scores_are_the_networks_own(kind, engine, network, tokenizer):
    heard = score(engine(kind), CONTEXT, TEXT, logprobs=3)
    assert isinstance(heard.end, Finished) and heard.end.reason == "done"
    assert all(step.forced for step in heard.steps)
    found = [step.raw_lp for step in heard.steps]
    assert found == pytest.approx(lps(network(kind), tokenizer, kind, CONTEXT, heard.tokens), abs=1e-4)
    assert heard.text == heard.end.text == TEXT
    assert b"".join(step.piece for step in heard.steps).decode() == TEXT
    assert b"".join(heard.started.prompt_pieces).decode().startswith(CONTEXT)
    assert all(step.rank is not None and step.entropy is not None for step in heard.steps)
    assert all(len(step.top) == 3 for step in heard.steps)


def test_the_sum_is_the_loss(engine, network, tokenizer):
    heard = score(engine("gpt2"), target=TEXT, opening="bos")
    ids = torch.tensor([[tokenizer.bos_token_id, *heard.tokens]])
    loss = network("gpt2")(ids, labels=ids).loss.item()
    assert -sum(s.raw_lp for s in heard.steps) / len(heard.steps) == pytest.approx(loss, abs=1e-4)


def test_minicons_agrees(engine, checkpoint):
    """An independent implementation, on a text after another."""
    theirs = scorer.IncrementalLMScorer(str(checkpoint("llama")), "cpu")
    expected = theirs.conditional_score([CONTEXT], [TEXT.strip()], reduction=lambda x: x.sum().item())
    heard = score(engine("llama"), CONTEXT, TEXT)
    assert sum(s.raw_lp for s in heard.steps) == pytest.approx(expected[0], abs=1e-3)


def test_what_a_text_begins_with_is_said(engine, tokenizer):
    auto = score(engine("gpt2"), target=TEXT)
    assert auto.started.notes == ("begins with <s>",)
    assert auto.started.prompt_ids == (tokenizer.bos_token_id,)
    eos = score(engine("gpt2"), target=TEXT, opening="eos")
    assert eos.started.notes == ("begins with </s>",)
    assert eos.steps[0].raw_lp != auto.steps[0].raw_lp
    bare = score(engine("gpt2"), target=TEXT, opening="none")
    assert bare.steps[0].raw_lp is None and bare.steps[1].raw_lp is not None
    assert bare.tokens == auto.tokens and bare.text == TEXT
    assert "the first token has no score" in bare.started.notes[0]


def test_the_end_token_is_scored_on_demand(kind, engine, network, tokenizer):
    heard = score(engine(kind), CONTEXT, TEXT, closing=True)
    assert heard.tokens[-1] == tokenizer.eos_token_id
    expected = lps(network(kind), tokenizer, kind, CONTEXT, heard.tokens)
    assert heard.steps[-1].raw_lp == pytest.approx(expected[-1], abs=1e-4)


def test_tokens_are_scored_as_given(kind, engine):
    written = ask(engine(kind), CONTEXT, max_new=6)
    again = score(engine(kind), CONTEXT, target_ids=tuple(written.tokens))
    assert again.tokens == written.tokens
    assert [s.raw_lp for s in again.steps] == pytest.approx([s.raw_lp for s in written.steps], abs=1e-4)


def test_distributions_are_whole_and_agree_with_the_figures(kind, engine):
    heard = score(engine(kind), CONTEXT, TEXT, distributions=True)
    written = ask(engine(kind), CONTEXT, max_new=4, distributions=True)
    for step in (*heard.steps, *written.steps):
        row = np.frombuffer(step.distribution, dtype="<f4")
        assert np.exp(row.astype(float)).sum() == pytest.approx(1, abs=1e-4)
        assert row[step.token] == pytest.approx(step.raw_lp, abs=1e-5)
    for step in heard.steps:
        row = np.frombuffer(step.distribution, dtype="<f4").astype(float)
        assert step.rank == (row > row[step.token]).sum()
        assert step.entropy == pytest.approx(-(np.exp(row) * row).sum(), abs=1e-3)


def test_a_beams_steps_have_distributions_too(engine):
    heard = ask(engine("gpt2"), CONTEXT, beam=3, max_new=4, distributions=True)
    for step in heard.steps:
        assert np.frombuffer(step.distribution, dtype="<f4")[step.token] == pytest.approx(
            step.raw_lp, abs=1e-5
        )


def test_numbers_do_not_depend_on_what_runs_beside(engine):
    alone = score(engine("llama"), CONTEXT, TEXT * 3, lane="exact", logprobs=2)
    busy = [request(i, "the cat" * i, max_new=30) for i in range(2, 5)]
    mine = request(1, CONTEXT, task="score", target=TEXT * 3, lane="exact", logprobs=2)
    among = run(engine("llama"), *busy, mine, gap=2)[-1]
    assert among.steps == alone.steps


def test_branching_on_the_chosen_token_reproduces_the_answer(kind, engine):
    for settings in ({}, {"temperature": 1.0, "seed": 3}):
        parent = ask(engine(kind), CONTEXT, max_new=10, **settings)
        for at in (1, 4):
            child = ask(engine(kind), CONTEXT, max_new=10, prefix_ids=tuple(parent.tokens[:at]), **settings)
            assert child.tokens == parent.tokens
            assert [s.forced for s in child.steps] == [i < at for i in range(len(child.steps))]
            assert child.text == parent.text


def test_branching_elsewhere_goes_another_way(engine):
    parent = ask(engine("gpt2"), CONTEXT, max_new=10)
    other = (parent.tokens[1] + 1) % 300
    child = ask(engine("gpt2"), CONTEXT, max_new=10, prefix_ids=(parent.tokens[0], other))
    assert child.tokens[:2] == [parent.tokens[0], other]


def test_tokens_of_another_model_are_refused_and_neighbours_go_on(engine):
    good, scored, branched = run(
        engine("gpt2"),
        request(0, CONTEXT, max_new=4),
        request(1, CONTEXT, task="score", target_ids=(5, 99_999)),
        request(2, CONTEXT, prefix_ids=(99_999,)),
    )
    assert isinstance(good.end, Finished)
    for bad in (scored, branched):
        assert isinstance(bad.end, Failed)
        assert bad.end.error.kind == "bad_parameter"
        assert "99999" in bad.end.error.message


def test_too_much_and_nothing_are_refused(engine):
    assert score(engine("gpt2"), target="the cat " * 200).end.error.kind == "prompt_too_long"
    assert score(engine("gpt2"), CONTEXT, "").end.error.kind == "empty_prompt"


def test_a_cancelled_score_leaves_nothing_behind(engine):
    model = engine("gpt2")
    model.admit(request(1, CONTEXT, task="score", target=TEXT, distributions=True))
    model.step()
    model.cancel(1)
    assert not [event for _ in range(3) for event in model.step()]


def test_big_answers_are_told_in_portions(engine, monkeypatch):
    from backends import outbox

    monkeypatch.setattr(outbox, "PORTION", 4 * 340 * 2)
    model = engine("gpt2")
    model.admit(request(1, CONTEXT, task="score", target=TEXT, distributions=True))
    portions = []
    while not any(isinstance(event, Finished) for portion in portions for event in portion):
        portions.append(model.step())
    sizes = [sum(isinstance(event, Step) for event in portion) for portion in portions]
    assert max(sizes) == 2 and sum(sizes) > 4


@pytest.mark.parametrize("text", ["the cat", "早上好 👋🏽", "naïve\n\tcafé", ""])
def test_tokenize(kind, engine, tokenizer, text):
    (heard,) = run(engine(kind), request(1, "x", task="tokenize", target=text or "x"))
    reading = heard.end.reading
    assert isinstance(reading, Tokenized)
    assert list(reading.ids) == tokenizer(text or "x", add_special_tokens=False)["input_ids"]
    assert b"".join(reading.pieces).decode() == reading.decoded == (text or "x")
    assert not any(reading.unknown)


def test_scores_of_the_impossible_are_minus_infinity_not_an_error(engine, network, monkeypatch):
    model = engine("gpt2")
    head = model._model.network
    original = head.forward

    def forbidding(*args, **kwargs):
        out = original(*args, **kwargs)
        out.logits[..., 7] = -math.inf
        return out

    monkeypatch.setattr(head, "forward", forbidding)
    heard = score(model, CONTEXT, target_ids=(8, 7))
    assert heard.steps[1].raw_lp == -math.inf
    assert math.isfinite(heard.steps[0].raw_lp)


SETTINGS = [
    {"temperature": 0.7, "top_k": 40, "top_p": 0.9},
    {"temperature": 1.3, "repetition_penalty": 1.4, "min_new": 8},
    {"no_repeat_ngram": 2, "presence_penalty": 0.5, "min_new": 8},
]


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_an_answer_is_scored_as_it_was_drawn(kind, settings, engine):
    model = engine(kind)
    written = ask(model, CONTEXT, max_new=8, seed=5, **settings)
    again = score(model, CONTEXT, target_ids=tuple(written.tokens), max_new=8, **settings)
    for name in ("raw_lp", "proc_lp"):
        found = [getattr(step, name) for step in again.steps]
        assert found == pytest.approx([getattr(step, name) for step in written.steps], abs=1e-3)
    assert [s.proc_lp for s in again.steps] != [s.raw_lp for s in again.steps]


def test_without_settings_what_is_drawn_from_is_the_model(kind, engine):
    heard = score(engine(kind), CONTEXT, TEXT)
    assert [step.proc_lp for step in heard.steps] == [step.raw_lp for step in heard.steps]


def test_a_long_prompt_gives_way_to_the_text_where_it_may(engine):
    model = engine("gpt2")
    refused = score(model, "z" * 126, TEXT)
    assert refused.end.error.kind == "prompt_too_long" and "truncate" in refused.end.error.hint
    cut = score(model, "a" * 60 + "z" * 60, TEXT, truncate="left")
    count = len(cut.tokens)
    assert cut.text == TEXT and cut.started.prompt_text.endswith("z" * 60)
    assert cut.started.truncated == 120 + count - 128 and cut.end.padded == 128
    assert len(cut.started.prompt_ids) == 128 - count
    hopeless = score(model, "the", "z" * 130, truncate="left")
    assert hopeless.end.error.kind == "prompt_too_long" and "in parts" in hopeless.end.error.hint


def test_branching_at_the_last_token_reproduces_the_end(engine):
    model = engine("llama")
    for settings in ({"max_new": 7}, {"max_new": 60, "temperature": 1.0, "seed": 4}):
        parent = ask(model, CONTEXT, **settings)
        child = ask(model, CONTEXT, prefix_ids=tuple(parent.tokens), **settings)
        assert child.tokens == parent.tokens and child.text == parent.text
        assert child.end.reason == parent.end.reason and child.end.text == parent.end.text
        assert child.end.batch == 1 and child.end.padded >= len(parent.started.prompt_ids)


def test_a_given_end_token_ends_the_answer(engine, tokenizer):
    heard = ask(engine("llama"), CONTEXT, prefix_ids=(300, tokenizer.eos_token_id))
    assert heard.tokens == [300, tokenizer.eos_token_id] and heard.end.reason == "eos"
    beside = ask(engine("llama"), CONTEXT, prefix_ids=(tokenizer.eos_token_id, 300), max_new=4)
    assert len(beside.tokens) > 2 or beside.end.reason == "eos"
    several = ask(
        engine("llama"), CONTEXT, prefix_ids=(300, tokenizer.eos_token_id), n=2, temperature=1.0, seed=1
    )
    assert len(several.end.hypotheses) == 2 and several.end.reason == "eos"


def test_a_stop_string_within_a_given_beginning_ends_it_once(engine):
    heard = ask(engine("gpt2"), CONTEXT, prefix=" the mat with", stop=("mat",))
    assert heard.end.reason == "stop" and heard.end.text == " the "
    others = run(engine("gpt2"), request(1, CONTEXT, prefix=" mat", stop=("mat",)), request(2, CONTEXT))
    assert others[1].tokens == ask(engine("gpt2"), CONTEXT).tokens


def test_streams_go_on_beside_a_long_score(engine):
    """A text of many passes never holds a stream up for more than one step."""
    model = engine("gpt2")
    model.admit(request(1, "the", max_new=12, min_new=12))
    model.step()
    model.admit(request(2, "", task="score", target="z" * 120))
    told = [sum(isinstance(e, Step) and e.id == 1 for e in model.step()) for _ in range(8)]
    assert told == [1] * 8
    while model.step():
        pass


def test_the_exact_lane_amid_seven_streams(checkpoint, load):
    """Scores equal bit for bit, answers of both lanes in tokens."""
    model = load(checkpoint("llama"), slots=9)
    scoring = request(1, CONTEXT, task="score", target=TEXT * 2, lane="exact", distributions=True)
    writing = request(2, CONTEXT, lane="exact", max_new=20, logprobs=3)
    (alone,), (written,) = run(model, scoring), run(model, writing)
    busy = [request(i, "the cat " * i, max_new=30, min_new=30) for i in range(3, 10)]
    *_, scored, answered = run(model, *busy, scoring, writing)
    assert scored.steps == alone.steps and answered.steps == written.steps
    assert answered.end.batch == 1 and answered.started.reused == 0
    assert ask(model, CONTEXT, max_new=20).tokens == written.tokens
