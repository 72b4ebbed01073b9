"""Blocks, windows and positions, against a transcript whose rows were laid out one by one."""

from hypothesis import given
from hypothesis import strategies as st

from repl.tui.views.lines import Line
from repl.tui.views.transcript import LINES_PER_BLOCK, Block, Position, Transcript

TEXTS = st.lists(st.lists(st.text(alphabet="ab 漢", max_size=12), max_size=4), max_size=5)


def transcript(*blocks: list[str]) -> Transcript:
    made = Transcript()
    made.blocks += [Block([Line(text) for text in lines]) for lines in blocks]
    return made


def all_rows(made: Transcript, width: int) -> list[tuple[str, Position]]:
    rows = []
    for b, block in enumerate(made.blocks):
        for n in range(len(block)):
            line = block[n]
            rows += [
                (line.text[slice(*line.row(r, width))], Position(b, n, r))
                for r in range(len(line.cuts(width)))
            ]
    return rows


@given(TEXTS, st.integers(1, 9), st.integers(0, 6))
def test_without_a_position_the_window_shows_the_end(
    blocks: list[list[str]], width: int, height: int
) -> None:
    made = transcript(*blocks)
    rows, top = made.window(None, width, height)
    expected = all_rows(made, width)
    assert [row.text for row in rows] == [text for text, _ in expected[max(0, len(expected) - height) :]]
    assert top is None


@given(TEXTS, st.integers(1, 9), st.integers(1, 6), st.data())
def test_a_window_begins_at_its_position_until_the_end_is_in_it(
    blocks: list[list[str]], width: int, height: int, data: st.DataObject
) -> None:
    made = transcript(*blocks)
    expected = all_rows(made, width)
    if not expected:
        return
    at = data.draw(st.integers(0, len(expected) - 1))
    rows, top = made.window(expected[at][1], width, height)
    if at + height < len(expected):
        assert [row.text for row in rows] == [text for text, _ in expected[at : at + height]]
        assert top == expected[at][1]
    else:
        assert [row.text for row in rows] == [text for text, _ in expected[-height:]]
        assert top is None


@given(TEXTS, st.integers(1, 9), st.integers(-8, 8), st.data())
def test_moving_counts_rows_and_stays_inside(
    blocks: list[list[str]], width: int, by: int, data: st.DataObject
) -> None:
    made = transcript(*blocks)
    places = [position for _, position in all_rows(made, width)]
    if not places:
        return
    at = data.draw(st.integers(0, len(places) - 1))
    assert made.moved(places[at], by, width) == places[min(max(0, at + by), len(places) - 1)]


def test_a_position_that_is_gone_moves_to_the_nearest_before_it() -> None:
    made = transcript(["a", "b"], ["c"] * 9)
    rows, top = made.window(Position(0, 7, 3), 5, 2)
    assert [row.text for row in rows] == ["b", "c"]
    assert top == Position(0, 1, 0)


def test_extracting_joins_logical_lines_not_rows() -> None:
    made = transcript(["first line that wraps"], ["second", "third"])
    assert made.extract((0, 6), (LINES_PER_BLOCK, 3)) == "line that wraps\nsec"
    assert made.extract((0, 0), (1 << 60, 0)) == "first line that wraps\nsecond\nthird"


def test_appending_to_a_block_continues_its_last_line() -> None:
    block = Block()
    for part in ("one ", "line\n", "", "two\nthr", "ee"):
        block.append(part)
    assert [line.text for line in block.body] == ["one line", "two", "three"]
    assert block.text == "one line\ntwo\nthree"


def test_rewriting_keeps_what_agrees_and_marks_the_rest() -> None:
    block = Block()
    block.append("same\nfive six\nlast")
    kept = block.body[0]
    block.rewrite("same\nfive seven", "rewritten")
    assert block.body[0] is kept
    assert block.text == "same\nfive seven"
    assert [(s.start, s.end, s.style) for s in block.body[1].spans] == [(6, 10, "rewritten")]
    block.rewrite("same\nfive seven")
    assert block.body[1].spans == []


@given(st.text(alphabet="ab\n", max_size=20), st.text(alphabet="ab\n", max_size=20))
def test_a_rewritten_block_reads_as_the_new_text(old: str, new: str) -> None:
    block = Block()
    block.append(old)
    block.rewrite(new, "rewritten")
    assert block.text == new
