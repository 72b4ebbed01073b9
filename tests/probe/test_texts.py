"""Pure parts of what looks into one text, worked out by hand."""

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from repl.messages import Step
from repl.probe.attention import Attention
from repl.probe.figure import as_json, as_text
from repl.probe.heatmap import Reading
from repl.probe.labels import Classes, Labels
from repl.probe.matrix import Cell, Column, Cross
from repl.probe.nbest import Candidate, NBest
from repl.probe.options import bar, choose, softmax
from repl.probe.pairs import Judged, Judgement, MinimalPair, Pair, PairReport, wilson
from repl.probe.segments import Segmentation, Segmentations
from repl.probe.tokens import Token, tokens, totals


def reading(*tokens, model="m"):
    return Reading(
        model=model, tokens=tuple(Token(id=1, piece=p, nats=-bits * math.log(2)) for p, bits in tokens)
    )


def segmentation(text, *pieces, model="m", decoded=None):
    return Segmentation(
        model=model,
        ids=tuple(range(len(pieces))),
        pieces=pieces,
        unknown=(False,) * len(pieces),
        decoded=text if decoded is None else decoded,
        text=text,
    )


@pytest.mark.parametrize(
    ("right", "count", "low", "high"),
    # The last is method 3 in Newcombe (1998), table I; the others come out of z = 1.96 by hand.
    [(0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (5, 10, 0.2366, 0.7634), (81, 263, 0.2553, 0.3662)],
)
def test_wilsons_interval(right, count, low, high):
    assert wilson(right, count) == pytest.approx((low, high), abs=6e-5)


def test_without_a_pair_nothing_is_known():
    assert wilson(0, 0) == (0.0, 1.0)
    empty = Judgement(model="m", judged=(Judged(line=1, good="a", bad="b", error="no"),))
    assert math.isnan(empty.accuracy.share) and math.isnan(empty.margin)
    assert "✗ line 1: no" in as_text(PairReport(file="f", judgements=(empty,)).rows(80))
    assert as_json(PairReport(file="f", judgements=(empty,)))["judgements"][0]["margin"] == "nan"


@given(st.integers(0, 500), st.integers(1, 500))
def test_the_interval_holds_the_share_and_narrows(right, count):
    right = min(right, count)
    low, high = wilson(right, count)
    assert 0 <= low <= right / count <= high <= 1
    wider, narrower = wilson(right, count), wilson(10 * right, 10 * count)
    assert narrower[1] - narrower[0] < wider[1] - wider[0]


def test_shares_of_impossible_options():
    assert softmax([-math.inf, 0.0]) == [0.0, 1.0]
    assert softmax([-math.inf, -math.inf]) == [0.5, 0.5]
    choice = choose("m", ["a", "b"], [reading((b"a", 1)), reading((b"b", math.inf))])
    assert [option.share for option in choice.options] == [1.0, 0.0]


def test_bars():
    assert bar(1, 4) == "████" and bar(0.5, 4) == "██" and bar(1 / 32, 4) == "▏" and bar(0, 4) == ""
    assert bar(2, 4) == "████" and bar(-1, 4) == ""


def test_a_pair_of_equals_and_of_impossible_texts_is_a_tie():
    same = Pair(a=reading((b"a", 2)), b=reading((b"b", 2)))
    assert same.difference == 0
    never = Pair(a=reading((b"a", math.inf)), b=reading((b"b", math.inf)))
    assert never.difference == 0
    rows = as_text(MinimalPair(a="a", b="b", pairs=(same,)).rows(100))
    assert "neither" in rows


def test_the_tokens_of_a_pair_match_on_their_bytes_whatever_the_tokenizer():
    a = reading((b"The", 1), (b" ca", 2), (b"t", 3), (b" sits", 4))
    b = reading((b"The", 1), (b" cat", 6), (b" sit", 1))
    rows = as_text(MinimalPair(a="", b="", pairs=(Pair(a=a, b=b),)).rows(100)).split("\n")
    table = [row.split() for row in rows[-3:]]
    assert table[0] == ["The", "1.00", "The", "1.00", "+0.00"]
    assert table[1] == ["·ca|t", "5.00", "·cat", "6.00", "+1.00"]
    assert table[2] == ["≠", "·sits", "4.00", "·sit", "1.00", "-3.00"]


def test_tokens_of_several_models_stand_under_the_text():
    text = "a café"
    models = (
        segmentation(text, b"a", " café".encode(), model="x"),
        segmentation(text, b" a", b" caf", b"\xc3", b"\xa9", model="long"),
    )
    figure = Segmentations(text=text, models=models)
    rows = as_text(figure.rows(60)).split("\n")
    at = next(n for n, row in enumerate(rows) if row.startswith("x    "))
    block = next(n for n in range(at, len(rows)) if "│" in rows[n])
    assert rows[block - 1] == "      a ·caf  é"
    assert rows[block] == "x    │a│·caf  é"
    assert rows[block + 1] == "long │a│·caf││é"


def test_what_a_model_changes_is_said_and_drawn_apart():
    changed = segmentation("ABC", b"a", b"b", model="lower", decoded="ab")
    figure = Segmentations(text="ABC", models=(changed,))
    assert not changed.aligned and not changed.round_trip
    drawn = as_text(figure.rows(60))
    assert "≠ ab" in drawn and "≠ not in line with the text: lower changes it" in drawn
    assert as_json(figure)["models"][0]["bytes_per_token"] == 1.5


@given(st.text(min_size=1, max_size=30), st.lists(st.integers(1, 90), max_size=12), st.integers(30, 80))
def test_every_token_has_one_bar_and_no_row_is_too_wide(text, cuts, width):
    data = text.encode()
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[a:b] for a, b in pairwise(edges)]
    figure = Segmentations(text=text, models=(segmentation(text, *pieces, model="m"),))
    found = [row for row in figure.rows(width) if row and row[0].style == "muted" and row[0].text == "m "]
    extra = text.count("│")
    assert sum(row[1].text.count("│") for row in found) == len(pieces) + extra
    widest = max((len(p) for p in pieces), default=0) + 12
    assert all(cell_len("".join(s.text for s in row)) <= max(width, widest) for row in found)


def test_another_length_penalty_sorts_anew():
    candidates = (
        Candidate(text="long", length=4, native=-0.5, search_nats=-2.0, raw_nats=-2.5),
        Candidate(text="short", length=1, native=-1.0, search_nats=-1.0),
    )
    figure = NBest(model="m", exchange=1, prompt="p", candidates=candidates, lenpen=1.0)
    assert figure.order == (0, 1)
    again = NBest(model="m", exchange=1, prompt="p", candidates=candidates, lenpen=1.0, resorted=0.0)
    assert again.order == (1, 0)
    assert as_json(again)["order"] == [1, 0]
    rows = as_text(again.rows(100)).split("\n")
    assert rows[1].split() == ["1", "was", "2", "-1.0000", "-1.0000", "–", "1", "-1.0000", "-1.0000", "short"]
    assert candidates[0].penalised(2.0) == -0.125


def test_the_cross_marks_its_own_and_the_best():
    cells = (
        (Cell(bits_per_byte=1.0, own=True), Cell(bits_per_byte=None)),
        (Cell(bits_per_byte=2.0), Cell(bits_per_byte=0.5, own=True)),
    )
    answers = (Column(exchange=1, model="a", text="x"), Column(exchange=2, model="b", text="y"))
    rows = as_text(Cross(models=("a", "b"), answers=answers, cells=cells).rows(80)).split("\n")
    assert rows[1].split() == ["a", "▸[1.000]▄", "–"]
    assert rows[2].split() == ["b", "2.000", "▇", "▸[0.500]▂"]


def test_a_source_wider_than_the_screen_goes_on_below():
    weights = ((0.0, 1.0, 0.0, 0.0, 0.0),)
    source = tuple(f"word{n}".encode() for n in range(5))
    figure = Attention(
        model="m", exchange=1, source=source, target=(b"\x1b[2Jx",), weights=weights, alignment=((1, 0),)
    )
    rows = as_text(figure.rows(24)).split("\n")
    heads = [row.split() for row in rows if "word" in row and "→" not in row]
    assert heads == [["word0", "word1"], ["word2", "word3"], ["word4"]]
    assert "\x1b" not in "".join(rows)


def test_classifiers_of_other_labels_stand_one_after_another():
    models = (
        Labels(model="a", exchange=1, labels=(("x", math.log(0.75)), ("y", math.log(0.25))), exclusive=True),
        Labels(model="b", exchange=2, labels=(("z", math.log(0.5)),), exclusive=False),
    )
    rows = as_text(Classes(text="t", models=models).rows(80)).split("\n")
    assert [row.split()[0] for row in rows[:5]] == ["a", "x", "y", "b", "z"]
    assert any("each label is a question of its own" in row for row in rows)


def step(index, piece, text, lp=-1.0):
    return Step(id=1, index=index, token=index, piece=piece, text=text, raw_lp=lp)


def test_words_of_a_dictionary_get_the_space_that_only_their_text_has():
    found = tokens([step(0, b"two", "two"), step(1, b"hundred", " hundred"), step(2, b"</s>", "")])
    assert [token.piece for token in found] == [b"two", b" hundred", b"</s>"]


def test_what_is_not_seen_has_no_bytes_to_share_the_bits():
    found = tokens([step(0, b" caf\xc3", " caf"), step(1, b"\xa9", "é"), step(2, b"<|end|>", "")])
    assert totals(found).bytes == len(" café".encode())
    assert totals(found[1:]).bytes == 2
    assert totals(tokens([step(0, b"ab", "")])).bytes == 2
