"""Parameters that name words and tokens, penalties on what was written, typical sampling."""

import pytest
import torch
import transformers

from backends.hf.choosing.candidates import narrow
from backends.hf.choosing.processors import Warp, WrittenPenalty, warpers
from tests.backends.hf.support import ask, reference, request, run

PROMPT = "a model reads a prompt"
KINDS = ["gpt2", "t5"]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def ids(tokenizer):
    return tokenizer(PROMPT)["input_ids"]


@pytest.mark.parametrize("beam", [1, 3])
def test_banned_words_are_not_written_however_likely(kind, beam, engine):
    eager = {"beam": beam, "max_new": 8, "logit_bias": ("the=60", "hat=50")}
    assert "the" in ask(engine(kind), PROMPT, **eager).text
    heard = ask(engine(kind), PROMPT, **eager, ban=("the",))
    assert "the" not in heard.text
    assert "hat" in heard.text


def test_bans_and_biases_equal_generates(kind, engine, network, tokenizer, ids):
    plain = ask(engine(kind), PROMPT, max_new=8)
    first, second = plain.tokens[0], (plain.tokens[0] + 7) % 300
    heard = ask(engine(kind), PROMPT, max_new=8, ban=(f"#{first}",))
    assert [heard.tokens] == reference(network(kind), ids, max_new_tokens=8, bad_words_ids=[[first]])
    bias = {(first,): -2.5, (second,): 1.0}
    heard = ask(engine(kind), PROMPT, max_new=8, logit_bias=(f"#{first}=-2.5", f"#{second}=1"))
    assert [heard.tokens] == reference(network(kind), ids, max_new_tokens=8, sequence_bias=bias)


def test_a_biased_word_wins(engine, tokenizer):
    heard = ask(engine("gpt2"), PROMPT, max_new=3, logit_bias=("the=100",))
    assert set(heard.text.split()) <= {"the", "thethethe"} and heard.text


@pytest.mark.parametrize("beam", [1, 3])
def test_stop_tokens_end_the_answer_and_are_not_shown(kind, beam, engine, tokenizer):
    plain = ask(engine(kind), PROMPT, beam=beam, max_new=8)
    stop = plain.tokens[3]
    at = plain.tokens.index(stop)
    heard = ask(engine(kind), PROMPT, max_new=8, stop_tokens=(f"#{stop}",))
    if beam == 1:
        assert heard.tokens == plain.tokens[: at + 1]
        assert heard.text == heard.end.text == tokenizer.decode(plain.tokens[:at], skip_special_tokens=True)
    assert (heard.end.reason, heard.tokens[-1]) == ("stop", stop)


def test_min_new_holds_stop_tokens_back(engine):
    plain = ask(engine("gpt2"), PROMPT, max_new=8)
    heard = ask(engine("gpt2"), PROMPT, max_new=8, min_new=6, stop_tokens=(f"#{plain.tokens[0]}",))
    assert len(heard.tokens) >= 6


@pytest.mark.parametrize("setting", [{"ban": ("#99999",)}, {"stop_tokens": ("the cat sat on",)}])
def test_what_the_model_has_not_is_refused_and_neighbours_go_on(engine, setting):
    good, bad = run(engine("gpt2"), request(0, PROMPT, max_new=4), request(1, PROMPT, **setting))
    assert good.end.reason in ("eos", "length")
    assert bad.end.error.kind == "bad_parameter"
    assert next(iter(setting)) in bad.end.error.message


def test_penalties_on_what_was_written_by_hand():
    """Tokens 1, 1, 2 written after a prompt that also has token 3."""
    history = torch.tensor([[3, 1, 1, 2]])
    scores = torch.zeros(1, 5)
    got = WrittenPenalty(presence=0.5, frequency=0.25, begin=1)(history, scores)
    assert got.tolist() == [[0.0, -1.0, -0.75, 0.0, 0.0]]


def test_penalties_reach_the_answer_and_only_its_own(kind, engine):
    plain = ask(engine(kind), PROMPT, max_new=10)
    once = request(0, PROMPT, max_new=10, presence_penalty=100.0)
    other = request(1, PROMPT, max_new=10)
    penalised, same = run(engine(kind), once, other)
    assert len(set(penalised.tokens)) == len(penalised.tokens)
    assert same.tokens == plain.tokens


def test_typical_sampling_keeps_what_transformers_keeps():
    torch.manual_seed(0)
    scores = torch.randn(3, 5000)
    warp = Warp(0.8, 0, 1.0, 0.0, 0.3)
    expected = transformers.TypicalLogitsWarper(0.3)(None, scores / 0.8)
    torch.testing.assert_close(warpers(warp)(None, scores), expected)
    assert narrow(scores, warp._replace(top_k=50)) is None


def test_typical_sampling_reaches_the_draw(engine, network, ids):
    logits = network("gpt2")(torch.tensor([ids])).logits[:, -1]
    kept = (transformers.TypicalLogitsWarper(0.2)(None, logits) > -torch.inf).nonzero()[:, 1].tolist()
    drawn = {
        ask(engine("gpt2"), PROMPT, max_new=1, temperature=1.0, typical_p=0.2, seed=seed).tokens[0]
        for seed in range(60)
    }
    assert drawn <= set(kept)
    assert len(drawn) > 1
