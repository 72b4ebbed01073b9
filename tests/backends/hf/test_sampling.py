"""Draws: the processors are those of ``generate``, the noise is the key's alone."""

import pytest

torch = pytest.importorskip("torch")

from backends import noise
from backends.hf.choosing import sampling
from backends.hf.choosing.candidates import narrow
from backends.hf.choosing.processors import Fixed, Warp, forbid, processors, warpers, without
from backends.hf.text import Codec
from backends.hf.wording import Wording
from repl.params import Params
from tests.backends.hf.support import ask, reference, request, run

SETTINGS = [
    {"repetition_penalty": 1.7},
    {"no_repeat_ngram": 2},
    {"min_new": 8},
    {"unkpen": 4.0},
    {"repetition_penalty": 0.6, "no_repeat_ngram": 3, "min_new": 5},
]
NATIVE = {
    "repetition_penalty": "repetition_penalty",
    "no_repeat_ngram": "no_repeat_ngram_size",
    "min_new": "min_new_tokens",
    "temperature": "temperature",
    "top_k": "top_k",
    "top_p": "top_p",
    "min_p": "min_p",
}
NEUTRAL = {"top_k": 0, "top_p": 1.0, "temperature": 1.0}


def native(settings):
    named = {NATIVE[name]: value for name, value in settings.items() if name in NATIVE}
    if "unkpen" in settings:
        named["sequence_bias"] = [[[3], -settings["unkpen"]]]
    return named


@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kind", ["llama", "t5"])
def test_greedy_with_penalties_equals_generate(kind, settings, engine, network, tokenizer):
    prompt = "the cat sat on the mat with the hat"
    heard = ask(engine(kind), prompt, max_new=20, **settings)
    ids = tokenizer(prompt)["input_ids"]
    assert [heard.tokens] == reference(network(kind), ids, max_new_tokens=20, **native(settings))


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0.7},
        {"temperature": 1.3, "top_k": 20},
        {"temperature": 0.9, "top_p": 0.8},
        {"temperature": 1.0, "min_p": 0.1},
        {"temperature": 0.8, "top_k": 40, "top_p": 0.9, "min_p": 0.02, "repetition_penalty": 1.3},
    ],
)
def test_the_distribution_drawn_from_is_that_of_generate(settings, engine, network, tokenizer):
    """Step by step: ``generate`` follows our tokens, its scores are the distribution we report."""
    from transformers import LogitsProcessor, LogitsProcessorList

    heard = ask(engine("llama"), max_new=10, seed=5, **settings)
    seen = []

    class Record(LogitsProcessor):
        def __call__(self, ids, scores):
            return scores

    ids = tokenizer("the cat")["input_ids"]
    model = network("llama")
    for i, step in enumerate(heard.steps):
        out = model.generate(
            torch.tensor([ids + heard.tokens[:i]]),
            attention_mask=torch.ones(1, len(ids) + i, dtype=torch.long),
            max_new_tokens=1,
            do_sample=True,
            pad_token_id=0,
            output_scores=True,
            return_dict_in_generate=True,
            logits_processor=LogitsProcessorList([Record()]),
            **(NEUTRAL | native(settings)),
        )
        seen.append(out.scores[0][0].log_softmax(-1)[step.token].item())
    assert [step.proc_lp for step in heard.steps] == pytest.approx(seen, abs=1e-3)


def test_warpers_keep_what_transformers_keeps_in_the_same_order():
    names = [type(w).__name__ for w in warpers(Warp(0.7, 5, 0.9, 0.1))]
    assert names == ["TemperatureLogitsWarper", "TopKLogitsWarper", "TopPLogitsWarper", "MinPLogitsWarper"]
    assert not warpers(Warp(1.0, 0, 1.0, 0.0))


@pytest.mark.parametrize(
    "warp",
    [
        Warp(1.0, 50, 1.0, 0.0),
        Warp(0.7, 0, 0.9, 0.0),
        Warp(1.3, 0, 1.0, 0.05),
        Warp(0.8, 40, 0.95, 0.02),
        Warp(1.0, 1, 0.5, 0.0),
        Warp(1.0, 511, 0.01, 1.0),
    ],
)
def test_few_candidates_are_those_that_the_warpers_keep(warp):
    torch.manual_seed(0)
    scores = torch.randn(50, 4000) * torch.tensor([2.0, 3.0, 5.0, 9.0, 20.0]).repeat(10)[:, None]
    whole = warpers(warp)(None, scores)
    values, ids, short = narrow(scores[10:], warp)
    assert not short.any()
    assert torch.equal(torch.full_like(whole[10:], -torch.inf).scatter(1, ids, values), whole[10:])


def test_many_candidates_take_the_long_way():
    flat = torch.zeros(2, 4000)
    assert narrow(flat, Warp(1.0, 0, 0.9, 0.0)).short.all()
    assert narrow(flat, Warp(1.0, 0, 1.0, 0.5)).short.all()
    assert narrow(flat, Warp(1.0, 50, 1.0, 0.0)).short.all()  # all are tied with the last of the fifty
    assert narrow(torch.randn(2, 4000), Warp(1.0, 600, 1.0, 0.0)) is None
    assert narrow(torch.randn(2, 4000), Warp(0.5, 0, 1.0, 0.0)) is None
    assert narrow(torch.randn(2, 400), Warp(0.5, 5, 1.0, 0.0)) is None


def test_both_ways_draw_the_same_token():
    torch.manual_seed(0)
    scores = torch.randn(30, 4000) * 5
    warp, keys = Warp(0.9, 0, 0.9, 0.0), noise.keys([(7, 0, i) for i in range(30)])
    few = sampling._sample(scores, warp, keys, narrow(scores, warp))
    many = sampling._sample(scores, warp, keys, None)
    assert torch.equal(few[0], many[0])
    assert torch.allclose(few[1], many[1], atol=1e-5)


def test_forbidden_tokens_of_some_rows_or_of_all():
    scores = torch.arange(12.0).reshape(3, 4)
    assert forbid(scores, [(), (), ()]) == (scores, None)
    for tokens in ([(1, 2), (), (3,)], [(0,), (0,), (0,)]):
        left, taken = forbid(scores, tokens)
        forbidden = [tuple(i for i in range(4) if row[i] == -torch.inf) for row in left.tolist()]
        assert forbidden == tokens
        assert torch.allclose(torch.logaddexp(left.logsumexp(-1), taken), scores.logsumexp(-1))
    assert torch.equal(scores, torch.arange(12.0).reshape(3, 4))


@pytest.mark.parametrize("tokens", [[(2,)] * 3, [(2,), (), (0, 4)], [(), (), ()]])
def test_forbidding_for_a_while_leaves_the_scores_as_they_were(tokens):
    scores = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    before = scores.clone()
    left, taken = forbid(before, tokens)
    with pytest.raises(KeyError), without(scores, tokens) as gone:
        assert torch.equal(scores, left)
        assert gone is taken is None or torch.equal(gone, taken)
        raise KeyError  # as a draw may
    assert torch.equal(scores, before)


def test_processors_stand_in_the_order_of_generate(network, tokenizer):
    model = network("bart")
    params = Params(repetition_penalty=1.2, no_repeat_ngram=3, min_new=2, unkpen=1.0, ban=("#5", "#9"))
    wording = Wording(Codec(tokenizer), 340)
    own = processors(params, Fixed(model.generation_config, (2,), 3, "cpu", wording), 1, 12)
    prepared, _ = model._prepare_generation_config(
        model.generation_config,
        repetition_penalty=1.2,
        no_repeat_ngram_size=3,
        min_new_tokens=2,
        max_length=13,
        sequence_bias=[[[3], -1.0]],
        bad_words_ids=[[5], [9]],
    )
    model._prepare_special_tokens(prepared, device="cpu")
    theirs = model._get_logits_processor(prepared, input_ids_seq_length=1, device="cpu")
    # min_new is applied to all rows at once, before these.
    names = [type(p).__name__ for p in theirs if type(p).__name__ != "MinNewTokensLengthLogitsProcessor"]
    assert [type(p).__name__ for p in own] == names
    history, scores = torch.tensor([[2, 5, 6, 5, 6]]), torch.randn(1, 340)
    assert torch.equal(own(history, scores), theirs(history, scores))


def test_a_seed_gives_the_same_answer_alone_and_in_any_batch(engine):
    settings = {"temperature": 1.0, "top_p": 0.95}
    requests = [request(i, "the cat" * (i + 1), seed=7, sample=i, **settings) for i in range(4)]
    alone = [run(engine("qwen3"), one)[0].tokens for one in requests]
    for gap in (0, 1, 3):
        assert [heard.tokens for heard in run(engine("qwen3"), *requests, gap=gap)] == alone
    exact = [run(engine("qwen3"), request(9, "the cat", seed=7, lane="exact", **settings))[0]]
    assert exact[0].tokens == alone[0] and exact[0].end.batch == 1
    assert len(set(map(tuple, alone))) == 4


def test_samples_of_one_request_are_those_of_separate_ones(engine):
    settings = {"temperature": 1.0, "seed": 3, "prompt": "that was"}
    for kind in ("llama", "mamba", "t5"):
        together = ask(engine(kind), n=3, **settings)
        apart = [ask(engine(kind), sample=i, **settings) for i in range(3)]
        assert [list(h.tokens) for h in together.end.hypotheses] == [heard.tokens for heard in apart]
        assert [h.text for h in together.end.hypotheses] == [heard.end.text for heard in apart]
        assert together.tokens == apart[0].tokens and together.end.text == apart[0].end.text


def test_a_resumed_sample_goes_on_as_if_nothing_had_happened(engine):
    whole = ask(engine("llama"), temperature=1.2, seed=11, min_new=12)
    for at in (1, 5, 11):
        again = ask(engine("llama"), temperature=1.2, seed=11, min_new=12, resume=tuple(whole.tokens[:at]))
        assert again.tokens == whole.tokens and again.end.text == whole.end.text


def test_without_a_seed_one_is_drawn_and_told(engine):
    first, second = ask(engine("llama"), temperature=1.0), ask(engine("llama"), temperature=1.0)
    seed = int(first.started.notes[0].removeprefix("seed "))
    assert first.started.notes != second.started.notes
    assert ask(engine("llama"), temperature=1.0, seed=seed).tokens == first.tokens


def test_first_tokens_follow_the_exact_distribution(engine, network, tokenizer):
    """Chi-square over many samples of one prompt, tokens of small probability taken together."""
    settings = {"temperature": 0.5, "top_k": 8, "max_new": 1}
    count = 2000
    heard = [ask(engine("gpt2"), n=200, seed=s, **settings) for s in range(count // 200)]
    drawn = [h.tokens[0] for one in heard for h in one.end.hypotheses]
    ids = torch.tensor([tokenizer("the cat")["input_ids"]])
    best = (network("gpt2")(ids).logits[0, -1] / 0.5).topk(8)
    probs = best.values.softmax(-1)
    counts = torch.tensor([drawn.count(token) for token in best.indices.tolist()])
    assert counts.sum() == count
    keep = probs * count > 5
    expected = torch.cat([probs[keep], probs[~keep].sum()[None]]).clamp(min=1e-9) * count
    found = torch.cat([counts[keep], counts[~keep].sum()[None]])
    assert ((found - expected) ** 2 / expected.clamp(min=1)).sum() < 26  # 99.9 % point for 8 degrees


def test_greedy_rows_beside_sampled_ones_stay_greedy(engine):
    alone = ask(engine("gpt2")).tokens
    mixed = run(
        engine("gpt2"),
        request(1),
        request(2, temperature=1.0, seed=1, repetition_penalty=1.4),
        request(3, temperature=0.7, top_k=5, seed=2, logprobs=2),
        request(4, no_repeat_ngram=2),
    )
    assert mixed[0].tokens == alone
    assert not mixed[0].steps[0].top and len(mixed[2].steps[0].top) == 2
    assert mixed[2].steps[0].rank is not None and mixed[0].steps[0].rank is None


def test_figures_of_impossible_tokens_are_finite_where_they_can_be():
    logits = torch.tensor([[0.0, 1.0, -torch.inf, 2.0]])
    found = sampling.examine(logits, logits.logsumexp(-1), torch.tensor([1]), [0], 3)[0]
    probs = logits[0].softmax(-1)
    rank, entropy, top = found
    assert rank == 1 and [token for token, _ in top] == [3, 1, 0]
    assert entropy == pytest.approx(torch.special.entr(probs).sum().item(), abs=1e-6)
    assert [lp for _, lp in top] == pytest.approx(probs.log()[[3, 1, 0]].tolist(), abs=1e-6)
