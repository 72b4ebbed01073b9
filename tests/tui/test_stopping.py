"""Keys that stop answers, and keys that leave."""

import pytest

from tests.tui.support import Desk


@pytest.mark.parametrize("way", ["ctrl+c", "escape", "/stop"])
async def test_an_answer_that_is_slow_to_stop_is_marked_at_once(way: str) -> None:
    async with Desk("early").running() as desk:
        (early,) = await desk.ask("go")
        early.start().say("one ")
        desk.pool.deaf = True
        await (desk.command(way) if way.startswith("/") else desk.pilot.press(way))
        await desk.until(lambda: "◐ stopping · #1" in desk.lines("early"))
        desk.pool.deaf = False


async def test_ctrl_c_stops_what_runs_then_clears_then_says_how_to_leave() -> None:
    async with Desk().running() as desk:
        early, late = await desk.ask("go")
        early.start().say("one ")
        desk.app.prompt.fill("half a line")
        await desk.pilot.press("ctrl+c")
        assert early.exchange.finish == late.exchange.finish == "user"
        await desk.until(lambda: any("■ stopped · 1 tok" in line for line in desk.lines("early")))
        assert desk.app.prompt.text == "half a line"
        await desk.pilot.press("ctrl+c")
        assert desk.app.prompt.text == ""
        await desk.pilot.press("ctrl+c")
        await desk.until(lambda: any("Ctrl+D or /quit leaves" in row for row in desk.drawn()))
        assert desk.app.is_running


async def test_escape_stops_the_answer_of_the_focused_pane_only() -> None:
    async with Desk().running() as desk:
        early, late = await desk.ask("go")
        early.start().say("one ")
        late.start().say("one ")
        await desk.pilot.press("alt+2", "escape")
        assert late.exchange.finish == "user"
        assert not early.exchange.done
        await desk.pilot.press("escape")
        assert desk.app.prompt.has_focus
        assert not early.exchange.done


async def test_escape_in_the_prompt_stops_all_while_no_pane_was_chosen() -> None:
    async with Desk().running() as desk:
        early, late = await desk.ask("go")
        await desk.pilot.press("escape")
        assert early.exchange.finish == late.exchange.finish == "user"


@pytest.mark.parametrize("keys", [["ctrl+d"], ["ctrl+q"], ["alt+1", "ctrl+d"]])
async def test_leaving_asks_nothing_and_stops_what_runs(keys: list[str]) -> None:
    desk = Desk()
    async with desk.running():
        early, _ = await desk.ask("go")
        early.start().say("one ")
        await desk.pilot.press(*keys)
    assert desk.app.return_code == 0
    assert early.exchange.finish == "closing"


async def test_ctrl_d_does_not_leave_while_something_is_typed() -> None:
    async with Desk().running() as desk:
        desk.app.prompt.fill("text")
        await desk.pilot.press("home", "ctrl+d")
        assert desk.app.prompt.text == "ext"
        assert desk.app.is_running
