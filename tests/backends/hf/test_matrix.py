"""Each kind of model gives the tokens of ``generate``: alone, coming and going in a batch, with beams."""

import pytest

from tests.backends.hf.support import CAUSAL, KINDS, RECURRENT, SEQ2SEQ, ask, reference, request, run

PROMPTS = ["the cat", "a model reads a prompt and writes", "早上好", "that was that and the hat sat on"]


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def test_the_loop_suits_the_kind(kind, engine):
    capabilities = engine(kind).capabilities
    assert capabilities.kind == ("seq2seq" if kind in SEQ2SEQ else "causal")
    assert capabilities.slots == (1 if kind in RECURRENT else 4)
    assert not any("differ" in note or "no cache" in note for note in capabilities.notes)
    assert bool(capabilities.notes) == (kind in RECURRENT)


def test_greedy_equals_generate_with_requests_that_come_and_go(kind, engine, network, tokenizer):
    lengths = [12, 5, 9, 12]
    requests = [request(i, p, max_new=n) for i, (p, n) in enumerate(zip(PROMPTS, lengths, strict=True))]
    for gap in (0, 3):
        heard = run(engine(kind), *requests, gap=gap)
        for one, prompt, most in zip(heard, PROMPTS, lengths, strict=True):
            ids = tokenizer(prompt)["input_ids"]
            assert [one.tokens] == reference(network(kind), ids, max_new_tokens=most)
            assert one.started.prompt_ids == tuple(ids)
            assert one.text == one.end.text == tokenizer.decode(one.tokens, skip_special_tokens=True)


def test_requests_really_share_forward_passes(engine):
    heard = run(engine("llama"), *(request(i, p) for i, p in enumerate(PROMPTS)), gap=2)
    assert heard[0].end.batch == 4


@pytest.mark.parametrize("beam", [2, 5])
def test_beams_equal_generate(kind, engine, network, tokenizer, beam):
    ids = tokenizer(PROMPTS[1])["input_ids"]
    expected = network(kind).generate(
        **_inputs(ids),
        max_new_tokens=12,
        num_beams=beam,
        num_return_sequences=beam,
        early_stopping=True,
        do_sample=False,
        length_penalty=0.7,
        output_scores=True,
        return_dict_in_generate=True,
    )
    heard = ask(engine(kind), PROMPTS[1], beam=beam, n=beam, length_penalty=0.7)
    before = 1 if kind in SEQ2SEQ else len(ids)
    rows = expected.sequences[:, before:].tolist()
    rows = [row[: row.index(2) + 1] if 2 in row else row for row in rows]
    assert [list(h.tokens) for h in heard.end.hypotheses] == rows
    scores = [h.score for h in heard.end.hypotheses]
    assert scores == pytest.approx(expected.sequences_scores.tolist(), abs=1e-4)
    assert heard.tokens == rows[0]


@pytest.mark.parametrize("kind", ["gpt2", "bloom", "mistral-window", "mamba", "qwen3-next", "t5", "bart"])
def test_a_forced_beginning_changes_nothing_when_it_is_the_models_own(kind, engine, tokenizer):
    whole = ask(engine(kind), PROMPTS[1], logprobs=3)
    resumed = ask(engine(kind), PROMPTS[1], logprobs=3, resume=tuple(whole.tokens[:5]))
    assert resumed.tokens == whole.tokens
    assert [step.forced for step in resumed.steps] == [i < 5 for i in range(len(whole.tokens))]
    for a, b in zip(whole.steps, resumed.steps, strict=True):
        assert b.raw_lp == pytest.approx(a.raw_lp, abs=1e-4)
        assert (b.rank, b.text, [t for t, _, _ in b.top]) == (a.rank, a.text, [t for t, _, _ in a.top])


@pytest.mark.parametrize("kind", ["gpt2", "mamba", "t5"])
def test_log_probabilities_are_those_of_output_logits(kind, engine, network, tokenizer):
    ids = tokenizer(PROMPTS[1])["input_ids"]
    out = network(kind).generate(
        **_inputs(ids),
        max_new_tokens=8,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
    )
    heard = ask(engine(kind), PROMPTS[1], max_new=8, logprobs=4)
    for step, logits in zip(heard.steps, out.logits, strict=True):
        lps = logits[0].log_softmax(-1)
        best = lps.topk(4)
        assert step.raw_lp == pytest.approx(lps[step.token].item(), abs=1e-4)
        assert step.entropy == pytest.approx(-(lps.exp() * lps).sum().item(), abs=1e-3)
        assert step.rank == (lps > lps[step.token]).sum().item() == 0
        assert [token for token, _, _ in step.top] == best.indices.tolist()
        assert [lp for _, lp, _ in step.top] == pytest.approx(best.values.tolist(), abs=1e-4)


PENALTIES = {"repetition_penalty": 1.3, "no_repeat_ngram": 3, "min_new": 6, "unkpen": 2.0}


def test_every_penalty_equals_generate(kind, engine, network, tokenizer):
    expected = reference(
        network(kind),
        tokenizer(PROMPTS[1])["input_ids"],
        repetition_penalty=1.3,
        no_repeat_ngram_size=3,
        min_new_tokens=6,
        sequence_bias=[[[3], -2.0]],
    )
    heard = run(engine(kind), *(request(i, PROMPTS[1], **PENALTIES) for i in range(2)), gap=3)
    assert [one.tokens for one in heard] == expected * 2


def test_what_is_drawn_from_is_what_generate_draws_from(kind, engine, network, tokenizer):
    """With a penalty and every warper."""
    warped = {"temperature": 0.8, "top_k": 60, "top_p": 0.95, "min_p": 0.01, "typical_p": 0.98}
    settings = {"repetition_penalty": 1.2, **warped}
    out = network(kind).generate(
        **_inputs(tokenizer(PROMPTS[0])["input_ids"]),
        max_new_tokens=2,
        num_beams=1,
        do_sample=True,
        output_scores=True,
        return_dict_in_generate=True,
        **settings,
    )
    expected = out.scores[0][0].log_softmax(-1)
    sampled = [request(i, PROMPTS[0], max_new=2, seed=i, **settings) for i in range(4)]
    firsts = [one.steps[0] for one in run(engine(kind), *sampled)]
    assert [one.proc_lp for one in firsts] == pytest.approx(
        [expected[one.token].item() for one in firsts], abs=1e-3
    )


def test_the_matrix_covers_what_is_promised():
    decoders = {"gpt2", "opt", "gpt-neox", "bloom", "llama", "qwen3", "mistral-window", "gemma2", "phi3"}
    assert decoders | {"qwen3-moe", "deepseek-mla"} <= set(CAUSAL)
    assert "mamba" in RECURRENT and {"t5", "marian", "bart"} <= set(SEQ2SEQ)


def _inputs(ids):
    import torch

    inputs = torch.tensor([ids])
    return {"inputs": inputs, "attention_mask": torch.ones_like(inputs), "pad_token_id": 0}
