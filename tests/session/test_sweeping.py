import asyncio
from functools import partial

import pytest
import sacrebleu

from repl.probe.grid import Grid
from repl.probe.utility import Choice
from repl.session.commands.probing.agreeing import reading
from repl.session.commands.probing.sweeping import plan
from repl.session.errors import InputError
from tests.session.support import opened, typed
from tests.session.toy import Toy


@pytest.fixture
async def toy(screen):
    session = opened(Toy, screen, "a", "b", n={"backend": "narrow"}, compare=("a", "b"))
    yield session
    await session.close()


@pytest.fixture
def do(toy, screen):
    return partial(typed, toy, screen)


def figures(screen, kind):
    return [shown for shown in screen.shown if isinstance(shown, kind)]


def test_a_plan_is_read_in_any_spelling():
    found = plan("temperature=.2,.7 top-p=0.9,1 n=4 The cat = x")
    assert found.axes == {"temperature": (0.2, 0.7), "top_p": (0.9, 1.0)}
    assert (found.samples, found.prompt) == (4, "The cat = x")
    assert found.settings[:2] == [{"temperature": 0.2, "top_p": 0.9}, {"temperature": 0.2, "top_p": 1.0}]
    assert plan("n=2 -- a=b c").prompt == "a=b c"
    assert plan("beam=1,1,2").axes == {"beam": (1, 2)}


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("temp=1", "did you mean 'temperature'"),
        ("temperature=x", "temperature = 'x' is not allowed"),
        ("temperature=1 temperature=2", "temperature is there twice"),
        ("n=1,2 x", "n is how many samples"),
        ("stop=a,b x", "stop cannot be swept over"),
        ("n=0 x", "n = 0 is not allowed"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(argument, said):
    with pytest.raises(InputError) as error:
        plan(argument)
    assert said in error.value.message


async def test_a_sweep_asks_every_combination_of_every_model(toy, do, screen):
    await do("/set max_new 6", "/sweep temperature=0,2 top_k=0,2 n=3 hello")
    assert not screen.errors()
    assert "24 answers: 4 settings × 3 samples × 2 models, on 4 replicas" in screen.shown[1].text
    (grid,) = figures(screen, Grid)
    assert len(grid.cells) == 8 and all(len(c.samples) == 3 for c in grid.cells)
    requests = [ticket.request for ticket in toy.coordinator.tickets]
    assert len({(r.model, r.params.temperature, r.params.top_k, r.sample) for r in requests}) == 24
    assert {r.params.seed for r in requests} == {grid.seed}
    assert toy.coordinator.most > 8  # more than one replica had work
    assert toy.exchanges == []  # they are in the record, not in the panes


async def test_rows_at_temperature_zero_are_equal_and_others_are_what_the_seed_draws(toy, do, screen):
    await do("/set max_new 6", "/set seed 5", "/sweep temperature=0,3 n=8 hello")
    (first,) = figures(screen, Grid)
    greedy = [c for c in first.cells if c.settings == {"temperature": 0.0}]
    assert {s.text for c in greedy for s in c.samples} == {" a b c"}
    assert all(c.duplicates == 7 for c in greedy)
    drawn = {c.model: [s.text for s in c.samples] for c in first.cells if c.settings["temperature"]}
    assert len(set(drawn["a"])) > 1 and drawn["a"] == drawn["b"]
    await do("/sweep temperature=3 n=8 hello")
    (again,) = figures(screen, Grid)
    assert [s.text for s in again.cells[0].samples] == drawn["a"]


async def test_without_a_prompt_it_takes_the_last_with_its_history(toy, do, screen):
    await do("one", "two", "/sweep temperature=0,1")
    (grid,) = figures(screen, Grid)
    last = toy.coordinator.tickets[2].request
    swept = toy.coordinator.tickets[4].request
    assert grid.prompt == "two" and (swept.prompt, swept.history) == (last.prompt, last.history)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("/sweep hello", "what is to be varied?"),
        ("/sweep n=100 temperature=1,2,3,4,5,6,7,8,9,10,11 x", "that is 2,200 answers; the most is 2,000"),
        ("/sweep temperature=0,1", "nothing has been asked yet"),
        ("/mbr n=1 x", "the number of samples is 2 to 512"),
        ("/mbr x", "all samples would be equal at temperature 0"),
    ],
)
async def test_what_cannot_be_swept_is_said(do, screen, line, said):
    await do(line)
    assert said in screen.errors()[0].text and screen.errors()[0].hint


async def test_a_model_that_cannot_is_left_out_and_said(toy, do, screen):
    await do("/compare a n", "/sweep top_p=0.5,1 hello")
    (grid,) = figures(screen, Grid)
    assert {c.model for c in grid.cells} == {"a"}
    assert any("n cannot honour top_p: it is left out" in getattr(s, "text", "") for s in screen.shown)
    await do("/use n", "/sweep top_p=0.5,1 hello")
    assert "n cannot honour top_p" in screen.errors()[0].text


async def test_a_failing_model_leaves_the_others(toy, do, screen):
    toy.coordinator.broken.add("b")
    await do("/sweep temperature=0,1 hello")
    (grid,) = figures(screen, Grid)
    assert [s.state for c in grid.cells for s in c.samples] == ["finished"] * 2 + ["failed"] * 2
    assert grid.notes == ("b: it cannot do that",)


async def test_stopping_keeps_what_is_there(toy, screen):
    toy.coordinator.silent.add("b")
    toy.coordinator.expect(8)
    screen.waits = False
    await toy.run("/sweep temperature=0,1 n=2 hello", screen)
    async with asyncio.timeout(20):
        await toy.coordinator.asked.wait()
    await asyncio.gather(*(t.wait() for t in toy.coordinator.tickets if t.request.model == "a"))
    toy.stop()
    await toy.background.settle()
    (grid,) = figures(screen, Grid)
    assert [s.state for c in grid.cells for s in c.samples].count("finished") == 4
    assert grid.title.endswith("4 of 8 answers")
    assert all(ticket.done for ticket in toy.coordinator.tickets)


def test_the_argument_of_mbr():
    assert reading("n=4 bleu two words") == (4, "bleu", "two words")
    assert reading("chrf") == (16, "chrf", "") and reading("-- chrf") == (16, "chrf", "chrf")
    assert reading("exactly so") == (16, "chrf", "exactly so")


async def test_the_best_sample_is_that_of_brute_force(toy, do, screen):
    await do("/use a", "/set temperature 2", "/set seed 1", "/set max_new 8", "/mbr n=24 hello")
    (found,) = figures(screen, Choice)
    drawn = [sample for candidate in found.candidates for sample in candidate.samples]
    texts = [sample.text for sample in sorted(drawn, key=lambda sample: sample.exchange)]
    metric = sacrebleu.CHRF()

    def mean(at):
        return sum(metric.sentence_score(texts[at], [t]).score for i, t in enumerate(texts) if i != at) / 23

    best = max(range(24), key=mean)
    assert found.candidates[0].text == texts[best]
    assert found.candidates[0].utility == pytest.approx(mean(best))
    assert sorted(t.request.sample for t in toy.coordinator.tickets) == list(range(24))
