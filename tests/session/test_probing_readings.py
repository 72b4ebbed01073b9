"""Commands that show what models read, not what they write, and lists of answers."""

from functools import partial

import msgspec
import pytest

from repl.messages import Finished, Hypothesis, Started
from repl.probe.attention import Attention, hard
from repl.probe.figure import as_text
from repl.probe.labels import Classes, Cloze
from repl.probe.layers import Layers, LayersAt
from repl.probe.nbest import NBest
from repl.session.frontend import Notice
from tests.session.support import typed


@pytest.fixture
def do(library, screen):
    return partial(typed, library, screen)


async def test_a_lens_shows_what_each_layer_says(do, library):
    figure = await do("/use a", "/lens a b c")
    assert isinstance(figure, Layers)
    rows = as_text(figure.rows(80)).split("\n")
    assert rows[1].split() == ["L1", "·a=", "·b", "·c"]
    assert rows[2].split() == ["L0", "·a=▂", "·b", "▂", "·c", "▂"]
    assert library.coordinator.asked[-1].task == "lens"
    deep = await do("/lens a b c @1")
    assert isinstance(deep, LayersAt)
    assert deep.following == b" c"
    assert as_text(deep.rows(80)).split("\n")[3].split()[:6] == ["0", "·b", "60.65%", "0.72", "1", "3.000"]
    await do("/lens a b c @9")


async def test_a_lens_wider_than_the_screen_goes_on_below(do):
    figure = await do("/use a", "/lens a b c")
    rows = as_text(figure.rows(30)).split("\n")
    assert [row.split() for row in rows if row.strip().startswith("at")] == [
        ["at", "@0"],
        ["at", "@1"],
        ["at", "@2"],
    ]


async def test_gaps_are_filled_side_by_side(do, library):
    figure = await do("/cloze x [MASK] y [MASK]")
    assert isinstance(figure, Cloze)
    assert library.coordinator.asked[-1].params.logprobs == 5
    drawn = as_text(figure.rows(100))
    assert drawn.count("·a  50.00%  1.00") == 4
    assert "x a y a" in drawn


@pytest.mark.parametrize("line,what", [("/cloze x [MASK]", "fills gaps"), ("/classify x", "tells labels")])
async def test_where_no_model_can_it_says_which_one_does(line, what, do, library, screen):
    library.coordinator.broken |= {"a", "b"}
    await do(line)
    ((text, hint),) = screen.said()
    assert text == f"no model here {what}: a, b cannot" and "--config encoders" in hint


async def test_pseudo_log_likelihood_is_for_masked_models(do, screen):
    await do("/cloze pll a b")
    assert [n.text for n in screen.errors()] == ["no configured model is a masked one"]


async def test_a_model_that_has_not_loaded_may_be_the_one(do, library, screen):
    replicas = library.coordinator.replicas
    for name, status in list(replicas.items()):
        capabilities = status.capabilities if name.startswith("a") else None
        replicas[name] = msgspec.structs.replace(status, capabilities=capabilities)
    figure = await do("/use a", "/cloze x [MASK]")
    assert [gaps.model for gaps in figure.models] == ["b"]


async def test_labels_of_several_classifiers_stand_side_by_side(do):
    figure = await do("/classify nice")
    assert isinstance(figure, Classes)
    drawn = as_text(figure.rows(100))
    assert drawn.count("▸75.00%") == 2 and drawn.count("25.00%") == 2


def test_the_hard_alignment_is_the_largest_weight():
    assert hard([(0.2, 0.7, 0.1), (0.5, 0.5, 0.0)]) == ((1, 0), (0, 1))


async def test_attention_is_drawn_with_its_alignment(do, library, monkeypatch):
    hypothesis = Hypothesis(text="a b", tokens=(1, 2), attention=((0.9, 0.1), (0.25, 0.75)))
    serve = library.coordinator.serve

    def served(ticket):
        if not ticket.request.attention:
            serve(ticket)
            return
        real = ticket.deliver
        pieces = (b"uno", b"due")

        def deliver(event):
            if isinstance(event, Started):
                event = msgspec.structs.replace(event, prompt_pieces=pieces)
            if isinstance(event, Finished):
                event = msgspec.structs.replace(event, hypotheses=(hypothesis,))
            real(event)

        ticket.deliver = deliver
        serve(ticket)

    monkeypatch.setattr(library.coordinator, "serve", served)
    await do("/use a", "c")
    figure = await do("/align")
    assert isinstance(figure, Attention)
    assert figure.alignment == ((0, 0), (1, 1))
    rows = as_text(figure.rows(80)).split("\n")
    assert rows[1].split() == ["a", "▸0.90▇", "0.10"]
    assert rows[2].split() == ["b", "0.25▂", "▸0.75▆"]
    assert rows[-1].split() == ["uno→a", "due→b"]


async def test_the_n_best_with_sums_that_add_up_to_the_native_score(do, library):
    figure = await do("/use a", "hello", "/nbest 4")
    assert isinstance(figure, NBest)
    assert len(figure.candidates) == 4
    for candidate in figure.candidates:
        assert candidate.search_mean == pytest.approx(candidate.native)
        assert candidate.raw_nats == pytest.approx(candidate.search_nats)
    assert figure.order == (0, 1, 2, 3)
    request = next(r for r in library.coordinator.asked if r.task == "generate" and r.params.n == 4)
    assert (request.params.beam, request.params.temperature, request.prompt) == (4, 0, "hello")


async def test_all_answers_of_the_last_line_are_searched_together(do, library, screen):
    await do("hello", "/nbest 3")
    figures = [figure for figure in screen.shown if isinstance(figure, NBest)]
    assert [figure.model for figure in figures] == ["a", "b"]
    assert all(len(figure.candidates) == 3 for figure in figures)


async def test_a_model_that_gives_no_list_is_left_out(do, library, screen):
    await do("hello")
    library.coordinator.broken.add("a")
    figure = await do("/nbest 3")
    assert figure.model == "b"
    assert "a is left out: it cannot do that" in [n.text for n in screen.shown if isinstance(n, Notice)]


async def test_another_length_penalty_sorts_them_anew(do):
    figure = await do("/use a", "hello", "/nbest 6 lenpen=0")
    sums = [figure.candidates[at].search_nats for at in figure.order]
    assert sums == sorted(sums, reverse=True)
    assert figure.order != tuple(range(6))
    assert "was" in as_text(figure.rows(100))


async def test_an_answer_that_brought_its_list_is_not_searched_again(do, library):
    await do("/use a", "/set beam 5", "/set n 5", "hello")
    before = len([r for r in library.coordinator.asked if r.task == "generate"])
    figure = await do("/nbest 3")
    assert len(figure.candidates) == 3 and figure.exchange == 1
    assert len([r for r in library.coordinator.asked if r.task == "generate"]) == before
