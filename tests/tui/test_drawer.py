"""The drawer: figures laid out for the width there is, sideways and page by page, several at a time."""

from collections.abc import Sequence

from repl.messages import Finished
from repl.probe.figure import Figure, Row, Span
from repl.session.frontend import Notice, Table, Text
from repl.tui.views.outputs import table
from tests.tui.support import Desk, line_with


class Ruler(Figure, frozen=True, kw_only=True):
    """Tells the width it was laid out for, and is as tall and wide as it is made."""

    name = "ruler"
    label: str
    tall: int = 1
    wide: int = 0

    @property
    def title(self) -> str:
        return self.label

    def rows(self, width: int) -> Sequence[Row]:
        first: Row = (Span(f"{self.label} laid out for {width}", "strong"),)
        wide = "".join(f"{n:>10}" for n in range(10, self.wide + 1, 10))
        return [first, *((Span(f"row {n} {wide}"),) for n in range(self.tall))]


def show(desk: Desk, *outputs: Figure | Notice | Text) -> None:
    for output in outputs:
        desk.app.front_end.show(output)


async def test_figures_are_laid_out_anew_for_another_width() -> None:
    async with Desk("early").running(100, 30) as desk:
        show(desk, Ruler(label="first"), Ruler(label="second"))
        await desk.until(lambda: any("second laid out for 98" in row for row in desk.drawn()))
        await desk.pilot.resize_terminal(60, 30)
        await desk.until(lambda: any("first laid out for 58" in row for row in desk.drawn()))
        assert any("second laid out for 58" in row for row in desk.drawn())


async def test_figures_of_one_command_are_shown_from_the_first_and_a_later_one_from_its_beginning() -> None:
    async with Desk("early").running(80, 24) as desk:
        show(desk, Ruler(label="first", tall=9), Ruler(label="second", tall=9))
        await desk.until(lambda: any("first laid out" in row for row in desk.drawn()))
        await desk.pilot.pause()
        show(desk, Ruler(label="later", tall=9))
        await desk.until(lambda: any("later laid out" in row for row in desk.drawn()))
        assert line_with(desk.drawn(), "first").startswith(" first ──")  # the title only


async def test_tall_figures_page_and_take_more_of_the_screen_when_asked() -> None:
    async with Desk("early").running(80, 30) as desk:
        show(desk, Ruler(label="tall", tall=100))
        await desk.until(lambda: any("row 5" in row for row in desk.drawn()))
        assert "PageDown · Esc closes" in line_with(desk.drawn(), "tall ─")
        assert desk.app.drawer.size.height == int(30 * 0.45)
        await desk.pilot.press("pagedown")
        await desk.until(lambda: any("row 20" in row for row in desk.drawn()))
        await desk.pilot.press("f6", "f6")
        await desk.until(lambda: desk.app.drawer.has_focus)
        await desk.pilot.press("f2")
        await desk.until(lambda: desk.app.drawer.size.height == int(30 * 0.85))
        await desk.pilot.press("f2", "end")
        await desk.until(lambda: any("row 99" in row for row in desk.drawn()))
        await desk.pilot.press("escape")
        assert not desk.app.drawer.display
        assert desk.app.prompt.has_focus


async def test_wide_figures_are_not_wrapped_but_scrolled_sideways() -> None:
    async with Desk("early").running(60, 24) as desk:
        show(desk, Ruler(label="wide", tall=2, wide=120))
        await desk.until(lambda: any("row 1" in row for row in desk.drawn()))
        assert line_with(desk.drawn(), "row 0").endswith("›")
        assert "F6 then →" in line_with(desk.drawn(), "wide ─")
        await desk.pilot.press("shift+f6")
        await desk.until(lambda: desk.app.drawer.has_focus)
        await desk.pilot.press("right", "right")
        await desk.until(lambda: not any("row 0" in row for row in desk.drawn()))
        shown = [row for row in desk.drawn() if row.startswith("‹")]
        assert len(shown) == 3
        assert shown[1].split()[-2:] == ["60", "›"]
        await desk.pilot.press(*["right"] * 40)
        await desk.until(lambda: sum(row.rstrip().endswith("120") for row in desk.drawn()) == 2)
        await desk.pilot.press(*["left"] * 40)
        await desk.until(lambda: any("row 0" in row for row in desk.drawn()))


async def test_typing_while_the_drawer_has_the_focus_goes_to_the_prompt() -> None:
    async with Desk("early").running() as desk:
        show(desk, Ruler(label="x"))
        await desk.until(lambda: desk.app.drawer.display)
        await desk.pilot.press("shift+f6", "h", "i")
        assert desk.app.prompt.text == "hi"
        assert desk.app.prompt.has_focus


async def test_all_go_round_by_the_same_key() -> None:
    async with Desk("a", "b").running() as desk:
        show(desk, Ruler(label="x"))
        await desk.until(lambda: desk.app.drawer.display)
        round_trip = [desk.pane("a"), desk.pane("b"), desk.app.drawer, desk.app.prompt]
        for widget in round_trip:
            await desk.pilot.press("f6")
            await desk.until(lambda w=widget: desk.app.focused is w)
        for widget in [*round_trip[-2::-1], desk.app.prompt]:
            await desk.pilot.press("shift+f6")
            await desk.until(lambda w=widget: desk.app.focused is w)


async def test_a_slow_command_says_how_far_it_is_and_ends_by_ctrl_c() -> None:
    async with Desk("early", "late").running() as desk:
        await desk.command("/score one two")
        await desk.until(lambda: len(desk.pool.tickets) == 2)
        await desk.until(lambda: any("◐ /score 0 of 2, " in row for row in desk.drawn()))
        ticket = desk.pool.tickets[0]
        ticket.place("early/0")
        ticket.deliver(Finished(id=0, reason="done", text=""))
        await desk.until(lambda: any("/score 1 of 2, " in row for row in desk.drawn()))
        assert "Ctrl+C or /stop ends" in desk.drawn()[-1]
        await desk.pilot.press("ctrl+c")
        await desk.until(lambda: not desk.app.session.background.works)
        assert desk.pool.tickets[1].state == "stopped"
        await desk.until(lambda: any("/score was stopped" in row for row in desk.drawn()))


def test_only_the_letters_of_a_column_s_name_are_styled() -> None:
    made = table(Table("t", ("name", "pid"), (("a longer one", "32414"), ("b", "7"))))
    assert [line.text if not line.lead else line.lead + line.text for line in made] == [
        "name            pid", "a longer one  32414", "b                 7"
    ]  # fmt: skip
    assert [made[0].text[span.start : span.end] for span in made[0].spans] == ["name", "pid"]


async def test_a_tall_drawer_leaves_the_prompt_and_the_footer() -> None:
    async with Desk("early", "late").running(100, 28) as desk:
        for answering in await desk.ask("hello"):
            answering.start().say("a").finish()
        show(desk, Ruler(label="long", tall=200))
        await desk.pilot.press("f6", "f6", "f6", "f2")
        prompt, footer = desk.app.query_one("#ask"), desk.app.frame.footer
        await desk.until(lambda: desk.app.drawer.size.height > 18)
        assert (prompt.region.bottom, footer.region.bottom) == (27, 28)
        desk.app.prompt.fill("one\n" * 7 + "eight")
        await desk.until(lambda: prompt.size.height == 8)
        assert (prompt.region.bottom, footer.region.bottom) == (27, 28)
