"""A scrolling view of a transcript: the widget under panes, the drawer and the help screen.

A plain widget with ``render_line`` and a scroll position of its own. It follows the end while the end is in
sight and otherwise stays where it is, with a mark that there is more; it redraws only the rows that changed;
and text selected with the mouse comes out as it was written, without the breaks of wrapping.
"""

from typing import ClassVar

from rich.cells import cell_len
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Region
from textual.message import Message
from textual.selection import Selection
from textual.strip import Strip
from textual.widget import Widget

from repl.probe.figure import STYLES
from repl.tui import keymap
from repl.tui.views.rows import drawn, with_more
from repl.tui.views.transcript import Block, Position, Row, Transcript

WHEEL_ROWS = 3
WHEEL_COLUMNS = 6
_CACHED_STRIPS = 2000
_END = (1 << 62, 0)


class LineView(Widget, can_focus=True):
    """Shows ``transcript``; call ``redraw`` after changing it."""

    BINDINGS: ClassVar[list[BindingType]] = keymap.bindings(keymap.VIEW)
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        f"view--{name}"
        for name in (
            *("answer", "prompt", "earlier", "rewritten", "foot", "note", "name", "strong", "muted"),
            *("error", "warning", "success", "title", "heading", "selection", "more", "rule"),
            *(style for style in STYLES if style),
        )
    }
    HEADER = 0
    """Rows at the top that do not scroll."""
    MARGIN = 1
    """Cells left free at either side."""
    TYPES_ON = False
    """What is typed while it has the focus belongs in the prompt."""

    class Scrolled(Message):
        """Somebody scrolled the view."""

        def __init__(self, view: "LineView") -> None:
            super().__init__()
            self.view = view

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self.transcript = Transcript()
        self.top: Position | None = None
        """Where the window begins; None follows the end."""
        self._rows: list[Row] = []
        self._strips: dict[Row, Strip] = {}
        self._styles: dict[str, Style] = {}
        self._header: Strip | None = None

    # -- what is shown ---------------------------------------------------------------------------------------

    @property
    def row_width(self) -> int:
        """Cells of a row, margins taken off."""
        return max(1, self.size.width - 2 * self.MARGIN)

    @property
    def row_count(self) -> int:
        """Rows of the window."""
        return max(0, self.size.height - self.HEADER)

    @property
    def following(self) -> bool:
        """Whether the end is in sight and stays so."""
        return self.top is None

    def add(self, block: Block) -> None:
        """Add a block at the end."""
        self.transcript.blocks.append(block)
        self.redraw()

    def clear(self) -> None:
        """Remove everything."""
        self.transcript.blocks.clear()
        self.top = None
        self.redraw()

    def redraw(self) -> None:
        """Bring the window up to date, refreshing the rows that differ."""
        if not self.size.width:
            return
        before, was_following = self._rows, self.following
        self._rows, self.top = self.transcript.window(self.top, self.row_width, self.row_count)
        if len(before) != len(self._rows) or was_following != self.following:
            self.refresh()
            return
        differ = [y for y, pair in enumerate(zip(before, self._rows, strict=True)) if pair[0] != pair[1]]
        if differ:
            height = differ[-1] - differ[0] + 1
            self.refresh(Region(0, differ[0] + self.HEADER, self.size.width, height))

    def redraw_header(self) -> None:
        """Make the row that does not scroll anew."""
        self._header = None
        self.refresh(Region(0, 0, self.size.width, self.HEADER))

    # -- scrolling -------------------------------------------------------------------------------------------

    def scroll_rows(self, rows: int) -> None:
        """Scroll down by ``rows``, or up if negative; reaching the end follows it again."""
        if self.top is None:
            if rows > 0:
                return
            self.top = self.transcript.top_of_end(self.row_width, self.row_count)
        self._go_to(self.transcript.moved(self.top, rows, self.row_width))

    def _go_to(self, top: Position | None) -> None:
        self.top = top
        self.redraw()
        self.post_message(self.Scrolled(self))

    def action_rows(self, rows: int) -> None:
        """Scroll by rows."""
        self.scroll_rows(rows)

    def action_pages(self, pages: int) -> None:
        """Scroll by windows, less one row for the eye to hold on to."""
        self.scroll_rows(pages * max(1, self.row_count - 1))

    @property
    def widest_whole_line(self) -> int:
        """Cells of the widest line that is not wrapped."""
        blocks = self.transcript.blocks
        whole = (b[n] for b in blocks for n in range(len(b)) if b[n].whole)
        return max((cell_len(line.text) for line in whole), default=0)

    def action_columns(self, cells: int) -> None:
        """Scroll lines that are not wrapped sideways."""
        most = self.widest_whole_line - self.row_width
        self.transcript.left = max(0, min(self.transcript.left + cells, most))
        self.redraw()

    def action_to_start(self) -> None:
        """Scroll to the first row."""
        self._go_to(Position(0, 0, 0))

    def action_to_end(self) -> None:
        """Scroll to the last row and follow it."""
        self._go_to(None)

    def _on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        event.stop()
        self.scroll_rows(-WHEEL_ROWS)

    def _on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        event.stop()
        self.scroll_rows(WHEEL_ROWS)

    def _on_mouse_scroll_left(self, event: events.MouseScrollLeft) -> None:
        event.stop()
        self.action_columns(-WHEEL_COLUMNS)

    def _on_mouse_scroll_right(self, event: events.MouseScrollRight) -> None:
        event.stop()
        self.action_columns(WHEEL_COLUMNS)

    def _on_focus(self, event: events.Focus) -> None:
        self.redraw_header()

    def _on_blur(self, event: events.Blur) -> None:
        self.redraw_header()

    def is_for_prompt(self, event: events.Key | events.Paste) -> bool:
        """Whether it is text, and this view has no use for it."""
        typed = isinstance(event, events.Paste) or (event.is_printable and event.character != "?")
        return self.TYPES_ON and typed

    def _on_resize(self, event: events.Resize) -> None:
        self._strips.clear()
        self._header = None
        self._rows = []
        self.redraw()
        self.refresh()

    # -- selecting -------------------------------------------------------------------------------------------

    def get_selection(self, selection: Selection) -> tuple[str, str] | None:
        """The selected text; the coordinates are those of ``Transcript``, not of the screen."""
        start = (selection.start.y, selection.start.x) if selection.start is not None else (0, 0)
        end = (selection.end.y, selection.end.x) if selection.end is not None else _END
        return self.transcript.extract(start, end), "\n"

    def selection_updated(self, selection: Selection | None) -> None:
        """Redraw with the new highlight."""
        self._strips.clear()
        self.refresh()

    # -- drawing ---------------------------------------------------------------------------------------------

    def notify_style_update(self) -> None:
        """Forget what was drawn in the old colours."""
        super().notify_style_update()
        self._styles.clear()
        self._strips.clear()
        self._header = None

    def style_of(self, name: str) -> Style:
        """The Rich style of a name such as ``foot``; the empty name is plain."""
        style = self._styles.get(name)
        if style is None:
            style = self.get_component_rich_style(f"view--{name}") if name else self.rich_style
            self._styles[name] = style
        return style

    def render_lines(self, crop: Region) -> list[Strip]:
        """The rows of ``crop``; a view has no border, so it does without the costly cache of decorations."""
        background = self.background_colors[1]
        filters = self.get_line_filters()
        strips = []
        for y in crop.line_range:
            strip = self.render_line(y)
            for line_filter in filters:
                strip = strip.apply_filter(line_filter, background)
            strips.append(strip)
        if crop.column_span != (0, self.size.width):
            strips = [strip.crop(*crop.column_span) for strip in strips]
        return strips

    def render_line(self, y: int) -> Strip:
        """Row ``y`` of the widget."""
        index = y - self.HEADER
        if index < 0:
            if self._header is None:
                self._header = self.header_strip()
            return self._header
        if index >= len(self._rows):
            return self._blank()
        row = self._rows[index]
        strip = self._strips.get(row)
        if strip is None:
            if len(self._strips) > _CACHED_STRIPS:
                self._strips.clear()
            strip = self._strips[row] = drawn(
                row, self.size.width, self.MARGIN, self.style_of, self.text_selection
            )
        if not self.following and index == self.row_count - 1:
            return with_more(strip, self.size.width, self.MARGIN, self.style_of)
        return strip

    def header_strip(self) -> Strip:
        """The row that does not scroll; only where ``HEADER`` is not 0."""
        return Strip.blank(self.size.width, self.style_of(""))

    def _blank(self) -> Strip:
        strip = Strip.blank(self.size.width, self.style_of(""))
        if not self._rows:
            return strip
        last = self._rows[-1]  # dragging below the text selects to its end
        return strip.apply_offsets(last.start + len(last.text), last.y)
