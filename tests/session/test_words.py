"""Figures in words."""

from types import SimpleNamespace
from typing import Any

import pytest

from repl.messages import Finished
from repl.params import Params
from repl.session.words import ending, pace, seconds, seed


@pytest.mark.parametrize(
    ("value", "words"),
    [(0.0091, "9 ms"), (0.9994, "999 ms"), (0.9996, "1.0 s"), (59.94, "59.9 s"), (90, "1.5 min")],
)
def test_durations(value: float, words: str) -> None:
    assert seconds(value) == words


def answered(**fields: object) -> Any:
    known: dict[str, object] = {
        "answer": SimpleNamespace(steps=[None] * 1041, terminal=None),
        "tokens_per_second": 212.4,
        "first_token_seconds": 0.009,
        "state": "finished",
        "finish": "eos",
        "seed": 7,
        "params": Params(),
    }
    return SimpleNamespace(**(known | fields))


def test_the_pace_of_an_answer() -> None:
    assert pace(answered()) == ["1,041 tok", "212 tok/s", "first 9 ms"]
    all_at_once = answered(tokens_per_second=1e6, first_token_seconds=None)
    assert pace(all_at_once) == ["1,041 tok"]


def test_how_many_guesses_were_right_where_any_were_made() -> None:
    end = Finished(id=1, reason="eos", text="", drafted=40, accepted=31)
    assert pace(answered(answer=SimpleNamespace(steps=[None] * 50, terminal=end)))[-1] == "accept 78%"
    plain = Finished(id=1, reason="eos", text="")
    assert pace(answered(answer=SimpleNamespace(steps=[None] * 50, terminal=plain)))[-1] == "first 9 ms"


def test_why_it_ended_where_that_is_worth_a_word() -> None:
    assert ending(answered()) == ""
    assert ending(answered(finish="length")) == "cut at max_new"
    assert ending(answered(state="stopped", finish="user")) == "stopped"
    assert ending(answered(state="failed", finish="out_of_memory")) == ""


@pytest.mark.parametrize(
    ("params", "words"),
    [(Params(temperature=0.7), "seed 7"), (Params(), ""), (Params(temperature=0.7, beam=2), "")],
)
def test_the_seed_is_told_where_it_had_a_say(params: Params, words: str) -> None:
    assert seed(answered(params=params)) == words
