"""Which panes there are, and where they go when there is no room."""

import pytest
from textual.geometry import Size

from tests.tui.support import Desk

SIZES = [(80, 24), (20, 5), (1, 1), (3, 40), (200, 2), (100, 30)]


@pytest.mark.parametrize("models", [1, 3, 8])
async def test_no_size_is_too_small(models: int) -> None:
    names = [f"m{n}" for n in range(models)]
    async with Desk(*names).running() as desk:
        asked = await desk.ask("漢字 and\ttabs " * 8)
        for width, height in SIZES:
            await desk.pilot.resize_terminal(width, height)
            for answering in asked:
                answering.say("word ") if answering.texts else answering.start().say("word ")
            await desk.pilot.press("slash", "h", "ctrl+u", "pageup", "pagedown")
            await desk.until(lambda size=(width, height): desk.app.size == Size(*size))
            assert len(desk.drawn()) == height
        desk.app.drawer.close()
        await desk.until(lambda: all(pane.display for pane in desk.app.panes.all))
        assert "word " * len(SIZES) in desk.lines("m0")


async def test_the_header_speaks_of_panes_without_room_as_long_as_there_are_any() -> None:
    async with Desk(*(f"m{n}" for n in range(24))).running(100, 14) as desk:
        await desk.until(lambda: "9 panes not shown: F6" in desk.drawn()[0])
        await desk.pilot.press("f2")
        await desk.until(lambda: "not shown" not in desk.drawn()[0])
        await desk.pilot.press("f2")
        await desk.until(lambda: "9 panes not shown: F6" in desk.drawn()[0])
        await desk.pilot.resize_terminal(100, 40)
        await desk.until(lambda: "not shown" not in desk.drawn()[0])


async def test_zoom_shows_one_pane_alone_and_all_again() -> None:
    async with Desk("a", "b", "c").running() as desk:
        await desk.pilot.press("alt+2", "f2")
        assert [pane.display for pane in desk.app.panes.all] == [False, True, False]
        await desk.pilot.press("f2")
        assert all(pane.display for pane in desk.app.panes.all)


async def test_panes_without_room_come_by_the_keys_that_go_to_them() -> None:
    async with Desk(*"abcdefgh").running(40, 12) as desk:
        assert desk.app.panes.hidden
        for _ in range(8):
            await desk.pilot.press("f6")
            await desk.pilot.pause()
        await desk.until(lambda: desk.app.focused is desk.pane("h"))
        assert desk.pane("h").display
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.app.prompt.has_focus)


async def test_compare_decides_which_panes_there_are() -> None:
    async with Desk("a", "b", "c").running() as desk:
        for answering in await desk.ask("hello"):
            answering.start().say("hi").finish()
        await desk.command("/compare c a")
        await desk.until(lambda: desk.app.panes.order == ["c", "a"])
        assert [pane.model for pane in desk.app.panes.query("Pane").results() if pane.display] == ["c", "a"]
        await desk.command("/compare all")
        await desk.until(lambda: len(desk.app.panes.order) == 3)
        assert "hi" in desk.lines("b")
