"""The help screen: every command and every key, from the tables that define them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen
from textual.strip import Strip

from repl.tui import keymap
from repl.tui.views.lines import Line
from repl.tui.views.transcript import Block, Position
from repl.tui.views.view import LineView

if TYPE_CHECKING:
    from repl.session.commands.base import Command

ADDRESSING = (
    ("text", "to every model of the comparison"),
    ("@name text", "to one model; @a,b to two; the start of a name will do"),
    ("@gpu1 text", "to the replicas on one device; @name/0 to one replica"),
    ("//text, @@text", "a prompt that begins with / or @"),
)


class HelpScreen(ModalScreen[None]):
    """Covers the app until it is dismissed."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,f1,question_mark", "dismiss", "Close")]

    def __init__(self, commands: Iterable[Command]) -> None:
        super().__init__()
        self._blocks = help_blocks(commands)

    def compose(self) -> ComposeResult:
        """One scrolling text."""
        yield HelpView()

    def on_mount(self) -> None:
        """Fill it, from the top."""
        view = self.query_one(HelpView)
        view.transcript.blocks += self._blocks
        view.top = Position(0, 0, 0)
        view.redraw()
        view.focus()


class HelpView(LineView):
    """The text of the help screen."""

    HEADER = 2
    MARGIN = 2

    def header_strip(self) -> Strip:
        """The title and the way out."""
        style = self.style_of("title")
        title, close = "  Help", "Esc closes  "
        gap = " " * max(1, self.size.width - len(title) - len(close))
        return Strip(
            [Segment(title, style), Segment(gap, self.rich_style), Segment(close, self.style_of("muted"))]
        ).adjust_cell_length(self.size.width, self.rich_style)

    def render_line(self, y: int) -> Strip:
        """The title, a free row, the text."""
        if y == 1:
            return Strip.blank(self.size.width, self.rich_style)
        return super().render_line(y)


def help_blocks(commands: Iterable[Command]) -> list[Block]:
    """One block for each section."""
    entries = [(f"/{c.name} {c.usage}".rstrip(), c.help) for c in commands]
    return [
        section("Asking", ADDRESSING),
        section("Commands", entries),
        section("Keys in the prompt", keymap.described(keymap.PROMPT)),
        section(
            "Keys everywhere",
            [*keymap.described(keymap.APP), (keymap.PANE_NUMBERS.shown, keymap.PANE_NUMBERS.help)],
        ),
        section("Keys in a pane", [*keymap.described(keymap.VIEW), *keymap.described(keymap.PANE)]),
        section("Keys in the drawer (F6)", keymap.described(keymap.DRAWER)),
        section("Keys on a token (F3)", keymap.described(keymap.TOKENS)),
        section("Mouse", keymap.MOUSE),
    ]


def section(title: str, entries: Sequence[tuple[str, str]]) -> Block:
    """A title over two columns, the right one wrapping."""
    width = min(30, max((cell_len(left) for left, _ in entries), default=0))
    lines = [Line(title, "title")]
    for left, right in entries:
        if cell_len(left) > width:
            lines += [Line(left, lead="  "), Line(right, "muted", " " * (width + 4))]
        else:
            lead = "  " + left + " " * (width - cell_len(left) + 2)
            lines.append(Line(right, "muted", lead, lead_style=""))
    return Block([*lines, Line()])
