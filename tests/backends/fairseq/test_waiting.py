"""Which requests begin together, and when; the clock is the test's."""

from tests.backends.fairseq.support import FIRST, load, request

# isort: split
from pathlib import Path
from typing import Any

import msgspec
import pytest

from backends.fairseq import waiting as module
from backends.fairseq.engine import FairseqEngine
from backends.fairseq.member import Member
from backends.fairseq.waiting import GATHER, PATIENCE, SHORT_PATIENCE, Waiting
from repl.messages import Finished


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def waiting(clock: Clock) -> Waiting:
    return Waiting(4, clock)


def member(
    engine: FairseqEngine,
    number: int,
    words: int = 3,
    lane: Any = "fast",
    interactive: bool = False,
    **params: Any,
) -> Member:
    asked = request(" ".join(["w1"] * words), number=number, **params)
    return Member.of(engine._model, msgspec.structs.replace(asked, lane=lane, interactive=interactive))


def numbers(members: list[Member]) -> list[int]:
    return [one.request.id for one in members]


def test_on_an_idle_replica_nobody_waits_longer_than_others_may_be_coming(
    waiting: Waiting, clock: Clock, engine: FairseqEngine
) -> None:
    assert waiting.next(0) == []
    waiting.add(member(engine, 1))
    assert waiting.next(0) == []
    clock.now += 2 * GATHER
    assert numbers(waiting.next(0)) == [1]
    assert len(waiting) == 0


def test_others_begin_beside_a_batch_when_they_are_as_many_as_it_has_left(
    waiting: Waiting, engine: FairseqEngine
) -> None:
    waiting.add(member(engine, 1))
    assert waiting.next(2) == []
    waiting.add(member(engine, 2))
    assert numbers(waiting.next(2)) == [1, 2]


def test_nobody_waits_longer_than_patience_allows(
    waiting: Waiting, clock: Clock, engine: FairseqEngine
) -> None:
    waiting.add(member(engine, 1))
    clock.now += PATIENCE / 2
    assert waiting.next(3) == []
    clock.now += PATIENCE / 2
    assert numbers(waiting.next(3)) == [1]


def test_a_person_does_not_wait_behind_the_lines_of_a_file(
    waiting: Waiting, clock: Clock, engine: FairseqEngine
) -> None:
    waiting.add(member(engine, 1))
    waiting.add(member(engine, 2, interactive=True))
    assert waiting.next(3) == []  # others may be coming
    clock.now += 2 * GATHER
    assert numbers(waiting.next(3)) == [2]
    assert waiting.next(3, persons=1) == []


def test_persons_gather_for_a_moment(waiting: Waiting, clock: Clock, engine: FairseqEngine) -> None:
    waiting.add(member(engine, 1, interactive=True))
    clock.now += SHORT_PATIENCE / 2
    waiting.add(member(engine, 2, interactive=True))
    assert waiting.next(3, persons=3) == []
    clock.now += SHORT_PATIENCE
    assert numbers(waiting.next(3, persons=3)) == [1, 2]


def test_a_persons_line_begins_while_a_file_is_answered(engine: FairseqEngine) -> None:
    crowd = [
        msgspec.structs.replace(request(FIRST, number=n, min_new=12), interactive=False)
        for n in range(10, 18)
    ]
    for asked in crowd:
        engine.admit(asked)
    while not engine._batches:
        engine.step()
    engine.admit(request("w7", number=1, max_new=2))
    ended: list[int] = []
    while len(ended) < 9:
        ended += [event.id for event in engine.step() if isinstance(event, Finished)]
        if 1 not in ended:
            engine._waiting._changed = float("-inf")  # nobody else is coming
    assert ended[0] == 1


def test_after_an_end_the_next_are_waited_for_a_moment(
    waiting: Waiting, clock: Clock, engine: FairseqEngine
) -> None:
    waiting.ended()
    waiting.add(member(engine, 1))
    assert waiting.next(0) == []
    waiting.add(member(engine, 2))
    clock.now += 2 * GATHER
    assert numbers(waiting.next(0)) == [1, 2]
    waiting.ended()
    for number in range(4):  # no more can come than there are slots
        waiting.add(member(engine, number))
    assert len(waiting.next(0)) == 4


def test_only_what_decodes_alike_begins_together(waiting: Waiting, engine: FairseqEngine) -> None:
    same: list[dict[str, Any]] = [{}, {"max_new": 3}, {"min_new": 2}, {"seed": 5}, {"truncate": "left"}]
    other: list[dict[str, Any]] = [{"beam": 2}, {"logprobs": 1}, {"stop": ("x",)}, {"no_repeat_ngram": 2}]
    for number, params in enumerate(same + other):
        waiting.add(member(engine, number, **params))
    assert numbers(waiting.next(len(waiting))) == list(range(len(same)))
    assert [numbers(waiting.next(len(waiting))) for _ in other] == [
        [len(same) + i] for i in range(len(other))
    ]


def test_greedy_and_sampling_do_not_mix_but_seeds_do(waiting: Waiting, engine: FairseqEngine) -> None:
    for number, params in enumerate(({"temperature": 1.0, "seed": 1}, {}, {"temperature": 1.0, "seed": 2})):
        waiting.add(member(engine, number, **params))
    assert numbers(waiting.next(len(waiting))) == [0, 2]


def test_a_short_line_is_not_padded_to_a_long_one(
    waiting: Waiting, engine: FairseqEngine, causal: FairseqEngine
) -> None:
    for model, expected in ((engine, [1, 3]), (causal, [1, 2, 3])):  # a language model pads nothing
        for number, words in ((1, 1), (2, 22), (3, 4)):
            waiting.add(member(model, number, words))
        assert numbers(waiting.next(len(waiting))) == expected
        waiting.next(len(waiting))


def test_who_wants_to_be_alone_is(waiting: Waiting, engine: FairseqEngine) -> None:
    for number, lane in enumerate(("fast", "exact", "fast")):
        waiting.add(member(engine, number, lane=lane))
    assert [numbers(waiting.next(len(waiting))) for _ in range(2)] == [[0, 2], [1]]


def test_a_batch_has_a_greatest_size(
    waiting: Waiting, engine: FairseqEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "HYPOTHESES", 10)
    for number in range(4):
        waiting.add(member(engine, number, beam=4))
    assert numbers(waiting.next(len(waiting))) == [0, 1]
    waiting.remove(2)
    assert numbers(waiting.next(len(waiting))) == [3]


def test_slots_are_as_configured(translation: Path) -> None:
    assert load(translation, slots=3).capabilities.slots == 3
