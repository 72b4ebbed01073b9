"""Colours: chosen, remembered, and not there."""

from pathlib import Path

from repl.tui.app import ReplApp
from repl.tui.remembered import Remembered
from tests.tui.support import Desk


async def test_a_theme_that_is_not_there_is_told_and_replaced() -> None:
    desk = Desk("early")
    desk.app = ReplApp(desk.config, desk._open, "drak")
    async with desk.running():
        assert desk.app.theme == "dark"
        await desk.until(lambda: any("there is no theme 'drak'" in row for row in desk.drawn()))
        assert any("did you mean dark?" in row for row in desk.drawn())


async def test_themes_change_by_command() -> None:
    async with Desk().running() as desk:
        assert desk.app.theme == "dark"
        await desk.command("/theme light")
        await desk.until(lambda: desk.app.theme == "light")
        await desk.command("/theme nord")
        await desk.until(lambda: desk.app.theme == "nord")
        await desk.command("/theme nrod")
        await desk.until(lambda: desk.app.drawer.display)
        assert desk.app.theme == "nord"


async def test_a_chosen_theme_is_there_in_the_next_sitting(tmp_path: Path) -> None:
    remembered = Remembered(tmp_path / "new" / "app.json")
    assert remembered.theme is None
    desk = Desk()
    desk.app = ReplApp(desk.config, desk._open, remembered.theme, remembered=remembered)
    async with desk.running():
        await desk.command("/theme light")
        await desk.until(lambda: desk.app.theme == "light")
    assert Remembered(tmp_path / "new" / "app.json").theme == "light"
    (tmp_path / "new" / "app.json").write_text("[1")
    assert remembered.theme is None


async def test_a_theme_that_cannot_be_remembered_holds_for_the_sitting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    desk = Desk()
    desk.app = ReplApp(desk.config, desk._open, remembered=Remembered(tmp_path / "file" / "app.json"))
    async with desk.running():
        await desk.command("/theme light")
        await desk.until(lambda: any("the theme cannot be remembered" in row for row in desk.drawn()))
        assert desk.app.theme == "light"
