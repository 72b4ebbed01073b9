import asyncio
import math
from functools import partial

import msgspec
import pytest

from repl.probe.choices import Choices
from repl.probe.figure import as_text
from repl.probe.tokens import Alternative
from repl.probe.tree import Tree
from repl.session.inquiry import Inquiry, inquire
from tests.session.support import opened, typed
from tests.session.toy import Toy


@pytest.fixture
async def toy(screen):
    session = opened(Toy, screen, "a", "b", compare=("a",))
    yield session
    await session.close()


@pytest.fixture
def do(toy, screen):
    return partial(typed, toy, screen)


def ids(exchange):
    return [step.token for step in exchange.answer.steps]


async def test_a_branch_on_the_token_that_stands_there_is_the_same_answer(toy, do):
    await do("hello")
    assert ids(toy.exchanges[0]) == [1, 2, 3, 0]
    for at, token in enumerate((1, 2, 3, 0)):
        await do(f"/branch #1 @{at} #{token}")
    assert [ids(x) for x in toy.exchanges] == [[1, 2, 3, 0]] * 5
    assert [x.origin.position for x in toy.exchanges[1:]] == [0, 1, 2, 3]


@pytest.mark.parametrize("seed", range(12))
async def test_so_it_is_when_the_answer_was_drawn(toy, do, seed):
    await do(f"/set seed {seed}", "/set temperature 2", "/set max_new 6", "hello")
    parent = toy.exchanges[0]
    await do("/set seed 99", "/set temperature 0")
    for at, token in enumerate(ids(parent)):
        await do(f"/branch #{parent.id} @{at} #{token}")
    assert all(ids(x) == ids(parent) for x in toy.exchanges)


async def test_several_branches_at_once_by_rank_number_and_quoted_text(toy, do, screen):
    await do("hello", '/branch @1 ~2 ~3 #1 " a"')
    assert not screen.errors()
    branches = toy.exchanges[1:]
    # After a: b .6, c .2, then the end and a at .1 each.
    assert [ids(x)[:2] for x in branches] == [[1, 3], [1, 0], [1, 1], [1, 1]]
    assert ids(branches[0]) == [1, 3, 0]
    assert {(x.origin.exchange, x.origin.position, x.origin.how) for x in branches} == {(1, 1, "branch")}
    assert all(x.answer.steps[0].forced and x.answer.steps[1].forced for x in branches)
    assert len({x.line for x in branches}) == 1


async def test_free_text_is_written_in_the_models_tokens(toy, do, screen):
    await do("hello", "/branch #1 @1 c", "/branch #1 @1 a c b")
    assert [ids(x) for x in toy.exchanges[1:]] == [[1, 3, 0], [1, 1, 3, 2, 3, 0]]
    assert toy.exchanges[1].request.params == toy.exchanges[0].request.params


async def test_prompt_history_settings_and_sample_stay(toy, do):
    await do("/set temperature 1.5", "/set seed 4", "hello", "/set temperature 0", "/branch @0 ~2")
    parent, child = (x.request for x in toy.exchanges)
    same = ("prompt", "history", "template", "sample", "lane", "params")
    assert all(getattr(parent, name) == getattr(child, name) for name in same)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("/branch", "at which token?"),
        ("/branch 5 ~2", "'5' is not a token's place"),
        ("/branch @9 ~2", "#1 has no token @9"),
        ("/branch @1", "which token should stand there?"),
        ("/branch @1 ~9", "there is no alternative ~9 at @1"),
        ("/branch @1 ~0", "there is no alternative ~0 at @1"),
        ("/branch #77 @1 ~2", "there is no answer #77"),
        ("/handoff", "to which model?"),
        ("/handoff zz @1", "there is no model 'zz'"),
        ("/handoff b @1 x", "'x' is too much"),
    ],
)
async def test_what_cannot_be_done_is_said(do, screen, line, text):
    await do("hello", line)
    assert [t for t, _ in screen.said()] == [text]
    assert all(hint for _, hint in screen.said())


async def test_nothing_can_be_branched_before_the_first_answer(do, screen):
    await do("/branch @0 ~1")
    assert "nothing has been asked yet" in screen.said()[0][0]


async def test_no_room_after_the_last_token_is_said_beforehand(toy, do, screen):
    await do("/set max_new 2", "hello", "/branch @1 ~2")
    assert "max_new was 2" in screen.said()[0][0]
    assert len(toy.exchanges) == 1


async def test_another_model_goes_on_with_tokens_or_with_text(toy, do, screen):
    toy.coordinator.tables["b"] = {**toy.coordinator.tables["b"], 1: (0.1, 0.1, 0.2, 0.6)}
    await do("hello", "/handoff b #1 @1")
    other = toy.exchanges[1]
    assert (other.model, ids(other)) == ("b", [1, 3, 0])
    assert other.request.prefix_ids == (1,) and other.request.prefix == ""
    assert (other.origin.exchange, other.origin.position, other.origin.how) == (1, 1, "handoff")
    replicas = toy.coordinator.replicas
    for name in ("b/0", "b/1"):
        capabilities = msgspec.structs.replace(replicas[name].capabilities, vocab_fingerprint="other")
        replicas[name] = msgspec.structs.replace(replicas[name], capabilities=capabilities)
    await do("/handoff b #1 @2")
    text = toy.exchanges[2]
    assert text.request.prefix == " a b" and text.request.prefix_ids == ()
    assert ids(text) == [1, 2, 3, 0]


async def test_the_tree_shows_the_token_that_differs(toy, do, screen):
    await do("/set logprobs 4", "hello", "/branch #1 @1 ~2 ~4", "/branch #2 @2 #1", "/tree")
    (tree,) = [f for f in screen.shown if isinstance(f, Tree)]
    assert as_text(tree.rows(80)).splitlines() == [
        "#1 a > hello → a b c",
        "├─ #2 branch @1 ·b → ·c …c",
        "│  └─ #4 branch @2 ∅ → ·a …a b c",
        "└─ #3 branch @1 ·b → ·a …a b c",
    ]
    await do("/reset", "other", "/tree #2")
    (tree,) = [f for f in screen.shown if isinstance(f, Tree)]
    assert [n.id for n in tree.nodes] == [1, 2, 3, 4]


async def test_a_text_that_was_scored_is_no_answer_in_the_tree(toy, do, screen):
    await do("hello")
    asked = Inquiry(model="a", prompt="p", target=" a b", target_ids=(1, 2))
    (scored,) = await inquire(toy, [asked])
    await do(f"/tree #{scored.id}")
    (tree,) = [f for f in screen.shown if isinstance(f, Tree)]
    assert as_text(tree.rows(80)).startswith("#2 score a > p → a b")


async def test_a_branch_is_no_turn_of_the_conversation(toy, do):
    await do("one", "/branch @0 ~2", "two")
    first, _, second = toy.exchanges
    assert second.parent is first


async def test_retry_makes_a_branch_again_and_edit_leaves_the_conversation_alone(toy, do, screen):
    await do("one", "/branch @0 ~2", "/retry")
    first, branch, again = toy.exchanges
    assert ids(branch) == ids(again) and again.request.prefix_ids == branch.request.prefix_ids
    assert again.origin == branch.origin
    await do("/edit", "two")
    assert screen.input == "one"
    assert toy.exchanges[-1].parent is first
    await do("/edit #1", "three")
    assert toy.exchanges[-1].parent is None


async def test_stopping_leaves_no_branch_waiting_for_ever(toy, do, screen):
    await do("one")
    toy.coordinator.silent.add("a")
    toy.coordinator.expect(17)  # two for each of eight slots
    screen.waits = False
    await toy.run("/branch #1 @0 " + "#2 " * 40, screen)
    async with asyncio.timeout(20):
        await toy.coordinator.asked.wait()
    assert len(toy.coordinator.tickets) == 17
    assert len(toy.exchanges) == 41
    toy.stop()
    await toy.background.settle()
    assert {x.state for x in toy.exchanges[1:]} == {"stopped"}


async def test_always_taking_the_first_is_greedy(toy, do, screen):
    await do("hello", "/step hello", "/step 1", "/step 1", "/step 1", "/step 1", "/step done")
    assert not screen.errors()
    greedy, kept = toy.exchanges
    assert ids(kept) == ids(greedy) and kept.answer.text == greedy.answer.text
    assert kept.finish == "eos" and kept.origin.how == "step"
    assert all(step.forced for step in kept.answer.steps)
    assert [s.raw_lp for s in kept.answer.steps] == [s.raw_lp for s in greedy.answer.steps]


async def test_steps_by_number_text_and_back(toy, do, screen):
    await do(
        "/step hello", "/step 2", "/step #3", "/step back", "/step c", "/step back", '/step "a c"', "/step"
    )
    at = screen.shown[-1]
    assert isinstance(at, Choices)
    assert at.written == (2, 1, 3) and at.text == " b a c"
    assert [o.id for o in at.options] == [0, 1, 2, 3]
    await do("/step back", "/step back", "/step back")
    assert "this is the beginning" in screen.said()[0][0]
    assert toy.stepping is not None and toy.stepping.text == ""


async def test_a_chosen_end_that_is_not_the_likeliest_ends_too(toy, do, screen):
    await do("/step hello", "/step 1", "/step 3")  # after a: b, c, then the end
    assert toy.stepping.complete
    await do("/step 1")
    assert "complete" in screen.said()[0][0]
    await do("/step done")
    assert ids(toy.exchanges[-1]) == [1, 0] and toy.exchanges[-1].finish == "eos"
    await do("/step done")
    assert "nothing is being written" in screen.said()[0][0]


async def test_what_a_step_shows():
    figure = Choices(
        model="m\x1b[2J",
        prompt="p",
        text=" a\x1b[2J",
        written=(1,),
        options=(
            Alternative(id=2, piece=b" b", nats=math.log(0.5)),
            Alternative(id=3, piece=b"\xff", nats=math.log(0.25)),
        ),
        entropy=math.log(4),
    )
    text = as_text(figure.rows(60))
    assert "\x1b" not in text
    assert "1  ·b     50.00%  1.00   2  ██████████" in text
    assert "2  \\xff   25.00%  2.00   3  █████" in text
    assert "others 25.00% · entropy 2.00 bits" in text


async def test_history_says_what_an_answer_was_made_of(toy, do, screen):
    await do("hello", "/branch @1 ~2", "/history")
    table = screen.shown[-1]
    assert {row[2] for row in table.rows} == {"a", "a, branch of #1"}


async def test_a_resumed_session_goes_on_with_its_conversation_not_with_a_branch(screen, tmp_path):
    for line in ("one", "/branch @0 ~2", None):
        session = opened(Toy, screen, "a", compare=("a",), path=tmp_path / "r.db")
        if line != "one":
            assert await session.resume()
        await session.run(line or "two", screen)
        await asyncio.gather(*(x.ticket.wait() for x in session.exchanges if x.ticket is not None))
        await session.close()
    first, branch, second = session.exchanges
    assert branch.origin.exchange == first.id and second.parent is first
    assert not screen.errors()


async def test_a_sample_of_a_sweep_can_be_retried_and_a_score_cannot(toy, do, screen):
    await do("/set seed 4", "/set temperature 2", "/sweep max_new=5 n=3 hello", "/retry #3")
    swept, again = toy.coordinator.tickets[2].request, toy.exchanges[0].request
    assert (again.sample, again.params.seed, again.prompt) == (swept.sample, 4, "hello") == (2, 4, "hello")
    assert toy.exchanges[0].origin.words == "retry of #3"
    await do("/set temperature 0", "hello", "/branch @1 c b")
    tokenized = next(t for t in toy.coordinator.tickets if t.request.task == "tokenize")
    assert tokenized.request.target == " c b"
    await do("/retry #7")
    assert "#7 is not an answer: a was to tokenize" in screen.said()[0][0]


async def test_steps_typed_faster_than_they_are_answered_wait_for_each_other(toy, screen):
    screen.waits = False
    for line in ("/step hello", "/step 1", "/step 1", "/step 2", "/step back"):
        await toy.run(line, screen)
    await toy.background.settle()
    assert not screen.errors()
    assert toy.stepping.text == " a b" and len(toy.stepping.seen) == 3
