"""Minimal pairs, on models worked out by hand."""

import asyncio
import math
from functools import partial

import msgspec
import pytest

from repl.probe.figure import as_json, as_text
from repl.probe.pairs import MinimalPair, PairReport
from repl.session import commands
from tests.session.reader import nats
from tests.session.support import typed


@pytest.fixture
def do(library, screen):
    return partial(typed, library, screen)


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


async def test_a_line_of_a_file_that_is_no_pair_is_named(do, screen, tmp_path):
    path = tmp_path / "pairs"
    path.write_text('a\tb\n{"sentence_good": "a"}\n')
    await do(f"/minpair @{path}")
    (error,) = screen.errors()
    assert error.text == f"{path} line 2 is no pair"


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
