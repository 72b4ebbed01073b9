"""Asking and what is shown of the answers, over a pool that the test plays."""

import pytest

from repl.session.frontend import Notice
from repl.tui.views.helpscreen import HelpView
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
        await desk.until(lambda: "note: 1,200 tokens of the prompt cut off" in desk.lines("early"))
        assert "note: not in the dictionary: long" in desk.lines("early")


async def test_what_the_session_says_after_the_screen_is_gone_is_handed_over() -> None:
    desk = Desk("early")
    async with desk.app.run_test() as pilot:
        await wait_until(pilot, lambda: desk.app.session is not None)
    assert desk.app.session is not None
    notice = Notice("warning", "the record cannot be written: disk full", "some answers are lost")
    desk.app.session._tell.notice(notice)
    assert await desk.app.close() == [notice]


async def test_retry_asks_again_in_the_same_panes() -> None:
    async with Desk().running() as desk:
        for answering in await desk.ask("once more"):
            answering.start().say("first").finish()
        await desk.command("/retry")
        await desk.until(lambda: len(desk.pool.tickets) == 4)
        assert desk.lines("early").count("> once more") == 2


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
