"""Where tokens stand in an answer's lines, whatever became of its text, and how their heat is drawn."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from repl.messages import Step
from repl.tui.tokens.layer import Place, TokenLayer, offsets, places, style_of
from repl.tui.views.lines import Line
from repl.tui.views.transcript import Block

TEXTS = st.lists(st.text(alphabet="ab \n漢", max_size=4), max_size=8)


def step(text: str, bits: float | None = None, **fields: object) -> Step:
    lp = None if bits is None else -bits * 0.6931471805599453
    return Step(id=1, index=0, token=1, piece=text.encode(), text=text, raw_lp=lp, **fields)


@given(TEXTS)
def test_each_token_stands_where_the_tokens_before_it_end(texts: list[str]) -> None:
    found = offsets(texts, "".join(texts))
    assert ["".join(texts)[a:b] for a, b in pairwise(found)] == texts


def test_what_a_stop_string_cut_off_has_no_extent() -> None:
    assert offsets(["one", " two", " STOP"], "one two") == [0, 3, 7, 7]
    assert offsets(["one", " two", " STOP"], "one t") == [0, 3, 5, 5]


def test_a_middle_that_was_changed_belongs_to_its_first_token() -> None:
    # "don 't know" became "don't know": the space between the first tokens is gone.
    texts = ["don", " 't", " know"]
    found = offsets(texts, "don't know")
    assert ["don't know"[a:b] for a, b in pairwise(found)] == ["don", "'t", " know"]


@given(TEXTS, st.text(alphabet="ab \n漢", max_size=12))
def test_places_in_any_final_text_ascend_and_cover_it(texts: list[str], final: str) -> None:
    found = offsets(texts, final)
    assert len(found) == len(texts) + 1
    assert found == sorted(found)
    assert found[-1] == len(final)


def test_places_count_lines_and_columns_as_drawn() -> None:
    assert places("ab\n\tcd\n", [0, 2, 3, 4, 7]) == [(0, 0), (0, 2), (1, 0), (1, 4), (2, 0)]


def painted(*steps: Step, heat: str = "bits") -> Block:
    block = Block()
    layer = TokenLayer(block)
    layer.heat = heat
    block.append("".join(s.text for s in steps))
    layer.rebuild(steps, "".join(s.text for s in steps))
    return block


def test_heat_and_marks_say_the_same() -> None:
    block = painted(step("the", 0.1), step(" red", 3.1), step(" 漢字", 6.0), step("!", 100.0), step("?"))
    line = block.body[0]
    assert [(line.text[a:b], style) for a, b, style in line.spans] == [
        ("the", "heat0"),
        (" red", "heat2"),
        (" 漢字", "heat4"),
        ("!", "heat7"),
        ("?", ""),
    ]
    assert line.marks(0, len(line.text)) == "   ▂   ▄    ▇·"
    assert line.height(80) == 2


def test_a_row_of_marks_lies_under_each_wrapped_row() -> None:
    line = painted(step("aaaa ", 3.0), step("bbbb ", 9.0)).body[0]
    assert line.cuts(5) == [0, 5]
    assert (line.marks(0, 5), line.marks(5, 10)) == ("▂    ", "▆    ")
    assert line.height(5) == 4


def test_tokens_that_cannot_be_seen_have_signs() -> None:
    block = painted(step("a\n\n", 2.0), step("b", 2.0), step("", 6.0))
    assert [line.tail for line in block.body] == [(("⏎", "heat1"),), (("⏎", "heat1"),), (("∅", "heat4"),)]


def test_streaming_paints_as_repainting_does() -> None:
    steps = [step("one\tx", 1.0), step("\n\ty ", 2.0), step("z", 3.0)]
    block = Block()
    layer = TokenLayer(block)
    layer.heat = "bits"
    for one in steps:
        layer.append(one)
    again = painted(*steps)
    assert [(x.text, x.spans, x.tail) for x in block.body] == [(x.text, x.spans, x.tail) for x in again.body]


def test_ranks_count_in_doublings_and_what_is_unknown_is_plain() -> None:
    assert [style_of(step("x", rank=rank), "rank") for rank in (0, 1, 2, 3, 4, 1000, None)] == [
        *("heat0", "heat1", "heat2", "heat2", "heat3", "heat7"),
        "",
    ]
    assert style_of(step("x"), "entropy") == style_of(step("x"), "bits") == ""


def test_the_cursor_covers_its_token_and_leaves_as_it_came() -> None:
    block = painted(step("one ", 1.0), step("two", 2.0), step("", 2.0), heat="off")
    layer = TokenLayer(block)
    layer.point(Place(0, 4), Place(0, 7))
    assert block.body[0].styled(0, 7) == ((4, 7, "chosen"),)
    layer.point(Place(0, 7), Place(0, 7))
    assert block.body[0].styled(0, 7) == ()
    assert block.body[0].tail == (("∅", "chosen"),)
    layer.unpoint()
    assert block.body[0].tail == ()


def test_spans_are_cut_to_their_row() -> None:
    line = Line("aaa bbb ccc", spans=())
    line.spans = [*painted(step("aaa bb", 3.0), step("b ccc", 9.0)).body[0].spans]
    assert line.styled(4, 8) == ((0, 2, "heat2"), (2, 4, "heat6"))
