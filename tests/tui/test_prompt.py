"""Typing: new lines, paste, history, search, completion, and readline's keys."""

import pytest
from textual import events

from repl.tui.app import ReplApp
from repl.tui.input.history import History
from tests.tui.support import Desk


async def test_enter_sends_and_other_keys_make_new_lines() -> None:
    async with Desk("early").running() as desk:
        await desk.pilot.press("a", "ctrl+j", "b", "alt+enter", "c", "shift+enter", "d")
        assert desk.app.prompt.text == "a\nb\nc\nd"
        await desk.until(lambda: desk.app.prompt.size.height == 4)
        await desk.pilot.press("enter")
        await desk.until(lambda: desk.pool.tickets)
        assert desk.pool.tickets[0].request.prompt == "a\nb\nc\nd"
        await desk.until(lambda: desk.app.prompt.size.height == 1)


async def test_keys_that_arrive_together_keep_their_order() -> None:
    async with Desk("early").running() as desk:
        for key in ("a", "enter", "b", "ctrl+j", "c", "left", "d", "alt+enter", "e", "enter", "f"):
            character = key if len(key) == 1 else None
            desk.app.post_message(events.Key(key, character))
        await desk.until(lambda: desk.app.prompt.text == "f")
        await desk.until(lambda: len(desk.pool.tickets) == 2)
        assert [ticket.request.prompt for ticket in desk.pool.tickets] == ["a", "b\nd\nec"]


async def test_pasted_lines_stay_one_prompt() -> None:
    async with Desk("early").running() as desk:
        desk.app.prompt.post_message(events.Paste("one\r\ntwo\rthree\n"))
        await desk.until(lambda: desk.app.prompt.text == "one\ntwo\nthree\n")
        assert not desk.pool.tickets


async def test_the_prompt_grows_to_eight_rows() -> None:
    async with Desk("early").running() as desk:
        desk.app.prompt.post_message(events.Paste("\n" * 20))
        await desk.until(lambda: desk.app.prompt.size.height == 8)


async def test_history_is_walked_at_the_first_and_last_line_and_keeps_the_draft() -> None:
    async with Desk("early").running() as desk:
        prompt = desk.app.prompt
        prompt.past.lines = ["first", "second\nline"]
        prompt.fill("draft")
        await desk.pilot.press("up")
        assert prompt.text == "second\nline"
        await desk.pilot.press("up")
        assert prompt.text == "second\nline"  # the cursor was in its last line
        await desk.pilot.press("up")
        assert prompt.text == "first"
        await desk.pilot.press("up")
        assert prompt.text == "first"
        await desk.pilot.press("down", "down", "down")
        assert prompt.text == "draft"


async def test_sent_lines_and_commands_enter_the_history() -> None:
    async with Desk("early").running() as desk:
        await desk.ask("one")
        await desk.command("/set temperature 0.5")
        await desk.pilot.press("up", "up")
        assert desk.app.prompt.text == "one"


async def test_history_is_searched_backwards() -> None:
    async with Desk("early").running() as desk:
        prompt = desk.app.prompt
        prompt.past.lines = ["the fox", "a dog", "the Fax"]
        prompt.fill("draft")
        await desk.pilot.press("ctrl+r", "f")
        assert prompt.text == "the Fax"
        await desk.pilot.press("ctrl+r")
        assert prompt.text == "the fox"
        await desk.pilot.press("escape")
        assert prompt.text == "draft"
        await desk.pilot.press("ctrl+r", "d", "o", "enter")
        assert prompt.text == "a dog"
        assert not prompt.searching
        assert not desk.pool.tickets
        await desk.pilot.press("ctrl+r", "q")
        await desk.until(lambda: any("nothing older" in row for row in desk.drawn()))


async def test_ctrl_c_ends_a_search_with_the_draft_back() -> None:
    async with Desk("early").running() as desk:
        desk.app.prompt.past.lines = ["old"]
        desk.app.prompt.fill("draft")
        await desk.pilot.press("ctrl+r", "o", "ctrl+c")
        assert desk.app.prompt.text == "draft"
        assert not desk.app.prompt.searching


async def test_tab_completes_commands_and_their_arguments() -> None:
    async with Desk("early").running() as desk:
        prompt = desk.app.prompt
        await desk.pilot.press(*"/comp", "tab")
        assert prompt.text == "/compare "
        prompt.fill("/set temp")
        await desk.pilot.press("tab")
        assert prompt.text.startswith("/set temperature")


async def test_tab_offers_choices_one_by_one_and_escape_takes_them_back() -> None:
    async with Desk("lm-early", "lm-late").running() as desk:
        prompt = desk.app.prompt
        await desk.pilot.press("@", "l", "tab")
        assert prompt.text == "@lm-"
        await desk.until(lambda: desk.app.completions.display)
        await desk.pilot.press("tab")
        assert prompt.text.startswith("@lm-early")
        await desk.pilot.press("down")
        first = prompt.text
        await desk.pilot.press("shift+tab")
        assert prompt.text != first
        await desk.pilot.press("escape")
        assert prompt.text == "@lm-"
        assert not desk.app.completions.display


async def test_the_list_follows_what_is_typed() -> None:
    async with Desk("early").running() as desk:
        await desk.pilot.press("/", "c", "o")
        await desk.until(lambda: any("  compare " in row for row in desk.drawn()))
        await desk.pilot.press("x", "x")
        await desk.until(lambda: not desk.app.completions.display)


async def test_a_completion_has_one_row_on_a_narrow_screen() -> None:
    async with Desk("early").running(width=50) as desk:
        await desk.pilot.press("/")
        await desk.until(lambda: any(row.startswith("  help  ") for row in desk.drawn()))
        rows = desk.drawn()[-2 - 8 : -2]
        assert all(row.startswith("  ") and row[2] != " " for row in rows)
        assert any(row.rstrip().endswith("…") for row in rows)


async def test_tab_on_an_empty_prompt_goes_round_the_panes() -> None:
    async with Desk("a", "b").running() as desk:
        for expected in ("a", "b", None):
            await desk.pilot.press("tab")
            await desk.until(
                lambda e=expected: (
                    desk.app.prompt.has_focus if e is None else desk.app.focused is desk.pane(e)
                )
            )


async def test_typing_in_a_pane_goes_to_the_prompt() -> None:
    async with Desk("a").running() as desk:
        await desk.pilot.press("alt+1", "h", "i")
        assert desk.app.prompt.text == "hi"
        assert desk.app.prompt.has_focus


async def test_a_line_that_arrives_at_once_in_a_pane_is_sent_whole() -> None:
    async with Desk("early").running() as desk:
        await desk.pilot.press("alt+1")
        await desk.until(lambda: desk.app.focused is desk.pane("early"))
        for key in ("h", "i", "enter", "b"):
            desk.app.post_message(events.Key(key, key if len(key) == 1 else None))
        await desk.until(lambda: desk.app.prompt.text == "b")
        assert [ticket.request.prompt for ticket in desk.pool.tickets] == ["hi"]


async def test_what_is_pasted_in_a_pane_goes_to_the_prompt() -> None:
    async with Desk("a").running() as desk:
        await desk.pilot.press("alt+1")
        await desk.until(lambda: desk.app.focused is desk.pane("a"))
        desk.app.post_message(events.Paste("one\ntwo"))
        desk.app.post_message(events.Key("x", "x"))
        await desk.until(lambda: desk.app.prompt.text == "one\ntwox")


async def test_readline_keys_cut_and_paste() -> None:
    async with Desk("early").running() as desk:
        prompt = desk.app.prompt
        prompt.fill("one two three")
        await desk.pilot.press("ctrl+w")
        assert prompt.text == "one two "
        await desk.pilot.press("ctrl+a", "alt+f", "ctrl+k")
        assert prompt.text == "one"
        await desk.pilot.press("ctrl+y", "ctrl+y")
        assert prompt.text == "one two  two "
        await desk.pilot.press("ctrl+u")
        assert prompt.text == ""
        await desk.pilot.press("ctrl+y", "alt+b", "alt+b", "alt+d")
        assert prompt.text == "one   two "
        await desk.pilot.press("ctrl+e", "ctrl+b", "ctrl+h")
        assert prompt.text == "one   tw "


async def test_a_blank_line_is_not_sent() -> None:
    async with Desk("early").running() as desk:
        await desk.pilot.press("space", "enter")
        await desk.pilot.pause()
        assert not desk.pool.tickets


def test_history_search_ignores_case_and_goes_back() -> None:
    history = History(["Alpha", "beta", "alphabet"])
    assert history.search("ALPHA") == 2
    assert history.search("alpha", before=2) == 0
    assert history.search("alpha", before=0) is None


def test_history_keeps_the_same_line_once() -> None:
    history = History()
    for line in ("a", "a", "  ", "b", "a"):
        history.add(line)
    assert history.lines == ["a", "b", "a"]


async def test_keys_and_pastes_that_come_before_the_first_frame_are_kept_in_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def on_load(app: ReplApp) -> None:
        for key in ("c", "enter", "d"):
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        app.post_message(events.Paste("e\rf"))

    monkeypatch.setattr(ReplApp, "on_load", on_load, raising=False)
    desk = Desk("early")
    desk.app = ReplApp(desk.config, desk._open, typed="ab\x1b[D")
    async with desk.running():
        await desk.until(lambda: desk.pool.tickets)
        assert desk.pool.tickets[0].request.prompt == "acb"
        await desk.until(lambda: desk.app.prompt.text == "de\nf")
