"""Wrapping: known cases, and properties over text of every width."""

import re

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from repl.tui.views.lines import Line, Span, expand_tabs, next_row, pieces

TEXT = st.text(alphabet=st.sampled_from("ab  cde\t-漢字ｱé\u0301\u0308🙂"), max_size=60)
WIDTH = st.integers(1, 24)


def rows(text: str, width: int, lead: str = "") -> list[str]:
    line = Line(text, lead=lead)
    return [line.text[slice(*line.row(i, width))] for i in range(len(line.cuts(width)))]


def test_words_stay_whole_and_spaces_hang_over_the_edge() -> None:
    assert rows("the quick brown fox", 9) == ["the quick ", "brown fox"]
    assert rows("the quick", 9) == ["the quick"]
    assert rows("ab    cd", 3) == ["ab    ", "cd"]


def test_a_word_longer_than_the_row_is_cut() -> None:
    assert rows("abcdefgh", 3) == ["abc", "def", "gh"]
    assert rows("a bcdefgh", 4) == ["a ", "bcde", "fgh"]


def test_an_indent_alone_is_never_a_row() -> None:
    assert rows("    abcdef", 6) == ["    ab", "cdef"]


def test_double_width_characters_break_between_themselves() -> None:
    assert rows("漢字漢字", 5) == ["漢字", "漢字"]
    assert rows("ab漢字", 4) == ["ab漢", "字"]


def test_a_combining_mark_stays_with_its_letter() -> None:
    assert rows("abce\u0301", 4) == ["abce\u0301"]
    assert rows("abcde\u0301f", 5) == ["abcde\u0301", "f"]


def test_an_empty_line_has_one_row() -> None:
    assert rows("", 10) == [""]


def test_tabs_reach_the_next_stop_wherever_they_are_appended() -> None:
    assert expand_tabs("a\tb") == "a   b"
    line = Line("漢")
    line.append("\tb")
    assert line.text == "漢  b"


def test_the_lead_narrows_every_row() -> None:
    assert rows("one two three", 9, lead="> ") == ["one two ", "three"]
    assert Line("x", lead="a long lead").indent(9) == 6


@given(TEXT, WIDTH)
def test_rows_partition_the_text_and_fit(text: str, width: int) -> None:
    line = Line(text)
    cut = [line.text[slice(*line.row(i, width))] for i in range(len(line.cuts(width)))]
    assert "".join(cut) == line.text
    for row in cut:
        visible = re.sub("[ ][ \u0301\u0308]*$", "", row)  # what hangs over the edge is clipped
        assert cell_len(visible) <= width or sum(cell_len(c) > 0 for c in visible) == 1


@given(st.lists(TEXT, max_size=8), WIDTH)
def test_appending_wraps_as_if_written_at_once(parts: list[str], width: int) -> None:
    grown = Line()
    grown.cuts(width)
    for part in parts:
        grown.append(part)
    assert grown.text == Line("".join(parts)).text
    assert grown.cuts(width) == Line("".join(parts)).cuts(width)


@given(st.text(alphabet="ab  c", max_size=60), WIDTH)
def test_plain_and_wide_text_follow_the_same_rule(text: str, width: int) -> None:
    def all_cuts(s: str) -> list[int]:
        cuts, at = [], 0
        while (at := next_row(s, at, width)) < len(text):
            cuts.append(at)
        return cuts

    # The accent sends the second call down the general path without changing any width.
    assert all_cuts(text) == all_cuts(text + "\u0301")


def test_spans_cut_a_row_and_the_later_one_wins() -> None:
    spans = (Span(2, 8, "mark"), Span(4, 6, "cursor"))
    assert list(pieces(0, 5, "plain", spans)) == [(0, 2, "plain"), (2, 4, "mark"), (4, 5, "cursor")]
    assert list(pieces(3, 3, "plain", spans)) == []
