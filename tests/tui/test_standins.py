"""What is pasted is what is sent, and nothing of it reaches the terminal."""

from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from textual import events

from repl.safe import visible
from repl.tui.input.standins import FIRST, LAST, StandIns
from tests.tui.support import Desk

HOSTILE = "\x1b[31mred\x07 \u202egnp\x9b0m\x7f \U000e0041 漢 ü ␛"
ANYTHING = st.text(st.one_of(st.characters(), st.sampled_from(f"\x1b\x9b\u202e{chr(FIRST)}{chr(LAST)}␛�")))


@given(st.lists(ANYTHING, min_size=1, max_size=3))
def test_every_text_comes_out_as_it_went_in_and_is_safe_meanwhile(texts: list[str]) -> None:
    stand_ins = StandIns()
    for text in [*texts, *texts]:
        inside = stand_ins.encoded(text)
        assert stand_ins.decoded(inside) == text
        assert len(inside) == len(text)
        assert visible(inside) == inside
        drawn = stand_ins.drawn(inside)
        assert visible(drawn) == drawn
        assert len(drawn) == len(inside)


def test_the_drawing_is_as_wide_as_the_input() -> None:
    stand_ins = StandIns()
    inside = stand_ins.encoded(HOSTILE)
    assert stand_ins.drawn(inside) == "␛[31mred␇ �gnp�0m␡ � 漢 ü ␛"
    assert cell_len(inside) == cell_len(stand_ins.drawn(inside))


async def test_pasted_controls_are_sent_as_they_are_and_drawn_as_glyphs() -> None:
    async with Desk("early").running() as desk:
        prompt = desk.app.prompt
        prompt.post_message(events.Paste(HOSTILE))
        await desk.until(lambda: any("␛[31mred␇" in row for row in desk.drawn()))
        for row in desk.drawn():
            assert not set(row) & set("\x1b\x07\x9b\u202e\x7f\U000e0041")
        await desk.pilot.press("ctrl+w", "ctrl+y", "enter")
        await desk.until(lambda: desk.pool.tickets)
        assert desk.pool.tickets[0].request.prompt == HOSTILE
        await desk.pilot.press("up")
        assert prompt.meant == HOSTILE
        await desk.pilot.press("!", "enter")
        await desk.until(lambda: len(desk.pool.tickets) == 2)
        assert desk.pool.tickets[1].request.prompt == HOSTILE + "!"
        await desk.pilot.press("ctrl+r", "r", "e", "d", "escape")
        assert prompt.meant == ""
