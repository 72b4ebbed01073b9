import asyncio

import pytest

from repl.probe.chain import Chain
from repl.session import commands
from repl.session.frontend import Notice
from tests.session.support import opened
from tests.session.toy import Toy


class Parrot(Toy):
    """Answers with its name and its prompt."""

    def serve(self, ticket):
        if not ticket.done and ticket.request.model not in self.broken:
            request = ticket.request
            text = "" if "hush" in request.prompt else f" {request.model}[{request.prompt}]"
            self.answer(ticket, text)
        else:
            super().serve(ticket)


@pytest.fixture
async def session(screen):
    session = opened(Parrot, screen, "a", "b", "long-name", compare=("a",))
    yield session
    await session.close()


@pytest.fixture
def do(session, screen):
    async def do(line):
        screen.shown.clear()
        await session.run(line, screen)
        return next((shown for shown in screen.shown if isinstance(shown, Chain)), None)

    return do


async def test_each_output_is_the_next_input(do, session):
    found = await do("/chain a>b>a hello")
    assert found.text == "a[b[a[hello]]]"
    assert [(h.stage, h.model, h.exchange) for h in found.hops] == [(0, "a", 1), (1, "b", 2), (2, "a", 3)]
    assert [x.prompt for x in session.exchanges] == ["hello", "a[hello]", "b[a[hello]]"]
    assert [(x.origin.exchange, x.origin.how) for x in session.exchanges] == [
        (None, "chain"),
        (1, "chain"),
        (2, "chain"),
    ]


async def test_a_template_says_what_the_next_is_asked(do):
    found = await do('/chain a>"Sum {} of {prompt}:">long hello')
    assert found.text == "long-name[Sum a[hello] of hello:]"


async def test_independent_answers_go_on_together(do, session):
    found = await do("/chain (a,b)>long-name hello")
    assert found.text == "long-name[a: a[hello]\n\nb: b[hello]]"
    assert session.exchanges[2].prompt == "a: a[hello]\n\nb: b[hello]"
    assert session.exchanges[0].line == session.exchanges[1].line


async def test_without_a_prompt_it_takes_the_last(do, session):
    await do("x")
    await session.exchanges[0].ticket.wait()
    assert (await do("/chain a>b")).text == "b[a[x]]"


async def test_a_chain_of_the_configuration_goes_by_its_name(do, session):
    session.config.chains["pair"] = 'a>"So: {}">b'
    assert (await do("/chain pair hello you")).text == "b[So: a[hello you]]"
    assert tuple(
        f"/chain {c.text}" for c in commands.complete(session, "/chain pa") if c.help == 'a>"So: {}">b'
    ) == ("/chain pair",)


async def test_one_failing_of_several_is_told_and_the_rest_goes_on(do, session, screen):
    session.coordinator.broken.add("b")
    found = await do("/chain (a,b)>long-name hello")
    assert found.text == "long-name[a[hello]]"
    assert found.hops[1].error == "it cannot do that"
    warnings = [n for n in screen.shown if isinstance(n, Notice) and n.level == "warning"]
    assert "stage 1 of 2: b #2: it cannot do that" in warnings[0].text


async def test_a_chain_ends_where_nothing_comes_out(do, session, screen):
    session.coordinator.broken.add("b")
    found = await do("/chain a>b>a hello")
    assert [h.model for h in found.hops] == ["a", "b"] and found.text == ""
    assert "stage 2 of 3: b #2: it cannot do that" in screen.errors()[0].text
    await do("/chain a>b hush")
    assert "wrote nothing" in screen.errors()[0].text


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/chain", "which models?"),
        ("/chain a hello", "a alone is not a chain"),
        ("/chain a>zz hello", "there is no model 'zz'"),
        ("/chain a>b", "nothing has been asked yet"),
        ('/chain a>"{b}">b x', "nothing before fills {b}"),
    ],
)
async def test_what_cannot_be_chained_is_said(do, screen, line, said):
    await do(line)
    assert said in screen.errors()[0].text and screen.errors()[0].hint


async def test_stopping_ends_it_and_shows_what_there_is(session, screen):
    session.coordinator.silent.add("b")
    session.coordinator.expect(2)
    screen.waits = False
    await session.run("/chain a>b>a hello", screen)
    async with asyncio.timeout(20):
        await session.coordinator.asked.wait()
    session.stop()
    await session.background.settle()
    found = next(shown for shown in screen.shown if isinstance(shown, Chain))
    assert [h.text.strip() for h in found.hops] == ["a[hello]", ""]
    assert session.exchanges[1].state == "stopped"
