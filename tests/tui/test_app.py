"""Asking, streaming, stopping and leaving, over a pool that the test plays."""

from pathlib import Path

import pytest
from textual.geometry import Size

from repl.session.frontend import Notice
from repl.tui.app import ReplApp
from repl.tui.helpscreen import HelpView
from repl.tui.remembered import Remembered
from tests.tui.support import Desk, line_with, wait_until

HOSTILE = "\x1b]52;c;QUJD\x07\x1b[31m[b]bold[/b][/foo][@click=app.quit]x[/]\u202egnp\x9b0m"
MADE_SAFE = "␛]52;c;QUJD␇␛[31m[b]bold[/b][/foo][@click=app.quit]x[/]⟨202E⟩gnp⟨9B⟩0m"


async def test_a_line_goes_to_every_chosen_model_and_streams_into_its_pane() -> None:
    async with Desk().running() as desk:
        early, late = await desk.ask("The with statement")
        early.start().say("is used ", "to wrap")
        late.start().say("is used ", "to name")
        await desk.until(lambda: "to wrap" in " ".join(desk.drawn()) and "to name" in " ".join(desk.drawn()))
        assert "> The with statement" in desk.lines("early")
        assert "is used to wrap" in desk.lines("early")
        early.say(" code").finish()
        await desk.until(lambda: "is used to wrap code" in desk.lines("early"))
        figures = "3 tok · 10 tok/s · first 9 ms · ≠ from token 1 · #1"
        assert line_with(desk.lines("early"), "tok/s") == figures
        assert line_with(desk.lines("late"), "#2").startswith("● answering")


async def test_an_addressed_line_opens_the_pane_of_a_model_that_is_not_compared() -> None:
    async with Desk("early", "late", compare=["early"]).running() as desk:
        assert desk.app.panes.order == ["early"]
        (late,) = await desk.ask("@late hello")
        late.start().say("hi").finish()
        await desk.until(lambda: "hi" in desk.lines("late"))
        assert desk.app.panes.order == ["early", "late"]
        assert "> hello" in desk.lines("late")
        assert "> hello" not in desk.lines("early")


async def test_lines_sent_before_the_session_is_open_are_asked_then() -> None:
    desk = Desk()
    desk.may_open.clear()
    async with desk.running():
        desk.app.prompt.fill("hello")
        await desk.pilot.press("enter")
        desk.may_open.set()
        await desk.until(lambda: len(desk.pool.tickets) == 2)


async def test_what_was_cut_off_a_prompt_is_noted_under_the_answer() -> None:
    async with Desk("early").running() as desk:
        (early,) = await desk.ask("a long prompt")
        early.start("not in the dictionary: long", truncated=1200).say("yes").finish()
        await desk.until(lambda: "note: 1,200 tokens of the prompt were cut off" in desk.lines("early"))
        assert "note: not in the dictionary: long" in desk.lines("early")


@pytest.mark.parametrize("way", ["ctrl+c", "escape", "/stop"])
async def test_an_answer_that_is_slow_to_stop_is_marked_at_once(way: str) -> None:
    async with Desk("early").running() as desk:
        (early,) = await desk.ask("go")
        early.start().say("one ")
        desk.pool.deaf = True
        await (desk.command(way) if way.startswith("/") else desk.pilot.press(way))
        await desk.until(lambda: line_with(desk.lines("early"), "#1") == "◐ stopping · #1")
        desk.pool.deaf = False


async def test_what_the_session_says_after_the_screen_is_gone_is_handed_over() -> None:
    desk = Desk("early")
    async with desk.app.run_test() as pilot:
        await wait_until(pilot, lambda: desk.app.session is not None)
    assert desk.app.session is not None
    notice = Notice("warning", "the record cannot be written: disk full", "some answers are lost")
    desk.app.session._tell.notice(notice)
    assert await desk.app.close() == [notice]


async def test_a_theme_that_is_not_there_is_told_and_replaced() -> None:
    desk = Desk("early")
    desk.app = ReplApp(desk.config, desk._open, "drak")
    async with desk.running():
        assert desk.app.theme == "dark"
        await desk.until(lambda: any("there is no theme 'drak'" in row for row in desk.drawn()))
        assert any("did you mean dark?" in row for row in desk.drawn())


async def test_ctrl_c_stops_what_runs_then_clears_then_says_how_to_leave() -> None:
    async with Desk().running() as desk:
        early, late = await desk.ask("go")
        early.start().say("one ")
        desk.app.prompt.fill("half a line")
        await desk.pilot.press("ctrl+c")
        assert early.exchange.finish == late.exchange.finish == "user"
        await desk.until(lambda: line_with(desk.lines("early"), "■ stopped · 1 tok"))
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


async def test_retry_asks_again_in_the_same_panes() -> None:
    async with Desk().running() as desk:
        for answering in await desk.ask("once more"):
            answering.start().say("first").finish()
        await desk.command("/retry")
        await desk.until(lambda: len(desk.pool.tickets) == 4)
        assert desk.lines("early").count("> once more") == 2


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


async def test_hostile_text_is_shown_as_glyphs_and_never_read_as_markup() -> None:
    async with Desk().running() as desk:
        early, late = await desk.ask(HOSTILE)
        early.start(HOSTILE).say(HOSTILE).finish()
        late.start().fail(HOSTILE, HOSTILE)
        await desk.until(lambda: MADE_SAFE in desk.lines("early"))
        lines = desk.lines("early") + desk.lines("late")
        for lead in ("> ", "note: ", "✗ failed: ", "  "):
            assert lead + MADE_SAFE in lines
        await desk.command(f"/set {HOSTILE} 1")
        await desk.until(lambda: desk.app.drawer.display)
        await desk.pilot.press("f1")
        await desk.pilot.press("escape")
        for row in desk.drawn():
            assert not set(row) & set("\x1b\x07\x9b\u202e")


@pytest.mark.parametrize("name", ["[b]bold[/b]", "[/foo]", "\x1b[31mred"])
async def test_hostile_model_names_and_replica_words(name: str) -> None:
    async with Desk(name).running() as desk:
        desk.pool.change(f"{name}/0", state="loading", detail=f"{name} [/bar]", loading=0.4)
        await desk.until(lambda: any("40 %" in row for row in desk.drawn()))
        await desk.pilot.press("ctrl+p")
        await desk.pilot.pause()
        await desk.pilot.press("escape")
        assert not any("\x1b" in row for row in desk.drawn())


async def test_a_beam_that_changes_its_mind_is_redrawn_and_marked() -> None:
    async with Desk("early").running() as desk:
        (early,) = await desk.ask("go")
        early.start().say("the ", "red ", "house")
        await desk.until(lambda: "the red house" in desk.lines("early"))
        early.rewind(1).say("blue ", "house")
        await desk.until(lambda: "the blue house" in desk.lines("early"))
        body = desk.pane("early").transcript.blocks[0].body[0]
        assert [body.text[s.start : s.end] for s in body.spans] == ["blue house"]
        early.finish()
        await desk.until(lambda: "rewritten 1 ×" in " ".join(desk.lines("early")))
        assert desk.pane("early").transcript.blocks[0].body[0].spans == []


async def test_load_progress_and_failure_are_told_in_the_pane() -> None:
    async with Desk().running() as desk:
        desk.pool.change("early/0", state="loading", detail="weights", loading=0.4)
        await desk.until(lambda: "◐ cpu:0 loading weights 40 %" in desk.lines("early"))
        from repl.messages import Error

        error = Error(
            kind="missing_file", message="no such file: m.pt", hint="check the path", detail="Traceback"
        )
        desk.pool.change("early/0", state="failed", error=error, detail="", loading=None)
        await desk.until(lambda: "✗ cpu:0 failed: no such file: m.pt" in desk.lines("early"))
        assert "  check the path" in desk.lines("early")
        assert "  │ Traceback" in desk.lines("early")
        early, late = await desk.ask("hello")
        late.start().say("still here").finish()
        early.fail("no such file: m.pt", "check the path")
        await desk.until(lambda: "✗ cpu:0 failed: as said above" in desk.lines("early"))
        assert " ".join(desk.lines("early")).count("no such file: m.pt") == 1
        assert desk.lines("early").count("  check the path") == 1
        await desk.until(lambda: "still here" in desk.lines("late"))
        desk.pool.change("early/0", state="ready", error=None)
        await desk.until(lambda: not any("✗ cpu:0" in line for line in desk.lines("early")))


async def test_queued_answers_say_how_many_wait() -> None:
    async with Desk("early").running() as desk:
        await desk.ask("first")
        await desk.ask("second")
        await desk.until(lambda: desk.lines("early").count("○ queued · 2 waiting · #2") == 1)


async def test_earlier_exchanges_are_drawn_quietly() -> None:
    first = Desk("early")
    async with first.running():
        (answering,) = await first.ask("before")
        answering.start().say("long ago").finish()
        await first.until(lambda: answering.exchange.done)
    second = Desk("early")
    second.earlier = [answering.exchange]
    async with second.running():
        assert "long ago" in second.lines("early")
        block = second.pane("early").transcript.blocks[0]
        assert {line.style for line in (*block.head, *block.body)} == {"earlier"}


async def test_help_lists_commands_and_keys_and_closes() -> None:
    async with Desk().running() as desk:
        await desk.pilot.press("f1")
        await desk.until(lambda: any("/compare" in row for row in desk.drawn()))
        view = desk.app.screen.query_one(HelpView)
        text = view.transcript.extract((0, 0), (1 << 60, 0))
        assert "stop all answers" in text
        leads = [block[at].lead for block in view.transcript.blocks for at in range(len(block))]
        assert any("Alt+1 … Alt+9" in lead for lead in leads)
        await desk.pilot.press("escape")
        assert desk.app.prompt.has_focus


async def test_errors_stay_in_the_drawer_until_dismissed_or_the_next_line() -> None:
    async with Desk().running() as desk:
        await desk.command("/nonsense")
        await desk.until(lambda: desk.app.drawer.display)
        assert any("there is no command /nonsense" in row for row in desk.drawn())
        await desk.pilot.press("escape")
        assert not desk.app.drawer.display
        await desk.command("/nonsense")
        await desk.until(lambda: desk.app.drawer.display)
        await desk.ask("hello")
        assert not desk.app.drawer.display


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
