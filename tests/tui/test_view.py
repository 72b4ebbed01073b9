"""Scrolling, following, selecting and staying quick, in a pane that a test plays."""

import base64
import time

from textual.geometry import Offset

from repl.tui.views.lines import Line
from repl.tui.views.transcript import Block
from tests.tui.support import Desk


async def test_a_pane_follows_the_end_only_while_it_is_in_sight() -> None:
    async with Desk("early").running(60, 20) as desk:
        (early,) = await desk.ask("go")
        early.start().say(*(f"line {n}\n" for n in range(50)))
        await desk.until(lambda: any("line 49" in row for row in desk.drawn()))
        pane = desk.pane("early")
        await desk.pilot.press("pageup")
        assert not pane.following
        await desk.until(lambda: any("▼ more" in row for row in desk.drawn()))
        before = [row for row in desk.drawn() if "line" in row]
        early.say("line 50\n")
        await desk.until(lambda: "line 50" in desk.lines("early"))
        assert [row for row in desk.drawn() if "line" in row] == before
        await desk.pilot.press("pagedown", "pagedown")
        assert pane.following
        await desk.until(lambda: any("line 50" in row for row in desk.drawn()))


async def test_home_and_end_and_the_wheel_scroll_the_pane_under_them() -> None:
    async with Desk("early", "late").running(80, 20) as desk:
        for answering in await desk.ask("go"):
            answering.start().say(*(f"line {n}\n" for n in range(50))).finish()
        await desk.until(lambda: sum("line 49" in row for row in desk.drawn()) == 1)
        await desk.pilot.press("alt+1", "home")
        await desk.until(lambda: any("> go" in row for row in desk.drawn()))
        await desk.pilot.press("end")
        assert desk.pane("early").following
        await desk.pilot._post_mouse_events([_wheel_up()], offset=(60, 5))
        await desk.until(lambda: not desk.pane("late").following)
        assert desk.pane("early").following


def _wheel_up() -> type:
    from textual import events

    return events.MouseScrollUp


async def test_text_is_selected_with_the_mouse_and_copied_as_it_was_written() -> None:
    async with Desk("early").running(40, 20) as desk:
        (early,) = await desk.ask("go")
        early.start().say("a line that is long enough to wrap in this pane\nand 漢字 more").finish()
        await desk.until(lambda: any("and 漢字 more" in row for row in desk.drawn()))
        rows = desk.drawn()
        top = next(y for y, row in enumerate(rows) if "a line that" in row)
        bottom = next(y for y, row in enumerate(rows) if "and 漢字" in row)
        await desk.pilot.mouse_down(offset=(3, top))
        await desk.pilot.hover(offset=(7, bottom))
        await desk.pilot.mouse_up(offset=(7, bottom))
        await desk.pilot.press("ctrl+c")
        assert desk.app.clipboard == "line that is long enough to wrap in this pane\nand 漢字"
        await desk.until(lambda: any("copied 52 characters" in row for row in desk.drawn()))
        assert early.exchange.finish == "eos"


async def test_copying_hands_the_text_to_the_terminal_as_osc_52(monkeypatch) -> None:
    async with Desk("early").running() as desk:
        written: list[str] = []
        monkeypatch.setattr(desk.app._driver, "write", written.append)
        (early,) = await desk.ask("go")
        early.start().say("the answer").finish()
        await desk.command("/copy")
        await desk.until(lambda: any("]52;" in text for text in written))
        payload = next(text for text in written if "]52;" in text).split(";")[2].rstrip("\a")
        assert "the answer" in base64.b64decode(payload).decode()


async def test_ten_thousand_lines_cost_no_more_than_a_few() -> None:
    """Counted in processor time of this thread, long against short in the same run."""

    async def cost(lines: int) -> tuple[float, float]:
        async with Desk("early").running(100, 40) as desk:
            pane = desk.pane("early")
            earlier = Block([Line(f"line {n} of a long transcript that wraps " * 4) for n in range(lines)])
            pane.transcript.blocks.insert(0, earlier)
            (early,) = await desk.ask("go")
            early.start().say("one ")
            await desk.until(lambda: "one " in desk.lines("early")[-4:])
            began = time.thread_time()
            for _ in range(200):
                early.say("word ")
                pane.draw_news()
            appended = time.thread_time() - began
            began = time.thread_time()
            for width in range(60, 100):
                await desk.pilot.resize_terminal(width, 40)
            return appended, time.thread_time() - began

    few, many = await cost(50), await cost(10_000)
    assert many[0] < 3 * few[0]
    assert many[1] < 3 * few[1]


async def test_dragging_into_the_free_space_below_selects_to_the_end() -> None:
    async with Desk("early").running(60, 20) as desk:
        (early,) = await desk.ask("go")
        early.start().say("short").finish()
        await desk.until(lambda: any("short" in row for row in desk.drawn()))
        top = next(y for y, row in enumerate(desk.drawn()) if "short" in row)
        await desk.pilot.mouse_down(offset=Offset(1, top))
        await desk.pilot.hover(offset=Offset(30, 15))
        await desk.pilot.mouse_up(offset=Offset(30, 15))
        selected = desk.app.screen.get_selected_text()
        assert selected is not None
        assert selected.startswith("short\n1")
