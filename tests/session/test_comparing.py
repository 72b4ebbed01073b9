"""`/diff`, and what `/compare` shows of answers."""

import pytest

from repl.messages import Finished, Started
from repl.probe.diff import Comparison
from tests.session.support import pool_of, step


@pytest.fixture
def do(session, screen):
    async def do(line):
        screen.shown.clear()
        await session.run(line, screen)
        await session.background.settle()
        return screen.words()

    return do


def answer(ticket, *pieces):
    """End a request with these tokens."""
    number = ticket.request.id
    ticket.place(f"{ticket.request.model}/0")
    ticket.deliver(Started(id=number, prompt_ids=(), prompt_text=""))
    for index, piece in enumerate(pieces):
        ticket.deliver(step(index, piece, number, raw_lp=-0.5))
    ticket.deliver(Finished(id=number, reason="eos", text="".join(pieces)))


def asked(session, a, b):
    session.ask("hi")
    first, second = pool_of(session).tickets[-2:]
    answer(first, *a)
    answer(second, *b)


async def test_the_answers_of_the_last_line(session, screen):
    asked(session, ["the", " cat"], ["the", " dog"])
    await session.run("/diff", screen)
    found = screen.last
    assert isinstance(found, Comparison)
    assert [x.exchange for x in found.answers] == [x.id for x in session.last_line()]
    (pair,) = found.against_first
    assert [(c.a, c.b) for c in pair.changes] == [(b" cat", b" dog")]
    assert session.figures == [found]
    assert found.answers[0].tokens_per_second is not None


async def test_equal_answers_have_an_empty_diff(session, screen):
    asked(session, ["the ", "cat"], ["the", " cat"])
    await session.run("/diff", screen)
    assert screen.last.against_first[0].changes == ()


async def test_named_answers_by_words(session, screen):
    asked(session, ["un", "fit"], ["no"])
    asked(session, ["un", "able"], ["no"])
    first, _, third, _ = session.exchanges
    await session.run(f"/diff words #{first.id} #{third.id}", screen)
    assert screen.last.unit == "words"
    assert [(c.a, c.b) for c in screen.last.against_first[0].changes] == [(b"unfit", b"unable")]
    await session.run(f"/compare #{first.id} #{third.id}", screen)
    assert screen.last.unit == "tokens"
    assert session.comparison == ["a", "b"]


async def test_what_cannot_be_compared_is_said(session, do):
    assert "nothing has been asked" in await do("/diff")
    asked(session, ["x"], [])
    first, second = session.exchanges
    assert "needs two answers" in await do(f"/diff #{first.id}")
    assert f"#{second.id} (b) has no tokens" in await do("/diff")
    assert "there is no answer #999" in await do("/diff #1 #999")


async def test_the_difference_after_each_line_when_wanted(session, screen, do):
    assert "shown after each line" in await do("/compare diff on")
    asked(session, ["x"], ["y"])
    (found,) = screen.shown
    assert found.against_first[0].changes
    screen.shown.clear()
    await session.run("@a alone", screen)
    answer(pool_of(session).tickets[-1], "x")
    assert screen.shown == []
    assert "not shown after" in await do("/compare diff off")
    asked(session, ["x"], ["y"])
    assert screen.shown == []
    assert "not one of on, off" in await do("/compare diff maybe")


async def test_it_is_shown_only_when_all_have_answered(session, screen, do):
    await do("/compare diff on")
    session.ask("hi")
    first, second = pool_of(session).tickets[-2:]
    answer(first, "x")
    assert screen.shown == []
    answer(second, "y")
    assert len(screen.shown) == 1
