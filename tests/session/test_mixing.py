"""`/ensemble` over toy models that can be worked out by hand."""

import asyncio
import math

import pytest

from repl.session.commands.probing import lockstep
from repl.session.commands.probing.mixing import members
from tests.session.support import pool_of, typed
from tests.session.teller import OTHER, reading_session


@pytest.fixture
async def mixing(screen):
    session = reading_session(screen, "a", "b", "a-b", "c")
    pool_of(session).change("a", "b", "c", "a-b", tasks=("generate", "score"), distributions=True)
    yield session
    await session.close()


@pytest.fixture
def do(mixing, screen):
    async def do(*lines):
        await typed(mixing, screen, *lines)
        return mixing.exchanges[-1] if mixing.exchanges else None

    return do


def ids(exchange):
    return [step.token for step in exchange.answer.steps]


async def test_a_model_with_itself_is_that_model(mixing, do):
    alone = await do("@a hello")
    for names in ("a+a", "a+a mode=geo", "a+c", "a+a+c"):
        both = await do(f"/ensemble {names} hello")
        assert (ids(both), both.finish, both.answer.text) == (ids(alone), "eos", alone.answer.text)
        for mixed, own in zip(both.answer.steps, alone.answer.steps, strict=True):
            assert mixed.raw_lp == pytest.approx(own.raw_lp, abs=1e-6)
            assert (mixed.piece, mixed.text, mixed.rank) == (own.piece, own.text, own.rank)


async def test_an_ensemble_is_asked_for_again_by_its_command(mixing, do, screen):
    both = await do("/ensemble a+b hello", "/retry")
    assert screen.said() == [
        (f"#{both.id} is not one model's answer: it is the ensemble mean of a+b",
         "give the command that asked for it again")
    ]  # fmt: skip


async def test_the_mean_by_hand(mixing, do):
    both = await do("/ensemble a+b hello")
    # After b: the means of (.2 .3 .1 .4) and (.2 .5 .1 .2) are (.2 .4 .1 .3), so a follows, not c.
    assert ids(both)[:4] == [1, 2, 1, 2]
    probabilities = [math.exp(step.raw_lp) for step in both.answer.steps[:3]]
    assert probabilities == pytest.approx([0.5, 0.5, 0.4], abs=1e-6)
    assert both.answer.steps[2].entropy == pytest.approx(
        -sum(p * math.log(p) for p in (0.2, 0.4, 0.1, 0.3)), abs=1e-6
    )


async def test_the_geometric_mean_by_hand(mixing, do):
    both = await do("/ensemble a+b mode=geo hello")
    weights = [math.sqrt(p * q) for p, q in zip((0.2, 0.3, 0.1, 0.4), (0.2, 0.5, 0.1, 0.2), strict=True)]
    assert math.exp(both.answer.steps[2].raw_lp) == pytest.approx(max(weights) / sum(weights), abs=1e-6)


async def test_a_contrast_by_hand(mixing, do):
    pool_of(mixing).tables["b"] = {**OTHER, None: (0.1, 0.7, 0.15, 0.05)}
    found = await do("/set max_new 2", "/ensemble b-a hello")
    assert found.model == "b-a"
    # At first b expects (.1 .7 .15 .05), its last is implausible, and a (.1 .5 .3 .1).
    assert math.exp(found.answer.steps[0].raw_lp) == pytest.approx(1.4 / (1 + 1.4 + 0.5), abs=1e-5)
    # After a, b expects (.1 .2 .4 .3) and a (.1 .1 .6 .2): the ratios are 1, 2, 2/3 and 3/2.
    assert ids(found) == [1, 1]
    assert math.exp(found.answer.steps[1].raw_lp) == pytest.approx(2 / (1 + 2 + 2 / 3 + 3 / 2), abs=1e-5)
    assert found.finish == "length"


async def test_a_drawn_answer_is_the_models_own_draw(mixing, do):
    """The noise is keyed as in the engines, so the same seed gives the same mixture again."""
    await do("/set temperature 1", "/set seed 3", "/set max_new 12")
    first = await do("/ensemble a+b hello")
    again = await do("/ensemble a+b hello")
    assert ids(first) == ids(again)
    other = await do("/set seed 4", "/ensemble a+b hello")
    assert ids(other) != ids(first)
    assert first.seed == 3


async def test_it_is_an_answer_like_any_other(mixing, do, screen):
    both = await do("/set max_new 3", "/ensemble a+b hello")
    assert (both.model, both.prompt, both.finish) == ("a+b", "hello", "length")
    assert both.identity.spec.backend == "ensemble"
    assert both.identity.spec.options == {"mode": "mean", "members": ["a", "b"]}
    assert both.origin.how == "ensemble mean"
    told = [name for name, number in screen.log if number == both.id]
    assert told == ["started", "Started", "Step", "Step", "Step", "Finished", "ended"]
    assert both.tokens_per_second is not None
    await mixing.store.flush()
    kept = await mixing.store.exchange(both.id)
    assert kept.answer.text == both.answer.text == " a b a"
    assert {request.model for request in pool_of(mixing).reads} == {"a", "b"}
    count = "SELECT count(*) FROM gen"
    recorded = await mixing.store._read(lambda connection: connection.execute(count).fetchone()[0], 0)
    assert recorded == 1


@pytest.mark.parametrize(
    "line,said_is",
    [
        ("/rerun #1", "#1 was written by several models: /ensemble with its seed writes it again"),
        ("/noise #1", "#1 is not one model's answer: it is the ensemble mean of a+b"),
        ("/logprobs #1 table", "#1 kept no alternatives, and several models wrote it"),
    ],
)
async def test_it_belongs_to_no_model_alone(line, said_is, mixing, do, screen):
    await do("/set max_new 3", "/ensemble a+b hello")
    await mixing.run(line, screen)
    ((text, _),) = screen.said()
    assert text.startswith(said_is)


async def test_a_stop_string_ends_it(mixing, do):
    both = await do("/set stop b", "/ensemble a+a hello")
    assert (both.finish, both.answer.text) == ("stop", " a ")


async def test_what_it_cannot_heed_is_marked(mixing, do):
    both = await do("/set beam 3", "/set max_new 2", "/ensemble a+b hello")
    assert both.marks == ("beam has no effect in an ensemble",)


async def test_names_with_the_signs_in_them(mixing):
    assert members(mixing, "a+b") == (["a", "b"], "mean")
    assert members(mixing, "a-b-c") == (["a-b", "c"], "contrast")
    assert members(mixing, "a-b+c") == (["a-b", "c"], "mean")
    assert members(mixing, "c-a-b") == (["c", "a-b"], "contrast")


async def test_what_cannot_be_mixed_is_said(mixing, do, screen):
    pool_of(mixing).change("b", vocab_fingerprint="other")
    pool_of(mixing).change("c", distributions=False)
    await do("/ensemble", "/ensemble a hi", "/ensemble a+b hi", "/ensemble a+c hi", "/ensemble a+a mode=x hi")
    for line in ("/ensemble a-a mode=geo hi", "/ensemble a+a"):
        await mixing.run(line, screen)
    assert [text for text, _ in screen.said()] == [
        "which models?",
        "'a' is one model",
        "a and b have different vocabularies, so there is nothing to mix",
        "c (full) tells no whole distributions, so it cannot be mixed",
        "'x' is not one of mean, geo",
        "a contrast has no mode",
        "nothing has been asked yet",
    ]
    assert mixing.exchanges == []


async def test_a_member_that_fails_ends_the_answer_with_its_name(mixing, do):
    pool_of(mixing).broken.add("b")
    both = await do("/ensemble a+b hello")
    assert both.state == "failed"
    assert both.error.message == "b: it cannot do that"


async def test_stopping_keeps_what_is_there(mixing, screen):
    pool = pool_of(mixing)
    screen.waits = False
    pool.silent.add("b")
    pool.expect(2)
    await mixing.run("/ensemble a+b hello", screen)
    async with asyncio.timeout(10):
        await pool.asked.wait()
    mixing.stop()
    await mixing.background.settle()
    (both,) = mixing.exchanges
    assert both.state == "stopped"
    assert all(ticket.done for ticket in pool.tickets)


async def test_a_members_replica_is_asked_again(mixing, do):
    await do("/ensemble a+b hello")
    homes = {ticket.home for ticket in pool_of(mixing).tickets[2:]}
    assert homes and all(home is not None for home in homes)


async def test_what_is_written_already_needs_no_telling_again(mixing, do):
    await do("/set max_new 6", "/ensemble a+b hello")
    asked = [ticket.request for ticket in pool_of(mixing).tickets]
    assert {request.known for request in asked} > {0, 1}
    assert all(request.known == len(request.prefix_ids) for request in asked)


async def test_a_pin_holds_for_a_member(mixing, do):
    await do("/pin b/1", "/ensemble a+b hello")
    assert {(t.request.model, t.pin) for t in pool_of(mixing).tickets} == {("a", None), ("b", "b/1")}


@pytest.mark.parametrize("names", ["a+a", "a+b", "a+b+c mode=geo"])
async def test_writing_ahead_changes_nothing_but_the_number_of_requests(mixing, do, monkeypatch, names):
    pool = pool_of(mixing)
    pool.tables["a"] = dict.fromkeys((None, 1, 2, 3), (0.02, 0.4, 0.3, 0.28))
    await do("/set temperature 1", "/set seed 11", "/set max_new 30")
    quick = await do(f"/ensemble {names} hello")
    asked = len(pool.tickets)
    monkeypatch.setattr(lockstep, "FARTHEST", 1)
    slow = await do(f"/ensemble {names} hello")
    assert ids(quick) == ids(slow)
    assert [step.raw_lp for step in quick.answer.steps] == [step.raw_lp for step in slow.answer.steps]
    assert quick.answer.text == slow.answer.text
    assert len(ids(quick)) > 5
    assert asked < len(pool.tickets) - asked
