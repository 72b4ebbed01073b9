import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from repl.probe.figure import as_json, as_text
from repl.probe.grid import Grid, Sample, cell, distinct


def sample(number, text, tokens=2, bits=1.0, state="finished"):
    return Sample(exchange=number, text=text, tokens=tokens, bits=bits, state=state)


def test_distinct_counts_words_and_pairs_by_hand():
    texts = ["a b a", "a b"]
    assert distinct(texts, 1) == pytest.approx(2 / 5)
    assert distinct(texts, 2) == pytest.approx(2 / 3)  # a-b, b-a, a-b; none across the texts
    assert math.isnan(distinct(["a"], 2)) and math.isnan(distinct([], 1))


@given(st.lists(st.text(alphabet="ab ", max_size=12), min_size=1))
def test_distinct_is_a_share_and_one_where_nothing_repeats(texts):
    share = distinct(texts, 1)
    words = [word for text in texts for word in text.split()]
    assert math.isnan(share) if not words else share == len(set(words)) / len(words)


def test_a_cell_sums_up_what_has_finished():
    found = cell(
        "m", {}, [sample(1, "a b", 2, 1.0), sample(2, "a b", 6, 3.0), sample(3, "", 0, None, "stopped")]
    )
    assert (found.duplicates, found.tokens, found.bits) == (1, 4.0, 2.5)
    assert len(found.samples) == 3
    empty = cell("m", {}, [sample(1, "", 0, None, "failed")])
    assert math.isnan(empty.tokens) and empty.bits is None and empty.duplicates == 0


def grid(cells, **fields):
    named = {"prompt": "p\x1b[2J", "seed": 3, "axes": (("temperature", ("0.2", "0.7")),), "wanted": 4}
    return Grid(cells=tuple(cells), **{**named, **fields})


def test_a_grid_shows_each_setting_with_its_texts():
    figure = grid(
        [
            cell("m", {"temperature": 0.2}, [sample(1, "same"), sample(2, "same")]),
            cell("m", {"temperature": 0.7}, [sample(3, "one\x1b[31m"), sample(4, "two", state="failed")]),
        ],
        notes=("m: it fell over",),
    )
    text = as_text(figure.rows(80))
    assert "\x1b" not in text + figure.title
    assert figure.title.endswith("3 of 4 answers")
    lines = text.splitlines()
    assert lines[0] == "≠ m: it fell over"
    assert [line.split() for line in lines[3:5]] == [
        ["0.2", "2", "0.500", "–", "1", "2.0", "1.000"],
        ["0.7", "1", "1.000", "–", "0", "2.0", "1.000"],
    ]
    assert "  #1 ×2 same" in lines and "  ✗ 1 failed" in lines
    assert as_json(figure)["cells"][1]["samples"][1]["state"] == "failed"


@given(st.lists(st.text(max_size=60), max_size=9), st.integers(30, 120))
def test_texts_stay_on_their_row(texts, width):
    figure = grid([cell("m", {"temperature": 1.0}, [sample(i, text) for i, text in enumerate(texts)])])
    rows = figure.rows(width)
    heads = [row for row in rows if row and row[0].text.startswith("  #")]
    assert all(sum(cell_len(span.text) for span in row) <= width for row in heads)
    assert all("\n" not in span.text for row in rows for span in row)
