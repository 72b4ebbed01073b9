import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repl.messages import Step
from repl.probe.figure import as_json, as_text
from repl.probe.replay import Comparison, Replay, Rerun, allowance, changed, compare


def steps(*tokens, lp=-1.0):
    return [
        Step(id=0, index=at, token=token, piece=b"x", text="x", raw_lp=lp) for at, token in enumerate(tokens)
    ]


@given(st.lists(st.integers(0, 3), max_size=8))
def test_an_answer_equals_itself(tokens):
    found = compare(steps(*tokens), steps(*tokens))
    assert (found.first, found.compared, found.moved) == (None, len(tokens), 0)
    assert found.largest == (0.0 if tokens else None)


@given(st.lists(st.integers(0, 3), max_size=8), st.lists(st.integers(0, 3), max_size=8))
def test_the_first_difference_is_where_they_part(a, b):
    first = compare(steps(*a), steps(*b)).first
    if a == b:
        assert first is None
    else:
        assert first is not None and a[:first] == b[:first] and a[first : first + 1] != b[first : first + 1]


def test_what_was_broken_off_may_go_on():
    assert compare(steps(1), steps(1, 2)).first == 1
    assert compare(steps(1), steps(1, 2), partial=True).first is None
    assert compare(steps(1, 2), steps(1), partial=True).first == 1


def test_numbers_are_compared_bit_for_bit_up_to_the_difference():
    off = math.nextafter(-1.0, 0)
    found = compare(steps(1, 2, 3), [*steps(1, 2, lp=off), *steps(9, lp=-5)[0:1]])
    assert (found.first, found.moved, found.largest) == (2, 2, pytest.approx(1.1e-16, rel=0.1))
    assert compare(steps(1, lp=-math.inf), steps(1, lp=-math.inf)).moved == 0
    assert compare(steps(1, lp=-math.inf), steps(1)).largest == math.inf
    assert compare(steps(1, lp=None), steps(1, lp=None)).largest is None


def replay(**fields):
    whole = {
        "exchange": 1,
        "again": 2,
        "model": "m",
        "verdict": "differs",
        "comparison": Comparison(first=1, compared=1, largest=0.0, moved=0),
        "was": b" a",
        "now": b"",
    }
    return Replay(**{**whole, **fields})


def test_the_likeliest_cause_is_named_first():
    was = {
        ("package", "torch"): "2.12",
        ("checkpoint", "the checkpoint's hash"): "aa",
        ("replica", "r"): "m/0",
    }
    now = {
        ("package", "torch"): "2.13",
        ("checkpoint", "the checkpoint's hash"): "bb",
        ("replica", "r"): "m/1",
    }
    found = changed(was, now)
    assert [c.kind for c in found] == ["checkpoint", "package", "replica"]
    assert replay(circumstances=tuple(found)).cause == "the checkpoint's hash was aa, is bb"
    assert "fast lane" in replay(circumstances=tuple(found[2:])).cause
    assert "varies from run to run" in replay(lane="exact").cause
    assert changed({("package", "x"): "1"}, {})[0].words == "x was 1, is unknown"


def test_an_equal_answer_has_no_cause_unless_its_numbers_moved():
    same = Comparison(first=None, compared=3, largest=0.0, moved=0)
    moved = Comparison(first=None, compared=3, largest=math.log(2) / 4, moved=1)
    assert replay(verdict="equal", comparison=same).cause == ""
    assert replay(verdict="equal", comparison=moved).cause != ""
    assert replay(verdict="equal", comparison=moved, within=1.0).numbers == "equal within 0.25 bits"
    assert replay(verdict="differs", comparison=moved, within=0.1).numbers == "1 differ, by up to 0.25 bits"
    assert replay(comparison=moved).words == "the tokens are equal, the numbers are not"


@pytest.mark.parametrize(
    "lane,dtype,nats", [("exact", "bfloat16", 0.0), ("fast", "float32", 1e-4), ("fast", "unknown", 0.4)]
)
def test_numbers_may_move_where_another_batch_moves_them(lane, dtype, nats):
    assert allowance(lane, dtype) == nats


def test_it_is_drawn_with_its_cause_and_without_escapes():
    figure = Rerun(
        replays=(replay(was=b"\x1b[2J"), replay(exchange=3, verdict="failed", error="it \x1b died"))
    )
    text = as_text(figure.rows(100))
    assert "\x1b" not in text
    assert "≠  #1  m      differs at @1: ␛[2J → ∎" in text and "#1 likely cause" in text
    assert figure.title == "rerun · 0 of 2 equal"
    assert as_json(figure)["replays"][0]["comparison"]["first"] == 1
