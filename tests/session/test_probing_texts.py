"""Commands about the tokens of texts and answers, on models worked out by hand."""

import math
from functools import partial

import pytest

from repl.probe.figure import as_json, as_text
from repl.probe.heatmap import HeatMap
from repl.probe.matrix import Cross
from repl.probe.positions import Position, Positions
from repl.probe.segments import Segmentations
from repl.session import commands
from repl.session.frontend import Notice
from tests.session.reader import nats
from tests.session.support import typed
from tests.session.toy import NEXT


@pytest.fixture
def do(library, screen):
    return partial(typed, library, screen)


async def test_logprobs_keeps_alternatives_and_colours(do, library, screen):
    await do("/logprobs on")
    assert library.settings["logprobs"] == 5 and library.heat == "bits"
    await do("/logprobs 3")
    assert library.settings["logprobs"] == 3 and library.heat == "bits"
    await do("/logprobs rank")
    assert library.settings["logprobs"] == 3 and library.heat == "rank"
    assert screen.panes == 3
    await do("/logprobs off")
    assert "logprobs" not in library.settings and library.heat == "off"


async def test_the_last_answers_are_shown_as_heat_maps(do, library):
    figure = await do("hello", "/logprobs entropy")
    assert isinstance(figure, HeatMap)
    assert figure.heat == "entropy"
    assert [r.exchange for r in figure.readings] == [1, 2]
    assert figure.readings[0].totals.nats == pytest.approx(nats(1, 2, 3, 0))


async def test_an_answer_as_table_and_one_position(do, library):
    await do("/logprobs 2", "hello")
    table = await do("/logprobs #1 table")
    assert isinstance(table, Positions)
    rows = as_text(table.rows(120)).split("\n")
    assert rows[2].split()[:4] == ["@1", "·b", f"{-math.log2(0.6):.2f}", "0"]
    assert "▸·b 60.0%  ·c 20.0%" in rows[2]
    position = await do("/logprobs #1 @1")
    assert isinstance(position, Position)
    assert (position.index, position.before, position.token.piece) == (1, " a", b" b")
    drawn = as_text(position.rows(80))
    assert "0.737 bits · p 60.000%" in drawn
    assert as_json(position)["token"]["top"][1]["id"] == 3


async def test_what_an_answer_did_not_keep_its_model_says_again(do, library, screen):
    await do("/use a", "hello")
    figure = await do("/logprobs #1 @0")
    assert isinstance(figure, Position)
    assert [a.id for a in figure.token.top] == [1, 2, 0, 3]
    (notice,) = [n for n in screen.shown if isinstance(n, Notice)]
    assert notice.text == "#1 kept no alternatives: a has read it once more, as #2"
    assert library.coordinator.asked[-1].target_ids == (1, 2, 3, 0)


async def test_an_answer_that_still_runs_is_waited_for(library, screen):
    library.coordinator.silent.add("a")
    await library.run("@a hello", screen)
    await library.run("/logprobs table", screen)
    assert screen.said() == [("#1 has not ended yet", "wait for it, or /stop")]


async def test_a_text_that_was_scored_has_a_table_too(do, library, screen):
    await do("/use a", "/score a b")
    (scored,) = (ticket.request.id for ticket in library.coordinator.tickets)
    table = await do(f"/logprobs #{scored} table")
    assert isinstance(table, Positions)
    assert [(token.piece, len(token.top)) for token in table.tokens[1:]] == [(b" b", 4)]
    (notice,) = [n for n in screen.shown if isinstance(n, Notice)]
    assert notice.text == f"#{scored} kept no alternatives: a has read it once more, as #{scored + 1}"
    assert library.coordinator.asked[-1].target == "a b"


async def test_colours_that_the_panes_show_are_not_shown_again(do, library, screen):
    screen.repaints = True
    assert isinstance(await do("hello", "/logprobs rank"), Notice)
    assert isinstance(await do("/logprobs"), HeatMap)


async def test_a_token_far_down_the_list_is_listed_too(do, library):
    await do("/set temperature 3", "/set seed 3", "/logprobs 1", "/use a", "hello")
    steps = library.exchanges[0].answer.steps
    assert any(step.rank > 0 for step in steps)
    for at in range(len(steps)):
        figure = await do(f"/logprobs #1 @{at}")
        assert sum(row[0].text == "▸" for row in figure.rows(80)) == 1


async def test_tokens_stand_under_the_text(do):
    figure = await do("/tok a b")
    assert isinstance(figure, Segmentations)
    found = figure.models[0]
    # The toy's tokens begin with a space; the text's first has none.
    assert found.ids == (1, 2) and found.aligned and found.bytes_per_token == 1.5
    assert as_json(figure)["models"][0]["round_trip"] is True


async def test_an_answer_is_cut_as_it_was_written_a_prompt_as_it_is_read(do, library):
    await do("/use a", "b", "/tok #1")
    assert library.coordinator.tickets[-1].request.target == " a b c"
    await do("/tok prompt #1")
    request = library.coordinator.asked[-1]
    assert (request.task, request.prompt, request.target) == ("tokenize", "b", "")


async def test_the_diagonal_of_cross_is_each_models_own(do, library):
    library.coordinator.tables["b"] = {**NEXT, None: (0.1, 0.1, 0.1, 0.7)}
    figure = await do("hello", "/cross")
    assert isinstance(figure, Cross)
    for at, answer in enumerate(library.exchanges[:2]):
        own = math.fsum(step.raw_lp for step in answer.answer.steps)
        assert figure.cells[at][at].own
        assert figure.cells[at][at].nats == pytest.approx(own)
        size = len(answer.answer.text.encode())
        assert figure.cells[at][at].bits_per_byte == pytest.approx(-own / math.log(2) / size)
    # b writes c and then its end; a finds that .1 * .4 likely.
    assert figure.cells[0][1].nats == pytest.approx(math.log(0.1 * 0.4))
    assert "[" in as_text(figure.rows(80))


async def test_a_model_that_cannot_leaves_its_row_empty(do, library):
    await do("/use a", "hello", "/compare a b")
    library.coordinator.broken.add("b")
    figure = await do("/cross #1")
    assert figure.cells[1][0].bits_per_byte is None
    assert figure.notes == ("b: it cannot do that",)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("/logprobs maybe", "'maybe' is not one of on, off, bits, rank, entropy or a number"),
        ("/logprobs 0", "0 alternatives cannot be kept"),
        ("/logprobs #1 @99", "#1 has no token @99"),
        ("/logprobs #1 sideways", "'sideways' is not a view"),
        ("/minpair a", "which two texts?"),
        ("/minpair a | b | c", "which two texts?"),
        ("/tok", "which text?"),
        ("/lens", "which text?"),
        ("/lens a b c @7", "a read 3 tokens: there is no @7"),
        ("/cloze", "which text?"),
        ("/classify", "which text?"),
        ("/align #1 x", "'x' is too much"),
        ("/nbest 0", "0 hypotheses cannot be had"),
        ("/nbest lenpen=long", "'long' is no number"),
        ("/nbest some", "'some' is not understood"),
        ("/cross #99", "there is no answer #99"),
    ],
)
async def test_what_cannot_be_done_is_said(do, screen, line, text):
    await do("/use a", "hello", line)
    assert [(n.text, bool(n.hint)) for n in screen.errors()] == [(text, True)]


@pytest.mark.parametrize(
    "command", ["score", "target", "logprobs", "minpair", "tok", "cross", "nbest", "align"]
)
async def test_arguments_are_offered_without_asking_anything(do, library, command):
    await do("/use a", "hello")
    asked = len(library.coordinator.tickets)
    assert all(c.text for c in commands.complete(library, f"/{command} "))
    assert len(library.coordinator.tickets) == asked
