"""Beam search: equal to ``generate`` where answers end early, and honest about what it shows meanwhile."""

import pytest

torch = pytest.importorskip("torch")

from tests.backends.hf.support import ask, build, request, run

PROMPTS = ["the cat", "that was that", "a model reads"]


@pytest.fixture(scope="module")
def eager(tokenizer, tmp_path_factory, load):
    """A checkpoint with two end tokens that it likes to write, its engine, and the network."""
    folder = tmp_path_factory.mktemp("eager")
    network = build("llama", len(tokenizer), seed=4)
    network.generation_config.eos_token_id = [2, 5]
    network.generation_config.sequence_bias = [[[2], 3.0], [[5], 2.5]]
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load(folder), network


@pytest.mark.parametrize("beam", [2, 3, 6])
@pytest.mark.parametrize("length_penalty", [0.0, 1.0, 2.0, -1.0])
def test_searches_that_end_early_equal_generate(eager, tokenizer, beam, length_penalty):
    engine, network = eager
    for prompt in PROMPTS:
        ids = tokenizer(prompt)["input_ids"]
        inputs = torch.tensor([ids])
        out = network.generate(
            inputs,
            attention_mask=torch.ones_like(inputs),
            max_new_tokens=16,
            num_beams=beam,
            num_return_sequences=beam,
            early_stopping=True,
            length_penalty=length_penalty,
            do_sample=False,
            pad_token_id=0,
            output_scores=True,
            return_dict_in_generate=True,
        )
        heard = ask(engine, prompt, max_new=16, beam=beam, n=beam, length_penalty=length_penalty)
        found = heard.end.hypotheses
        for row, score, one in zip(out.sequences, out.sequences_scores, found, strict=True):
            assert list(one.tokens) == row[len(ids) : len(ids) + len(one.tokens)].tolist()
            assert set(row[len(ids) + len(one.tokens) :].tolist()) <= {0, 2}  # what generate pads with
            assert one.score == pytest.approx(score.item(), abs=1e-4)
    assert any(one.tokens[-1] in (2, 5) for one in found)


def test_what_is_shown_ends_as_the_best_answer(eager):
    engine, _ = eager
    rewinds = 0
    for prompt in PROMPTS:
        heard = ask(engine, prompt, max_new=16, beam=4, n=3, length_penalty=2.0, logprobs=2)
        best = heard.end.hypotheses[0]
        rewinds += heard.rewinds
        assert tuple(heard.tokens) == best.tokens
        assert heard.text == heard.end.text == best.text
        assert [step.search_lp for step in heard.steps] == pytest.approx(best.token_scores)
        assert sum(best.token_scores) / len(best.tokens) ** 2.0 == pytest.approx(best.score)
        assert heard.end.reason == ("eos" if best.tokens[-1] in (2, 5) else "length")
        assert heard.end.batch == 4
    assert rewinds > 0


def test_search_scores_are_biased_and_raw_ones_are_not(eager):
    engine, network = eager
    heard = ask(engine, PROMPTS[0], max_new=16, beam=4, logprobs=3)
    ids = list(heard.started.prompt_ids)
    logits = network(torch.tensor([ids + heard.tokens])).logits[0, len(ids) - 1 : -1]
    lps = logits.log_softmax(-1)
    for i, step in enumerate(heard.steps):
        assert step.raw_lp == pytest.approx(lps[i, step.token].item(), abs=1e-4)
        assert step.rank == (lps[i] > lps[i, step.token]).sum().item()
        assert [token for token, _, _ in step.top] == lps[i].topk(3).indices.tolist()
        assert step.proc_lp is None


def test_beams_and_ordinary_requests_run_side_by_side(eager):
    engine, _ = eager
    requests = [request(1, beam=3), request(2), request(3, beam=2, n=2), request(4, temperature=1.0, seed=1)]
    alone = [run(engine, one)[0] for one in requests]
    for gap in (0, 2):
        together = run(engine, *requests, gap=gap)
        assert [heard.end.hypotheses for heard in together] == [heard.end.hypotheses for heard in alone]
        assert [heard.tokens for heard in together] == [heard.tokens for heard in alone]


def test_a_forced_beginning_is_kept_by_every_hypothesis(eager, tokenizer):
    engine, network = eager
    forced = tokenizer(" hat sat")["input_ids"]
    heard = ask(engine, prefix=" hat sat", beam=3, n=3, max_new=10)
    assert [step.forced for step in heard.steps[: len(forced) + 1]] == [True] * len(forced) + [False]
    ids = torch.tensor([list(heard.started.prompt_ids) + forced])
    out = network.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=10 - len(forced),
        num_beams=3,
        early_stopping=True,
        do_sample=False,
        pad_token_id=0,
    )
    best = list(heard.end.hypotheses[0].tokens)
    assert all(list(one.tokens[: len(forced)]) == forced for one in heard.end.hypotheses)
    assert best[len(forced) :] == out[0, ids.shape[1] :][: len(best) - len(forced)].tolist()


def test_stop_strings_end_hypotheses(eager):
    engine, _ = eager
    free = ask(engine, PROMPTS[1], beam=3, max_new=16, min_new=16)
    stop = free.end.text[4:6]
    heard = ask(engine, PROMPTS[1], beam=3, n=3, max_new=16, min_new=16, stop=(stop,))
    assert all(stop not in one.text for one in heard.end.hypotheses)
    assert heard.end.reason in ("stop", "length") and heard.end.text == heard.end.hypotheses[0].text


def test_penalties_under_beams_equal_generate(eager, tokenizer):
    engine, network = eager
    ids = torch.tensor([tokenizer(PROMPTS[2])["input_ids"]])
    out = network.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=14,
        num_beams=4,
        early_stopping=True,
        do_sample=False,
        pad_token_id=0,
        repetition_penalty=1.5,
        no_repeat_ngram_size=2,
        min_new_tokens=6,
    )
    settings = {"repetition_penalty": 1.5, "no_repeat_ngram": 2, "min_new": 6}
    heard = ask(engine, PROMPTS[2], beam=4, max_new=14, **settings)
    assert heard.tokens == out[0, ids.shape[1] :][: len(heard.tokens)].tolist()


def test_more_answers_than_beams_is_an_error_that_says_so(eager):
    heard = ask(eager[0], beam=2, n=3)
    assert heard.end.error.kind == "bad_parameter"
    assert "n = 3" in heard.end.error.message and "/set beam 3" in heard.end.error.hint


def test_settings_of_sampling_are_told_to_have_no_effect(eager):
    heard = ask(eager[0], beam=2, temperature=0.7, top_p=0.9)
    assert heard.started.notes == ("temperature, top_p: no effect under beams",)
    assert heard.tokens == ask(eager[0], beam=2).tokens


def test_cancelling_a_search_frees_its_slot(eager):
    engine, _ = eager
    for number in range(engine.capabilities.slots):
        engine.admit(request(number, beam=3, max_new=16, min_new=16))
    engine.admit(request(99))
    engine.step()
    engine.cancel(0)
    heard = [event for _ in range(40) for event in engine.step()]
    assert not any(event.id == 0 for event in heard)
    assert {event.id for event in heard} == {1, 2, 3, 99}
