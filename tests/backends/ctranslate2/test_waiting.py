"""Who goes into the next call, by a clock of the test's own."""

from typing import Any

import pytest

from backends.ctranslate2.asked import Asked
from backends.ctranslate2.member import Member
from backends.ctranslate2.plan import Plan
from backends.ctranslate2.waiting import (
    FILES_LEAST,
    FILES_LONGEST,
    GATHER,
    LEAST,
    LONGEST,
    Waiting,
)
from repl.messages import Started
from tests.backends.ctranslate2.support import request


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


class Reader:
    ends = (2,)
    never = ()
    unknown = None
    attention = charges = False


class Codec:
    pieces = (b"",) * 50

    def text(self, tokens: Any) -> str:
        return ""

    settled = raw = text


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def waiting(clock: Clock) -> Waiting:
    return Waiting("cpu", False, 50, clock)


def member(number: int, length: int = 5, causal: bool = False, **settings: Any) -> Member:
    asked_for = request("", number, max_new=10, **settings)
    started = Started(id=number, prompt_ids=(), prompt_text="")
    asked = Asked(started=started, codec=Codec(), feed=[7] * length, script=[], limit=10)
    plan = Plan.of(asked_for, Reader(), 50, False)
    return Member(asked_for, asked, plan, Reader(), causal)


def ids(members: list[Member]) -> list[int]:
    return [one.request.id for one in members]


def test_a_lone_line_begins_when_no_other_has_come_for_a_moment(waiting: Waiting, clock: Clock):
    waiting.add(member(1))
    assert waiting.next(0) == []
    clock.now += 2 * GATHER
    assert ids(waiting.next(0)) == [1]
    assert len(waiting) == 0


def test_after_a_call_nobody_waits_for_more(waiting: Waiting):
    waiting.add(member(1))
    assert ids(waiting.next(3)) == [1]


def test_what_decodes_alike_goes_together_in_its_order(waiting: Waiting):
    for one in (member(1), member(2, beam=2), member(3), member(4, beam=2), member(5, lane="exact")):
        waiting.add(one)
    assert [ids(waiting.next(1)) for _ in range(3)] == [[1, 3], [2, 4], [5]]


def test_who_waits_for_a_person_goes_first(waiting: Waiting):
    waiting.add(member(1, interactive=False))
    waiting.add(member(2, interactive=False, beam=3))
    waiting.add(member(3, beam=3))
    assert ids(waiting.next(1)) == [3, 2]


def test_prompts_of_very_different_length_go_apart(waiting: Waiting):
    for number, length in enumerate((5, 60, 8, 55), 1):
        waiting.add(member(number, length))
    assert [ids(waiting.next(1)) for _ in range(2)] == [[1, 3], [2, 4]]


def test_no_call_is_larger_than_it_gains(waiting: Waiting):
    for number in range(60):
        waiting.add(member(number, beam=5))
    sizes = []
    while taken := waiting.next(1):
        sizes.append(5 * len(taken))
    assert sizes == [150, 150]


def test_a_slow_model_gets_calls_that_do_not_last_long(waiting: Waiting):
    # 15 tokens for each of a line's 5 hypotheses; this many a second were seen.
    waiting.took(tokens=1500, seconds=1.0)
    for number in range(60):
        waiting.add(member(number, beam=5))
    assert len(waiting.next(1)) == int(1500 * LONGEST / 75)


def test_those_of_a_file_may_last_longer(waiting: Waiting):
    waiting.took(tokens=750, seconds=1.0)
    for number in range(60):
        waiting.add(member(number, beam=5, interactive=False))
    assert len(waiting.next(1)) == int(750 * FILES_LONGEST / 75)


def test_what_needs_several_calls_is_shared_evenly_among_them(waiting: Waiting):
    waiting.took(tokens=2000, seconds=1.0)
    for number in range(32):  # of which 26 would fit into one call
        waiting.add(member(number, beam=5))
    assert [len(waiting.next(1)), len(waiting.next(1))] == [16, 16]


def test_lines_of_similar_length_go_first(waiting: Waiting):
    waiting.took(tokens=1, seconds=1.0)
    for number in range(60):
        waiting.add(member(number, length=10 + number % 2))
    first, second = waiting.next(1), waiting.next(1)
    assert {len(one.asked.feed) for one in first} == {10}
    assert {len(one.asked.feed) for one in second} == {11}


def test_but_never_so_small_that_they_waste_the_device(waiting: Waiting):
    waiting.took(tokens=10, seconds=1.0)
    for number in range(2 * LEAST):
        waiting.add(member(number))
    assert len(waiting.next(1)) == LEAST


def test_nor_those_of_a_file(waiting: Waiting):
    waiting.took(tokens=10, seconds=1.0)
    for number in range(2 * FILES_LEAST):
        waiting.add(member(number, interactive=False))
    assert len(waiting.next(1)) == FILES_LEAST


def test_a_request_that_is_cancelled_waits_no_more(waiting: Waiting):
    waiting.add(member(1))
    waiting.add(member(2))
    waiting.remove(1)
    waiting.remove(99)
    assert ids(waiting.next(1)) == [2]
