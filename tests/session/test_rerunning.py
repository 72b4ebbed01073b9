from pathlib import Path

import msgspec
import pytest

from repl.messages import Finished, Step
from repl.probe.replay import Rerun
from repl.session.inquiry import Inquiry, inquire
from repl.session.record import rows
from tests.session.support import opened, typed
from tests.session.toy import Toy


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "records.db"


@pytest.fixture
async def toy(screen, path):
    session = toys(path, screen)
    yield session
    await session.close()


def toys(path, screen, *models):
    """A session over ``path``; of the first model, where none is named."""
    return opened(Toy, screen, *(models or ("a", "b")), compare=(models or ("a",))[:1], path=path)


async def do(session, screen, *lines):
    await typed(session, screen, *lines)
    return next((shown for shown in screen.shown if isinstance(shown, Rerun)), None)


def changes(session, name, **fields):
    replicas = session.coordinator.replicas
    capabilities = msgspec.structs.replace(replicas[name].capabilities, **fields)
    replicas[name] = msgspec.structs.replace(replicas[name], capabilities=capabilities)


async def test_an_answer_is_replayed_with_what_it_had_whatever_is_set_now(toy, screen):
    await do(toy, screen, "/set temperature 2", "/set seed 3", "/set max_new 9", "one", "two")
    found = await do(toy, screen, "/set temperature 0", "/set seed 8", "/rerun #2")
    (replay,) = found.replays
    assert (replay.verdict, replay.comparison.first, replay.comparison.moved) == ("equal", None, 0)
    first, again = toy.exchanges[1].request, toy.coordinator.tickets[2].request
    assert msgspec.structs.replace(again, id=first.id) == first
    assert len(toy.exchanges) == 2


async def test_a_changed_model_is_found_with_its_token_and_its_cause(toy, screen):
    await do(toy, screen, "one")
    toy.coordinator.tables["a"] = {**toy.coordinator.tables["a"], 1: (0.1, 0.1, 0.2, 0.6)}
    for name in ("a/0", "a/1"):
        changes(toy, name, checkpoint_hash="sha-other")
    (replay,) = (await do(toy, screen, "/rerun")).replays
    assert replay.words == "differs at @1: ·b → ·c"
    assert replay.cause == "the checkpoint's hash was sha-a, is sha-other"


async def test_moved_numbers_are_told_though_the_tokens_are_equal(toy, screen):
    await do(toy, screen, "one")
    toy.coordinator.shift = -1e-9
    (replay,) = (await do(toy, screen, "/rerun #1")).replays
    assert replay.verdict == "equal" and replay.comparison.moved == 4
    assert replay.numbers == "equal within 1.4e-09 bits"
    assert "fast lane" in replay.cause


async def test_numbers_that_moved_too_far_are_not_equal(toy, screen):
    await do(toy, screen, "one")
    toy.coordinator.shift = -1.0
    (replay,) = (await do(toy, screen, "/rerun #1")).replays
    assert replay.verdict == "differs" and replay.words == "the tokens are equal, the numbers are not"


async def test_the_exact_lane_must_repeat_every_bit(toy, screen):
    (scored,) = await inquire(toy, [Inquiry(model="a", prompt="p", target=" a b", target_ids=(1, 2))])
    toy.coordinator.shift = -1e-9
    (replay,) = (await do(toy, screen, f"/rerun #{scored.id}")).replays
    assert replay.verdict == "differs" and replay.comparison.first is None
    assert "from run to run" in replay.cause


async def test_a_score_is_compared_too_and_keeps_its_target(toy, screen):
    asked = Inquiry(model="a", prompt="p", target=" a b", target_ids=(1, 2))
    (scored,) = await inquire(toy, [asked])
    (replay,) = (await do(toy, screen, f"/rerun #{scored.id}")).replays
    assert replay.verdict == "equal" and replay.lane == "exact"
    assert toy.coordinator.tickets[-1].request.target_ids == (1, 2)


async def test_another_session_on_another_day_finds_what_changed(toy, screen, path, monkeypatch):
    await do(toy, screen, "one")
    await toy.close()
    monkeypatch.setattr(rows, "version", lambda package: "99")
    later = toys(path, screen)
    later.coordinator.tables["a"] = {**later.coordinator.tables["a"], None: (0.97, 0.01, 0.01, 0.01)}
    (replay,) = (await do(later, screen, "/rerun #1")).replays
    assert replay.verdict == "differs" and "is 99" in replay.cause
    assert {c.kind for c in replay.circumstances} >= {"package"}
    await later.close()


async def test_all_answers_of_a_session(toy, screen):
    await do(toy, screen, "/set temperature 2", "one", "two", "/branch @0 #2")
    found = await do(toy, screen, "/rerun all")
    assert [(r.exchange, r.verdict) for r in found.replays] == [(1, "equal"), (2, "equal"), (3, "equal")]
    assert found.title == "rerun · 3 of 3 equal"


async def test_a_replica_can_be_named(toy, screen):
    await do(toy, screen, "one")
    await do(toy, screen, "/rerun #1 on a/1")
    assert toy.coordinator.tickets[-1].pin == "a/1"
    await do(toy, screen, "/rerun #1 on gpu1")
    assert toy.coordinator.tickets[-1].pin == "cuda:1"


async def test_what_was_stopped_is_compared_as_far_as_it_went(toy, screen):
    toy.coordinator.silent.add("a")
    await toy.run("one", screen)
    ticket = toy.coordinator.tickets[0]
    ticket.place("a/0")
    ticket.deliver(Step(id=1, index=0, token=1, piece=b" a", text=" a"))
    toy.stop()
    toy.coordinator.silent.clear()
    (replay,) = (await do(toy, screen, "/rerun #1")).replays
    assert replay.verdict == "equal" and replay.comparison.compared == 1


async def test_a_failing_replay_is_told(toy, screen):
    await do(toy, screen, "one")
    toy.coordinator.broken.add("a")
    (replay,) = (await do(toy, screen, "/rerun #1")).replays
    assert (replay.verdict, replay.error) == ("failed", "the replay failed: it cannot do that")


async def test_a_different_ending_alone_is_a_difference(toy, screen):
    await do(toy, screen, "/set max_new 4", "one")
    exchange = toy.exchanges[0]
    exchange.answer.terminal = Finished(id=1, reason="length", text=" a b c")
    (replay,) = (await do(toy, screen, "/rerun #1")).replays
    assert replay.words == "the tokens are equal, but it ended by eos, not length"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/rerun", "nothing has been asked yet"),
        ("/rerun all", "nothing has been answered yet"),
        ("/rerun #9", "there is no answer #9"),
    ],
)
async def test_what_cannot_be_rerun_is_said(toy, screen, line, said):
    await do(toy, screen, line)
    assert said in screen.errors()[0].text


async def test_a_place_without_that_model_and_a_model_that_is_gone_are_said(toy, screen, path):
    await do(toy, screen, "one", "/rerun #1 on b/0")
    assert "'b/0' is not a replica or device of a" in screen.errors()[0].text
    await toy.close()
    other = toys(path, screen, "c")
    await do(other, screen, "/rerun #1")
    assert "was answered by a, which is not configured here" in screen.errors()[0].text
    await other.close()
