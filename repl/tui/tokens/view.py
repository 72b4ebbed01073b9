"""A view whose answers can be walked token by token, with keys and with the mouse.

It knows nothing of the session: what is to be done with a token goes to the app as a message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from textual import events
from textual.geometry import Offset
from textual.message import Message

from repl.probe.figure import piece_text
from repl.tui import keymap
from repl.tui.tokens.cursor import TokenCursor
from repl.tui.views.answers import AnswerBlock
from repl.tui.views.transcript import LINES_PER_BLOCK, Position
from repl.tui.views.view import LineView


class TokenView(LineView):
    """See ``keymap.TOKENS`` for what the keys do while ``cursor`` is set."""

    TOKEN_KEYS: ClassVar[dict[str, str]] = keymap.actions(keymap.bindings(keymap.TOKENS))

    class Pointed(Message):
        """The cursor came, moved or left."""

        def __init__(self, view: TokenView) -> None:
            super().__init__()
            self.view = view

    class Asked(Message):
        """A line to be sent as if it had been typed."""

        def __init__(self, line: str) -> None:
            super().__init__()
            self.line = line

    class Handing(Message):
        """Another model is to go on from the cursor."""

        def __init__(self, cursor: TokenCursor) -> None:
            super().__init__()
            self.cursor = cursor

    class Copied(Message):
        """A text for the clipboard, and what to call it."""

        def __init__(self, text: str, name: str) -> None:
            super().__init__()
            self.text = text
            self.name = name

    class Lacking(Message):
        """The alternatives of an answer's tokens are wanted."""

        def __init__(self, cursor: TokenCursor) -> None:
            super().__init__()
            self.cursor = cursor

    def __init__(self) -> None:
        super().__init__()
        self.cursor: TokenCursor | None = None
        self._just_focused = False
        self._chosen_by_click = False
        """Whether the click that is going on gave the view its focus."""

    # -- coming and going ------------------------------------------------------------------------------------

    def start_tokens(self, index: int | None = None) -> bool:
        """Put the cursor into the answer in sight: on its token ``index``, or where it parts from the answers
        beside it, or else on the first token in sight. False where no answer has tokens.
        """
        found = self._in_sight()
        if found is None:
            return False
        block, first = found
        if block.parted_at is not None and block.parted_at < len(block.exchange.answer.steps):
            first = block.parted_at
        self._set_cursor(block, first if index is None else index)
        return True

    def leave_tokens(self) -> bool:
        """Take the cursor away; whether there was one."""
        if self.cursor is None:
            return False
        self.cursor.block.point(None)
        self.cursor = None
        self._changed()
        return True

    def _set_cursor(self, block: AnswerBlock, index: int) -> None:
        if self.cursor is not None:
            self.cursor.block.point(None)
        self.cursor = TokenCursor(block, index)
        self.point()

    def _in_sight(self) -> tuple[AnswerBlock, int] | None:
        """The last answer with tokens in the window, or the last above it; and its first token in sight."""
        seen: dict[int, tuple[int, int]] = {}
        for row in self._rows:
            number, line = divmod(row.y, LINES_PER_BLOCK)
            seen.setdefault(number, (line, row.start))
        last = max(seen, default=len(self.transcript.blocks) - 1)
        for number in range(last, -1, -1):
            block = self.transcript.blocks[number]
            if isinstance(block, AnswerBlock) and block.exchange.answer.steps:
                line, character = seen.get(number, (0, 0))
                return block, block.token_at(max(line, len(block.head)), character) or 0
        return None

    # -- drawing ---------------------------------------------------------------------------------------------

    def point(self) -> None:
        """Draw the cursor where it is now, scrolling to it."""
        if self.cursor is None:
            return
        self.cursor.block.point(self.cursor.index)
        place = self.cursor.block.place_of(self.cursor.index)
        if self.cursor.block in self.transcript.blocks:
            self.reveal(Position(self.transcript.blocks.index(self.cursor.block), place.line, place.row))
        self._changed()

    def _changed(self) -> None:
        self._strips.clear()
        self.redraw()
        self.refresh()
        self.post_message(self.Pointed(self))

    def reveal(self, place: Position) -> None:
        """Scroll so far that a character, the last part of ``place``, is in the window."""
        self.redraw()
        if self._index_of(place) is not None:
            return
        line = self.transcript.blocks[place.block][place.line]
        there = Position(place.block, place.line, line.row_of(place.row, self.row_width))
        self.top = self.transcript.moved(there, -(self.row_count // 2), self.row_width)
        self.redraw()

    def _index_of(self, place: Position) -> int | None:
        """The row of the window that shows a character."""
        y = place.block * LINES_PER_BLOCK + place.line
        for index, row in enumerate(self._rows):
            if row.y == y and not row.marks and row.start <= place.row <= row.start + len(row.text):
                following = self._rows[index + 1 :][:1]
                at_end = place.row == row.start + len(row.text)
                if not (at_end and following and following[0].y == y and following[0].start == place.row):
                    return index
        return None

    def cursor_cell(self) -> tuple[Offset, int] | None:
        """Where on the screen the cursor begins, and how many rows its text and marks take."""
        if self.cursor is None or self.cursor.block not in self.transcript.blocks:
            return None
        block = self.cursor.block
        place = block.place_of(self.cursor.index)
        number = self.transcript.blocks.index(block)
        index = self._index_of(Position(number, place.line, place.row))
        if index is None:
            return None
        row = self._rows[index]
        x = self.MARGIN + row.indent + row.cells_before(place.row)
        return self.region.offset + Offset(x, self.HEADER + index), 1 + block[place.line].marked

    # -- keys and clicks -------------------------------------------------------------------------------------

    def is_for_prompt(self, event: events.Key | events.Paste) -> bool:
        """Letters are keys of their own while the cursor is on a token; what is pasted never is."""
        return super().is_for_prompt(event) and (self.cursor is None or isinstance(event, events.Paste))

    async def _on_key(self, event: events.Key) -> None:
        if self.cursor is None:
            return  # to its bindings
        action = self.TOKEN_KEYS.get(event.key)
        if action is not None:
            event.stop()
            event.prevent_default()
            await self.run_action(action)
        elif event.is_printable:
            event.stop()
            event.prevent_default()

    def _on_blur(self, event: events.Blur) -> None:
        self.leave_tokens()

    def _on_focus(self, event: events.Focus) -> None:
        self._just_focused = True  # if a click did it, the button's event waits already
        self.call_later(self._no_longer_fresh)

    def _no_longer_fresh(self) -> None:
        self._just_focused = False

    async def _on_mouse_down(self, event: events.MouseDown) -> None:
        self._chosen_by_click = self._just_focused

    async def _on_click(self, event: events.Click) -> None:
        """Put the cursor on the token under the pointer; the first click only gives the pane the focus."""
        _, offset = self.screen.get_widget_and_offset_at(*event.screen_offset)
        if offset is None or self._chosen_by_click or self.text_selection is not None:
            return
        number, line = divmod(offset.y, LINES_PER_BLOCK)
        block = self.transcript.blocks[number] if number < len(self.transcript.blocks) else None
        if isinstance(block, AnswerBlock) and (index := block.token_at(line, offset.x)) is not None:
            self._set_cursor(block, index)

    # -- actions ---------------------------------------------------------------------------------------------

    def action_walk(self, by: int) -> None:
        """Go ``by`` tokens on, or back."""
        self._do(lambda cursor: cursor.walk(by))

    def action_word(self, by: int) -> None:
        """Go to the next or the previous word."""
        self._do(lambda cursor: cursor.word(by))

    def action_go(self, index: int) -> None:
        """Go to a token; -1 is the last."""
        self._do(lambda cursor: cursor.go(index if index >= 0 else len(cursor.steps)))

    def action_pick(self, number: int) -> None:
        """Pick an alternative by its number, from 1."""
        self._do(lambda cursor: cursor.pick(number - 1))

    def action_pick_next(self, by: int) -> None:
        """Pick the next or the previous alternative."""
        self._do(lambda cursor: cursor.pick_next(by))

    def _do(self, what: Callable[[TokenCursor], None]) -> None:
        if self.cursor is not None:
            what(self.cursor)
            self.point()

    def action_branch(self) -> None:
        """Branch here with the picked alternative, or with the token that stands here."""
        if self.cursor is not None and self.cursor.step is not None:
            line = self.cursor.branch
            self.leave_tokens()
            self.post_message(self.Asked(line))

    def action_hand_on(self) -> None:
        """Have another model go on from here."""
        if self.cursor is not None:
            self.post_message(self.Handing(self.cursor))

    def action_copy_token(self) -> None:
        """Copy the token's text, or that of the picked alternative."""
        if self.cursor is not None and self.cursor.step is not None:
            piece = self.cursor.piece
            self.post_message(self.Copied(piece.decode(errors="replace"), piece_text(piece)))

    def action_lacking(self) -> None:
        """Have the answer scored again, for its alternatives."""
        if self.cursor is not None:
            self.post_message(self.Lacking(self.cursor))

    def action_leave_tokens(self) -> None:
        """Take the cursor away."""
        self.leave_tokens()
