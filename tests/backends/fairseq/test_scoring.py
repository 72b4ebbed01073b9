"""The task ``score``, against fairseq's own scorer and by direct computation."""

from tests.backends.fairseq.support import (
    FIRST,
    PROMPTS,
    SMALL,
    TARGET,
    Library,
    Told,
    by_scorer,
    events,
    ids,
    load,
    request,
    scored,
    together,
    write_model,
)

# isort: split
import math
from pathlib import Path

import msgspec
import pytest
import torch

from backends.fairseq.engine import FairseqEngine
from repl.messages import Event, Failed, Finished, Request
from tests.backends.fairseq.test_figures import full_pass


@pytest.mark.parametrize("closing", [False, True])
def test_scores_are_those_of_fairseqs_scorer(engine: FairseqEngine, library: Library, closing: bool) -> None:
    for prompt in PROMPTS:
        told = Told(engine, scored(prompt, closing=closing, params={"logprobs": 3}))
        target = ids(TARGET) + [2] * closing
        wanted = by_scorer(library, prompt, target)
        assert told.tokens == target
        assert [step.search_lp for step in told.steps] == pytest.approx(wanted, abs=1e-5)
        raw = full_pass(library, prompt, target)
        for step, row in zip(told.steps, raw, strict=True):
            assert step.forced and step.proc_lp is None
            assert step.raw_lp == pytest.approx(float(row[step.token]), abs=1e-5)
            assert step.rank == int((row > row[step.token]).sum())
            assert step.entropy == pytest.approx(float(-(row.exp() * row).sum()), abs=1e-4)
            assert [token for token, _, _ in step.top] == row.topk(3).indices.tolist()
        assert (told.finished.reason, told.finished.text) == ("done", TARGET)
        assert told.finished.padded == max(len(prompt.split()) + 1, len(target))


def test_an_ensembles_score_is_that_of_the_mean(translation: Path) -> None:
    other = translation.with_name("other.pt")
    library = Library(translation, other)
    told = Told(load(f"{translation}:{other}"), scored(closing=True))
    wanted = by_scorer(library, FIRST, [*ids(TARGET), 2])
    assert [step.raw_lp for step in told.steps] == pytest.approx(wanted, abs=1e-5)
    single = [
        [s.raw_lp for s in Told(load(path), scored(closing=True)).steps] for path in (translation, other)
    ]
    by_hand = [math.log((math.exp(a or 0) + math.exp(b or 0)) / 2) for a, b in zip(*single, strict=True)]
    assert by_hand == pytest.approx(wanted, abs=1e-5)


@pytest.mark.parametrize("architecture", SMALL)
def test_every_family_scores_what_it_would_have_generated(architecture: str, tmp_path: Path) -> None:
    engine = load(write_model(tmp_path, architecture, scale=1.5))
    for params in ({}, {"temperature": 0.6, "beam": 2, "unkpen": 0.5}):
        answer = Told(engine, request(FIRST, logprobs=2, **params))
        told = Told(
            engine, scored(target="", target_ids=tuple(answer.tokens), params={"logprobs": 2, **params})
        )
        for name in ("raw_lp", "search_lp", "entropy"):
            figures = [[getattr(step, name) for step in one.steps] for one in (told, answer)]
            assert figures[0] == pytest.approx(figures[1], abs=1e-3), name
        assert [step.text for step in told.steps] == [step.text for step in answer.steps]


def test_a_language_models_text_needs_no_prompt(causal: FairseqEngine, causal_library: Library) -> None:
    (network,) = causal_library.networks

    def wanted(before: list[int], first: int) -> list[float]:
        rows = torch.log_softmax(network(torch.tensor([before]))[0][0].detach(), -1)
        return [float(rows[first + i, token]) for i, token in enumerate(ids(TARGET)[-len(rows) + first :])]

    target = ids(TARGET)
    for opening, begin in (("auto", [2]), ("eos", [2]), ("bos", [0])):
        told = Told(causal, scored("", opening=opening))
        assert [s.raw_lp for s in told.steps] == pytest.approx(wanted([*begin, *target[:-1]], 0), abs=1e-5)
        assert told.started.prompt_ids == ()
    told = Told(causal, scored("", opening="none"))
    assert told.tokens == target
    assert (told.steps[0].raw_lp, told.steps[0].rank) == (None, None)
    assert [s.raw_lp for s in told.steps[1:]] == pytest.approx(wanted(target[:-1], 0), abs=1e-5)
    told = Told(causal, scored("w1 w2", opening="none"))  # what it begins with matters without a prompt only
    assert [s.raw_lp for s in told.steps] == pytest.approx(wanted([2, 5, 6, *target[:-1]], 2), abs=1e-5)
    (lone,) = Told(causal, scored("", target="w4", opening="none")).steps
    assert (lone.token, lone.raw_lp) == (8, None)


def test_score_of_parts_is_the_score_of_the_whole(causal: FairseqEngine) -> None:
    whole = Told(causal, scored("w1", target="w2 w3 w4 w5", closing=True))
    first = Told(causal, scored("w1", target="w2 w3"))
    second = Told(causal, scored("w1 w2 w3", target="w4 w5", closing=True))
    parts = [step.raw_lp for told in (first, second) for step in told.steps]
    assert [step.raw_lp for step in whole.steps] == pytest.approx(parts, abs=1e-5)


def test_tokens_come_before_text(engine: FairseqEngine) -> None:
    told = Told(engine, scored(target="w3 w0", target_ids=(4, 5)))
    assert told.tokens == [4, 5, *ids("w3 w0")]


def test_what_cannot_be_scored_says_why(engine: FairseqEngine, causal: FairseqEngine) -> None:
    long = " ".join(["w1"] * 25)

    def error(model: FairseqEngine, asked: Request) -> tuple[str, str]:
        *_, last = events(model, asked)
        assert isinstance(last, Failed) and last.error.hint
        return last.error.kind, last.error.message

    assert error(engine, scored(target="")) == ("empty_prompt", "there is no text to score")
    assert error(engine, scored("")) == ("empty_prompt", "the prompt is empty")
    assert error(engine, scored(target=long)) == (
        "prompt_too_long",
        "the text has 25 tokens, model 'tiny' takes 24 at most",
    )
    assert error(engine, scored(target="", target_ids=(99,)))[0] == "bad_parameter"
    assert "only pads" in error(engine, scored(target="", target_ids=(1,)))[1]
    words = " ".join(["w2"] * 22)
    kind, message = error(causal, scored(words))
    assert kind == "prompt_too_long" and "19 at most" in message
    cut = Told(causal, scored(words, params={"truncate": "left"}))
    assert (cut.started.truncated, len(cut.started.prompt_ids), cut.tokens) == (3, 19, ids(TARGET))
    assert len(Told(engine, scored(target=" ".join(["w1"] * 24))).steps) == 24
    unknown = msgspec.structs.replace(scored(), task="lens")
    assert error(engine, unknown)[0] == "unsupported"


def test_nan_is_an_error_of_the_text_alone(tmp_path: Path) -> None:
    engine = load(write_model(tmp_path))
    decoder = engine._model.networks[0].decoder
    decoder.embed_tokens.weight.data[ids("w9")[0]] = torch.nan
    *_, last = events(engine, scored())
    assert isinstance(last, Failed)
    assert (last.error.kind, "at token 0" in last.error.message) == ("nan_logits", True)
    decoder.embed_tokens.weight.data.nan_to_num_()
    assert Told(engine, scored(target="w3 w0")).tokens == ids("w3 w0")


def test_scoring_and_generating_take_turns(engine: FairseqEngine) -> None:
    answer = request(FIRST, number=1, min_new=12)
    scores = [scored(prompt, number=2 + place) for place, prompt in enumerate(PROMPTS * 6)]
    alone = [Told(engine, one) for one in (answer, *scores)]
    heard: dict[int, list[Event]] = {one.id: [] for one in (answer, *scores)}
    engine.admit(answer)
    while not heard[1]:
        heard[1] += engine.step()
    for one in scores:
        engine.admit(one)
    while not isinstance(heard[1][-1], Finished):
        produced = engine.step()
        assert 1 in {event.id for event in produced}, "the answer stood still"
        assert len({event.id for event in produced}) == 2, "nothing was scored, or too much at once"
        for event in produced:
            heard[event.id].append(event)
    assert not all(heard.values()), "the answer waited for all scores"
    while not all(told and isinstance(told[-1], Finished) for told in heard.values()):
        for event in engine.step():
            heard[event.id].append(event)
    for told, its in zip(heard.values(), alone, strict=True):
        ours = Told.of(told)
        assert ours.tokens == its.tokens
        assert [s.search_lp for s in ours.steps] == pytest.approx([s.search_lp for s in its.steps], abs=1e-5)


def test_the_exact_lane_gives_equal_bits_whatever_runs_beside(
    engine: FairseqEngine, causal: FairseqEngine
) -> None:
    for model in (engine, causal):
        exact = [
            msgspec.structs.replace(one, lane="exact", distributions=True)
            for one in (
                scored(closing=True, number=1),
                request(FIRST, number=2, logprobs=3),
                request(FIRST, number=3, beam=3, n=3),
                request(FIRST, number=4, temperature=1.1, seed=3),
            )
        ]
        alone = [Told(model, one) for one in exact]
        crowd = [request(" ".join(["w3"] * (1 + n % 5)), number=10 + n, beam=1 + n % 3) for n in range(9)]
        crowd += [scored("w2", number=30)]
        heard = [Told.of(told) for told in together(model, [*crowd, *exact])[-4:]]
        for ours, its in zip(heard, alone, strict=True):
            assert ours.steps == its.steps  # to the last bit
            assert ours.finished == its.finished


def test_a_text_costs_what_fairseqs_eval_lm_says(
    causal: FairseqEngine, causal_library: Library, caplog: pytest.LogCaptureFixture
) -> None:
    """``fairseq-eval-lm`` on sentences of their own: the mean bits of their tokens and end tokens."""
    from fairseq_cli.eval_lm import eval_lm

    batches = []
    for line in PROMPTS:
        target = torch.tensor([[*ids(line), 2]])
        before = torch.cat([torch.tensor([[2]]), target[:, :-1]], 1)
        batches.append(
            {
                "id": torch.tensor([len(batches)]),
                "ntokens": target.numel(),
                "net_input": {"src_tokens": before, "src_lengths": torch.tensor([target.numel()])},
                "target": target,
            }
        )
    wanted = eval_lm(causal_library.networks, causal_library.task.source_dictionary, batches)
    steps = [step for line in PROMPTS for step in Told(causal, scored("", line, closing=True)).steps]
    bits = [-(step.raw_lp or 0) / math.log(2) for step in steps]
    assert sum(bits) / len(bits) == pytest.approx(wanted["loss"], abs=1e-5)
    assert 2 ** (sum(bits) / len(bits)) == pytest.approx(wanted["perplexity"], rel=0.01)
