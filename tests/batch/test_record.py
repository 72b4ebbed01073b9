"""How answers and failures are written down."""

import json
import math

import pytest

from repl.batch.record import Record, as_fairseq, as_json, as_named_text, as_text, writer
from repl.batch.source import Item, item
from repl.messages import Error, Event, Finished, Hypothesis, Started, Step
from repl.params import Params
from repl.pool import Timings
from repl.session.answer import Answer
from repl.streams import Line

LN2 = math.log(2)


def asked(text: str, *, jsonl: bool = False) -> Item:
    data = text.encode()
    return item(Line(3, data, len(data), len(data)), jsonl=jsonl)


def answered(*events: Event, prompt: str = "p") -> Record:
    answer = Answer()
    for event in events:
        answer.feed(event)
    return Record(
        item=asked(prompt),
        model="m",
        params=Params(seed=5),
        answer=answer,
        replica="m/0",
        timings=Timings(submitted=1.0, placed=1.25, first=1.5, ended=2.0),
        tries=1,
    )


def step(index: int, text: str, **scores: float) -> Step:
    return Step(id=0, index=index, token=index + 10, piece=text.encode(), text=text, **scores)


def finished(text: str, *hypotheses: Hypothesis) -> Finished:
    return Finished(id=0, reason="eos", text=text, hypotheses=hypotheses)


STARTED = Started(id=0, prompt_ids=(1, 2), prompt_text="tokenised p")


def test_json_has_everything_to_reproduce_an_answer() -> None:
    line = json.loads(as_json(answered(STARTED, step(0, "a"), step(1, "b"), finished("ab"))))
    assert {
        key: line[key] for key in ("index", "model", "prompt", "text", "token_ids", "finish", "replica")
    } == {
        "index": 2,
        "model": "m",
        "prompt": "p",
        "text": "ab",
        "token_ids": [10, 11],
        "finish": "eos",
        "replica": "m/0",
    }
    assert line["seed"] == line["params"]["seed"] == 5
    assert line["timings"] == {"queue": 0.25, "first": 0.5, "total": 1.0}
    assert line["prompt_tokens"] == 2
    assert "error" not in line and "hypotheses" not in line


def test_json_of_an_n_best_list_has_null_for_no_number() -> None:
    best = Hypothesis(text="a", tokens=(1, 2), score=-0.5)
    worst = Hypothesis(text="b", tokens=(3, 2), score=-math.inf)
    line = json.loads(as_json(answered(STARTED, finished("a", best, worst))), parse_constant=pytest.fail)
    assert line["hypotheses"] == [
        {"text": "a", "token_ids": [1, 2], "score": -0.5},
        {"text": "b", "token_ids": [3, 2], "score": None},
    ]


def test_json_of_a_failure_has_an_error_and_no_text() -> None:
    record = Record(item=asked("\x1b p"), model="m", error=Error(kind="k", message="m", hint="h"))
    line = json.loads(as_json(record))
    assert line == {
        "index": 2,
        "model": "m",
        "prompt": "\x1b p",
        "error": {"kind": "k", "message": "m", "hint": "h"},
    }


def test_json_carries_what_the_input_had() -> None:
    record = answered(STARTED, finished(""))
    record.item = asked('{"prompt": "p", "id": [1], "reference": "r"}', jsonl=True)
    assert json.loads(as_json(record))["input"] == {"id": [1], "reference": "r"}


def test_text_keeps_one_line_for_each_line() -> None:
    record = answered(STARTED, finished("a\nb\r\n\u2028c"))
    assert as_text(record).decode() == "a␤b␍␤\u2028c\n"
    assert as_named_text(record).decode() == "m\ta␤b␍␤\u2028c\n"
    record.error = Error(kind="k", message="m")
    assert as_text(record) == b"\n"


def test_fairseq_lines_of_an_n_best_list_are_to_base_2() -> None:
    best = Hypothesis(
        text="ab c", tokens=(1, 2, 3), score=-LN2, token_scores=(-LN2, -2 * LN2, 0.0), raw_text="a@@ b c"
    )
    other = Hypothesis(text="d", tokens=(4,), score=-3 * LN2, token_scores=(-3 * LN2,))
    assert as_fairseq(answered(STARTED, finished("ab c", best, other))).decode() == (
        "S-2\ttokenised p\n"
        "H-2\t-1.0\ta@@ b c\n"
        "D-2\t-1.0\tab c\n"
        "P-2\t-1.0000 -2.0000 0.0000\n"
        "H-2\t-3.0\td\n"
        "D-2\t-3.0\td\n"
        "P-2\t-3.0000\n"
    )


def test_fairseq_lines_of_a_model_without_a_search_are_its_own_scores() -> None:
    record = answered(STARTED, step(0, "a", raw_lp=-LN2), step(1, "b", raw_lp=-3 * LN2), finished("ab"))
    assert "H-2\t-2.0\tab\n" in as_fairseq(record).decode()
    assert "P-2\t-1.0000 -3.0000\n" in as_fairseq(record).decode()
    assert "H-2\tnan\tx\n" in as_fairseq(answered(STARTED, step(0, "x"), finished("x"))).decode()


def test_fairseq_lines_of_a_failure() -> None:
    record = Record(item=asked("p"), model="m", error=Error(kind="k", message="two\nlines"))
    assert as_fairseq(record).decode() == "S-2\tp\nE-2\tk\ttwo␤lines\n"


@pytest.mark.parametrize(
    ("name", "models", "function"),
    [("jsonl", 1, as_json), ("text", 1, as_text), ("text", 2, as_named_text), ("fairseq", 1, as_fairseq)],
)
def test_formats(name: str, models: int, function: object) -> None:
    assert writer(name, models) is function
