"""A text area that cuts, pastes and moves by words as readline does, as shells have taught everyone."""

import re

from rich.text import Text
from textual import events
from textual.widgets import TextArea

from repl.tui.input.standins import StandIns

WORD = re.compile(r"\W*\w+")
LAST_WORD = re.compile(r"\w+\W*\Z")
LAST_BLANK_WORD = re.compile(r"\S+\s*\Z")


class ReadlineArea(TextArea):
    """The editing half of the prompt; which keys do what is in ``keymap.PROMPT``."""

    _killed = ""
    stand_ins = StandIns()

    @property
    def meant(self) -> str:
        """The text as it was typed and pasted; ``text`` has stand-ins for controls."""
        return self.stand_ins.decoded(self.text)

    def get_line(self, line_index: int) -> Text:
        """A line as it is drawn, with glyphs for controls."""
        return Text(self.stand_ins.drawn(self.document.get_line(line_index)), end="", no_wrap=True)

    def put(self, text: str) -> None:
        """Insert ``text`` in place of the selection, with the cursor after it."""
        result = self.replace(self.stand_ins.encoded(text), *self.selection, maintain_selection_offset=False)
        self.move_cursor(result.end_location)

    def action_newline(self) -> None:
        """Start a new line."""
        self.put("\n")

    async def _on_paste(self, event: events.Paste) -> None:
        """Keep the line breaks of pasted text, whichever they are, and let it stay one prompt."""
        event.stop()
        event.prevent_default()
        text = event.text.replace("\r\n", "\n").replace("\r", "\n")
        self.put(text)
        self.focus()

    def action_kill(self, what: str) -> None:
        """Cut to the start or end of the line, or a word to the left or right."""
        if self.selection.is_empty:
            start, end = sorted((self.cursor_location, self._target_of(what)))
        else:
            start, end = sorted(self.selection)
        if start == end:
            return
        self._killed = self.stand_ins.decoded(self.get_text_range(start, end))
        self.delete(start, end, maintain_selection_offset=False)

    def action_word(self, by: int) -> None:
        """Move to the end of the word to the right, or to the start of the one to the left."""
        self.move_cursor(self._target_of("word_right" if by > 0 else "word_left"))

    def _target_of(self, what: str) -> tuple[int, int]:
        row, column = self.cursor_location
        line = self.document[row]
        if what in ("word_right", "to_end_of_line"):
            if column == len(line) and row < self.document.line_count - 1:
                return row + 1, 0
            word = WORD.match(line, column) if what == "word_right" else None
            return row, word.end() if word is not None else len(line)
        if column == 0 and row > 0:
            return row - 1, len(self.document[row - 1])
        before = {"word_left": LAST_WORD, "blank_left": LAST_BLANK_WORD}.get(what)
        word = before.search(line[:column]) if before is not None else None
        return row, word.start() if word is not None else 0

    def action_yank(self) -> None:
        """Paste what was cut last."""
        if self._killed:
            self.put(self._killed)
