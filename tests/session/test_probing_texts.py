"""The commands that look into a text, on models worked out by hand."""

import asyncio
import math
from itertools import product

import msgspec
import pytest

from repl.messages import Finished, Hypothesis, Started
from repl.probe.attention import Attention, hard
from repl.probe.figure import as_json, as_text
from repl.probe.heatmap import HeatMap
from repl.probe.labels import Classes, Cloze
from repl.probe.layers import Layers, LayersAt
from repl.probe.matrix import Cross
from repl.probe.nbest import NBest
from repl.probe.pairs import MinimalPair, PairReport
from repl.probe.positions import Position, Positions
from repl.probe.segments import Segmentations
from repl.readings import Filled, Labelled, Lens, LensCell, Tokenized
from repl.session import commands
from repl.session.frontend import Notice
from repl.session.session import Session
from repl.session.store import Store
from tests.session.reader import Reader, ids_of, nats
from tests.session.support import config
from tests.session.toy import NEXT, PIECES


class Library(Reader):
    """Serves the tasks that draw no text, too, and beams."""

    def __init__(self, models):
        super().__init__(models)
        for name, status in self.replicas.items():
            kind = msgspec.structs.replace(status.capabilities, attention=True, kind="seq2seq")
            self.replicas[name] = msgspec.structs.replace(status, capabilities=kind)

    def serve(self, ticket):
        request = ticket.request
        answer = self.reading(request)
        if answer is None or request.model in self.broken:
            super().serve(ticket)
            return
        self.asked.append(request)
        pieces = tuple(f" {word}".encode() for word in request.prompt.split())
        ticket.place(f"{request.model}/0")
        ids = tuple(range(len(pieces)))
        ticket.deliver(
            Started(id=request.id, prompt_ids=ids, prompt_text=request.prompt, prompt_pieces=pieces)
        )
        ticket.deliver(answer)

    def reading(self, request):
        match request.task:
            case "tokenize" if request.prompt:
                ids = ids_of(request.prompt)
                pieces = tuple(PIECES[token] for token in ids)
                reading = Tokenized(
                    ids=tuple(ids), pieces=pieces, unknown=(False,) * len(ids), decoded=request.prompt
                )
                return done(request, reading)
            case "classify":
                labels = (("good", math.log(0.75)), ("bad", math.log(0.25)))
                return done(request, Labelled(labels=labels))
            case "fill":
                gap = ((1, math.log(0.5), b" a"), (2, math.log(0.25), b" b"))
                return done(request, Filled(gaps=(gap, gap), texts=("x a y a", "x b y b")))
            case "lens":
                cells = [
                    tuple(
                        LensCell(token=t, piece=PIECES[t], raw_lp=-0.5, rank=None if t == 3 else t - 1, kl=kl)
                        for t in (1, 2, 3)
                    )
                    for kl in (math.log(2) * 3, 0.0)
                ]
                return done(request, Lens(ids=(1, 2, 3), pieces=PIECES[1:], layers=tuple(cells)))
            case "generate" if request.params.beam > 1:
                return beams(request)
        return None


def done(request, reading):
    return Finished(id=request.id, reason="done", text="", reading=reading)


def beams(request):
    """The best of all texts of at most three tokens, by the mean over their length."""
    found = []
    for length in (1, 2, 3):
        for ids in product((1, 2, 3), repeat=length - 1):
            whole = (*ids, 0)
            last, scores = None, []
            for token in whole:
                scores.append(math.log(NEXT[last][token]))
                last = token
            found.append((sum(scores) / length**request.params.length_penalty, whole, tuple(scores)))
    found.sort(reverse=True)
    hypotheses = tuple(
        Hypothesis(
            text="".join(PIECES[i].decode() for i in ids), tokens=ids, score=score, token_scores=scores
        )
        for score, ids, scores in found[: request.params.n]
    )
    return Finished(id=request.id, reason="eos", text=hypotheses[0].text, hypotheses=hypotheses)


@pytest.fixture
async def library(screen):
    chosen = config("a", "b")
    session = Session(chosen, Library(list(chosen.models.values())), Store(None))
    session.listen(screen)
    yield session
    await session.close()


@pytest.fixture
def do(library, screen):
    async def do(*lines):
        screen.shown.clear()
        for line in lines:
            await library.run(line, screen)
            for exchange in library.exchanges:
                if exchange.ticket is not None:
                    await exchange.ticket.wait()
        return screen.last if screen.shown else None

    return do


# -- /logprobs ---------------------------------------------------------------------------------------------


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
    assert "has scored it again as #2" in notice.text
    assert library.coordinator.asked[-1].target_ids == (1, 2, 3, 0)


async def test_a_token_far_down_the_list_is_listed_too(do, library):
    await do("/set temperature 3", "/set seed 3", "/logprobs 1", "/use a", "hello")
    steps = library.exchanges[0].answer.steps
    assert any(step.rank > 0 for step in steps)
    for at in range(len(steps)):
        figure = await do(f"/logprobs #1 @{at}")
        assert sum(row[0].text == "▸" for row in figure.rows(80)) == 1


# -- /minpair ----------------------------------------------------------------------------------------------


async def test_a_pair_is_the_difference_of_the_sums(do):
    figure = await do("/minpair a b c | a c b")
    assert isinstance(figure, MinimalPair)
    assert figure.pairs[0].difference == pytest.approx(nats(1, 2, 3) - nats(1, 3, 2))
    assert as_json(figure)["pairs"][0]["difference"] == pytest.approx(math.log(0.6 * 0.4 / (0.2 * 0.2)))
    drawn = as_text(figure.rows(100))
    assert "prefers" in drawn and "≠" in drawn


async def test_a_context_goes_before_both(do, library):
    figure = await do("/minpair c => a | b")
    assert figure.pairs[0].difference == pytest.approx(math.log(0.3 / 0.2))


async def test_a_file_of_pairs_gives_an_accuracy_in_either_form(do, tmp_path):
    good = [("a b", "a a", "x"), ("b c", "b b", "x"), ("c b", "c a", "y"), ("a b", "a b", "y")]
    tab = tmp_path / "pairs.tsv"
    tab.write_text("".join(f"{g}\t{b}\t{u}\n" for g, b, u in good))
    lines = tmp_path / "pairs.jsonl"
    lines.write_text(
        "".join(
            msgspec.json.encode({"sentence_good": g, "sentence_bad": b, "UID": u}).decode() + "\n"
            for g, b, u in good
        )
    )
    for path in (tab, lines):
        figure = await do(f"/minpair @{path}")
        assert isinstance(figure, PairReport)
        (judgement, _) = figure.judgements
        # .6 against .1; .4 against .1; .2 against .3; a tie.
        assert [j.right for j in judgement.judged] == [True, True, False, False]
        assert (judgement.accuracy.right, judgement.accuracy.count, judgement.accuracy.ties) == (2, 4, 1)
        assert {name: g.right for name, g in judgement.groups.items()} == {"x": 2, "y": 0}
        assert as_json(figure)["judgements"][0]["accuracy"]["share"] == 0.5
        drawn = as_text(figure.rows(120))
        assert "50.00%  15.00% to 85.00%" in drawn and "a gets wrong  2" in drawn


async def test_a_pair_that_fails_is_listed_and_not_counted(do, tmp_path):
    path = tmp_path / "pairs"
    path.write_text("a b\ta a\nx\ta\n")
    figure = await do(f"/minpair @{path}")
    judgement = figure.judgements[0]
    assert (judgement.accuracy.right, judgement.accuracy.count) == (1, 1)
    assert "✗ line 2: no token for 'x'" in as_text(figure.rows(100))


async def test_a_thousand_pairs(do, library, tmp_path):
    path = tmp_path / "pairs"
    path.write_text("a b\ta a\n" * 1000)
    figure = await do(f"/minpair @{path}")
    assert figure.judgements[1].accuracy.right == 1000
    assert library.coordinator.most <= 32


async def test_a_file_that_is_stopped_leaves_nothing_on_its_way(library, screen, tmp_path):
    path = tmp_path / "pairs"
    path.write_text("a b\ta a\n" * 1000)
    screen.waits = False
    library.coordinator.silent.add("b")
    stuck = asyncio.Event()

    def changed():
        if [work.done for work in library.background.works] == [2]:
            stuck.set()

    library.background.changed = changed
    await library.run(f"/minpair @{path}", screen)
    async with asyncio.timeout(60):
        await stuck.wait()
    await library.run("/stop", screen)
    await library.background.settle()
    tickets = library.coordinator.tickets
    assert all(ticket.done for ticket in tickets)
    assert len(tickets) < 1000
    assert [n.text for n in screen.shown] == ["/minpair was stopped"]


# -- /tok --------------------------------------------------------------------------------------------------


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


# -- /cross ------------------------------------------------------------------------------------------------


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


# -- /lens, /cloze, /classify, /align, /nbest --------------------------------------------------------------


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


async def test_pseudo_log_likelihood_is_for_masked_models(do, screen):
    await do("/cloze pll a b")
    assert [n.text for n in screen.errors()] == ["no configured model is a masked one"]


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


async def test_files_are_offered_as_they_are_spelled(library, tmp_path):
    (tmp_path / "texts").touch()
    (tmp_path / "more").mkdir()
    for command in ("score", "minpair"):
        line = f"/{command} @{tmp_path}/"
        found = [line[: c.start] + c.text for c in commands.complete(library, line)]
        assert found == [f"{line}more/", f"{line}texts"]
        found = [c.text for c in commands.complete(library, f"/{command} @{tmp_path}/te")]
        assert found == [f"@{tmp_path}/texts"]
    assert commands.complete(library, "/score @/no/such/folder/") == []


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


async def test_a_line_of_a_file_that_is_no_pair_is_named(do, screen, tmp_path):
    path = tmp_path / "pairs"
    path.write_text('a\tb\n{"sentence_good": "a"}\n')
    await do(f"/minpair @{path}")
    (error,) = screen.errors()
    assert error.text == f"{path} line 2 is no pair"


@pytest.mark.parametrize(
    "command", ["score", "target", "logprobs", "minpair", "tok", "cross", "nbest", "align"]
)
async def test_arguments_are_offered_without_asking_anything(do, library, command):
    await do("/use a", "hello")
    asked = len(library.coordinator.tickets)
    assert all(c.text for c in commands.complete(library, f"/{command} "))
    assert len(library.coordinator.tickets) == asked
