"""Tokens that end an answer, beside its end token."""

from tests.backends.fairseq.support import FIRST, PROMPTS, Told, events, request, together

# isort: split
from typing import Any

import msgspec
import pytest

from backends.fairseq.engine import FairseqEngine
from repl.messages import Failed

SEARCHES: dict[str, dict[str, Any]] = {
    "greedy": {},
    "beams": {"beam": 3, "n": 3},
    "groups": {"beam": 4, "n": 4, "diverse_groups": 2},
    "sampled": {"temperature": 1.2, "seed": 5},
}


@pytest.mark.parametrize("settings", SEARCHES.values(), ids=SEARCHES)
@pytest.mark.parametrize("kind", ["engine", "causal"])
def test_an_answer_ends_at_the_token_which_is_not_shown(
    kind: str, settings: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    engine: FairseqEngine = request.getfixturevalue(kind)
    free = Told(engine, asked(**settings))
    stop = free.tokens[3]
    at = free.tokens.index(stop)
    told = Told(engine, asked(stop_tokens=(f"#{stop}",), **settings))
    if settings.get("beam", 1) == 1:
        assert told.tokens == free.tokens[: at + 1]
        assert told.text == " ".join(step.piece.decode() for step in free.steps[:at])
        assert told.finished.reason == "stop"
    assert (told.finished.reason == "stop") == (told.tokens[-1] == stop)
    assert any(stop in hypothesis.tokens for hypothesis in told.finished.hypotheses)
    for hypothesis in told.finished.hypotheses:
        assert stop not in hypothesis.tokens[:-2]
        if stop in hypothesis.tokens:
            assert len(hypothesis.text.split()) == len(hypothesis.tokens) - 2
            if "diverse_groups" not in settings:  # which takes something off an end that others chose, too
                assert hypothesis.token_scores[-1] == 0


def asked(**params: Any) -> Any:
    return request(FIRST, **params)


def test_a_word_is_a_token_and_the_end_token_is_one_anyway(engine: FairseqEngine) -> None:
    free = Told(engine, asked())
    word = free.steps[2].piece.decode()
    told = Told(engine, asked(stop_tokens=(word, "</s>")))
    assert told.finished.text.split() == free.finished.text.split()[: free.finished.text.split().index(word)]
    assert Told(engine, asked(stop_tokens=("</s>",))).tokens == free.tokens


def test_neither_a_minimum_nor_a_beginning_is_cut_short(engine: FairseqEngine) -> None:
    first = Told(engine, asked()).tokens[0]
    told = Told(engine, asked(stop_tokens=(f"#{first}",), min_new=6))
    assert len(told.tokens) >= 6 and first not in told.tokens[:6]
    begun = msgspec.structs.replace(asked(stop_tokens=(f"#{first}",)), prefix_ids=(first, first))
    assert len(Told(engine, begun).tokens) > 2


def test_lines_of_a_batch_end_each_at_its_own(engine: FairseqEngine) -> None:
    free = [Told(engine, request(prompt, beam=2)) for prompt in PROMPTS]
    stop = f"#{free[0].tokens[2]}"
    requests = [request(prompt, number, beam=2, stop_tokens=(stop,)) for number, prompt in enumerate(PROMPTS)]
    alone = [Told(engine, one) for one in requests]
    for heard, its in zip(together(engine, requests), alone, strict=True):
        told = Told.of(heard)
        assert (told.tokens, told.text, told.finished.reason) == (its.tokens, its.text, its.finished.reason)
    assert {told.finished.reason for told in alone} > {"stop"}


@pytest.mark.parametrize(
    ("word", "said"), [("w1 w2", "'w1 w2' is not one token"), ("#99", "no token #99"), ("Paris", "not in")]
)
def test_what_is_no_token_is_refused(engine: FairseqEngine, word: str, said: str) -> None:
    *_, last = events(engine, asked(stop_tokens=(word,)))
    assert isinstance(last, Failed)
    assert said in last.error.message
