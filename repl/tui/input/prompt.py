"""The prompt: a multi-line input with readline's keys, history, search and completion.

It knows nothing of sessions: the app gives it a completer and a history, and receives what is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from textual import events
from textual.message import Message
from textual.widgets import TextArea

from repl.tui import keymap
from repl.tui.input.history import History
from repl.tui.input.readline import ReadlineArea

if TYPE_CHECKING:
    from repl.session.commands.base import Completion

ACTIONS = keymap.actions(TextArea.BINDINGS) | keymap.actions(keymap.bindings(keymap.PROMPT))
"""Key to action."""
LIVE = ("/", "@")
"""A line that begins like this shows its completions while it is typed."""


class Prompt(ReadlineArea):
    """Enter sends; see ``keymap.PROMPT`` for the rest."""

    class Sent(Message):
        """The user sent ``text``."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Completing(Message):
        """Completions to show, with the chosen one's index or -1; none closes the list."""

        def __init__(self, completions: Sequence[Completion], chosen: int = -1) -> None:
            super().__init__()
            self.completions = completions
            self.chosen = chosen

    class Searching(Message):
        """The search of the history, in words; empty when it ended."""

        def __init__(self, words: str) -> None:
            super().__init__()
            self.words = words

    def __init__(self, completer: Callable[[str], Sequence[Completion]], history: History) -> None:
        super().__init__(compact=True, highlight_cursor_line=False, id="prompt")
        self.completer = completer
        self.past = history
        self._completions: Sequence[Completion] = ()
        self._chosen = -1
        self._typed = ""
        """The line the completions belong to."""
        self._query: str | None = None
        """What is searched for in the history; None when nothing is."""
        self._found: int | None = None
        self._before_search = ""
        self._expected: str | None = None
        """The text this widget itself put in, whose change event means nothing."""

    # -- the text --------------------------------------------------------------------------------------------

    def fill(self, text: str) -> None:
        """Replace the text, with the cursor at its end; can be undone."""
        text = self.stand_ins.encoded(text)
        self._expected = text
        self.replace(text, (0, 0), self.document.end)
        self.move_cursor(self.document.end)

    def _on_text_area_changed(self, event: TextArea.Changed) -> None:
        if self.text == self._expected:
            return
        self._expected = None
        self.past.leave()
        self._complete_live()

    async def _on_key(self, event: events.Key) -> None:
        """Carry out a key at once.

        Textual would look for its binding only after it has bubbled up to the app, and the characters typed
        meanwhile would overtake it: a line sent fast would take the beginning of the next one with it.
        """
        if self._query is not None and self._search_key(event):
            event.stop()
            event.prevent_default()
        elif (action := ACTIONS.get(event.key)) is not None:
            event.stop()
            event.prevent_default()
            await self.run_action(action)

    def action_send(self) -> None:
        """Send the text, unless it is blank."""
        text = self.meant
        self.close_completions()
        if not text.strip():
            return
        self.past.add(text)
        self._expected = ""
        self.clear()
        self.post_message(self.Sent(text))

    async def action_delete_or_leave(self) -> None:
        """Delete the character under the cursor; on an empty input, leave the app."""
        if self.text:
            self.action_delete_right()
        else:
            await self.run_action("app.leave")

    # -- history ---------------------------------------------------------------------------------------------

    def action_up(self) -> None:
        """Line up, or the earlier completion, or the earlier input."""
        if self._chosen >= 0:
            self._choose(-1)
        elif not self.navigator.is_first_wrapped_line(self.cursor_location):
            self.action_cursor_up()
        else:
            self._walk(-1)

    def action_down(self) -> None:
        """Line down, or the next completion, or the later input."""
        if self._chosen >= 0:
            self._choose(1)
        elif not self.navigator.is_last_wrapped_line(self.cursor_location):
            self.action_cursor_down()
        else:
            self._walk(1)

    def _walk(self, by: int) -> None:
        line = self.past.step(by, self.meant)
        if line is not None:
            self.close_completions()
            self.fill(line)

    def action_search(self) -> None:
        """Search the history; again for an older match."""
        if self._query is None:
            self.close_completions()
            self._query, self._found, self._before_search = "", None, self.meant
        self._report_search()

    def _search_key(self, event: events.Key) -> bool:
        """Handle a key while searching; False lets it take its usual way, with the search over."""
        assert self._query is not None
        if event.key == "ctrl+r":
            self._look(self._found)
        elif event.key in ("backspace", "ctrl+h"):
            self._query = self._query[:-1]
            self._look(None)
        elif event.key in ("escape", "ctrl+g"):
            self.leave_search()
        elif event.is_printable and event.character:
            self._query += event.character
            self._look(None)
        else:
            self._end_search()
            return event.key == "enter"  # takes the line over, to be looked at before it is sent
        return True

    def _look(self, before: int | None) -> None:
        assert self._query is not None
        found = self.past.search(self._query, before) if self._query else None
        if found is not None:
            self._found = found
            self.fill(self.past.lines[found])
        self._report_search(missing=bool(self._query) and found is None)

    def _report_search(self, missing: bool = False) -> None:
        outcome = "nothing older: " if missing else ""
        self.post_message(
            self.Searching(f"search: {self._query}   {outcome}Ctrl+R older · Enter takes it · Esc back")
        )

    def leave_search(self) -> None:
        """Put back what stood in the prompt before the search."""
        self.fill(self._before_search)
        self._end_search()

    def _end_search(self) -> None:
        if self._query is not None:
            self._query = None
            self.post_message(self.Searching(""))

    @property
    def searching(self) -> bool:
        """Whether keys go to the search of the history."""
        return self._query is not None

    # -- completion ------------------------------------------------------------------------------------------

    def close_completions(self) -> bool:
        """Close the list; whether it was open."""
        was_open = bool(self._completions)
        self._completions, self._chosen = (), -1
        if was_open:
            self.post_message(self.Completing(()))
        return was_open

    def restore_typed(self) -> bool:
        """Take a completion back and close the list; whether there was one."""
        if self._chosen >= 0:
            self.fill(self._typed)
        return self.close_completions()

    async def action_complete(self) -> None:
        """Complete as far as is certain, then offer the choices one by one."""
        if self._chosen >= 0:
            self._choose(1)
            return
        found = self._find()
        if not found:
            if self.text.strip():
                return
            await self.run_action("app.next_pane(1)")
            return
        self._completions, self._typed = found, self.meant
        if len(found) == 1:
            self.fill(self._typed[: found[0].start] + found[0].text)
            self.close_completions()
            self._complete_live()
            return
        certain = _common([self._typed[: c.start] + c.text for c in found])
        if len(certain) > len(self._typed) and certain.startswith(self._typed):
            self.fill(certain)
            self._typed = certain
            self._completions = self._find() or found
            self.post_message(self.Completing(self._completions))
        else:
            self._choose(1)

    async def action_previous(self) -> None:
        """The completion before this one; without any, the previous pane."""
        if self._completions:
            self._choose(-1)
        else:
            await self.run_action("app.next_pane(-1)")

    def _choose(self, by: int) -> None:
        if self._chosen < 0:
            self._typed = self.meant
            self._chosen = 0 if by > 0 else len(self._completions) - 1
        else:
            self._chosen = (self._chosen + by) % len(self._completions)
        completion = self._completions[self._chosen]
        self.fill(self._typed[: completion.start] + completion.text)
        self.post_message(self.Completing(self._completions, self._chosen))

    def _find(self) -> Sequence[Completion]:
        """Completions of the text, as long as the cursor is at its end and it is one line."""
        if self.cursor_location != self.document.end or self.document.line_count > 1:
            return ()
        return self.completer(self.meant)

    def _complete_live(self) -> None:
        found = self._find() if self.text.startswith(LIVE) else ()
        if len(found) == 1 and self.meant == self.meant[: found[0].start] + found[0].text.rstrip():
            found = ()
        self._chosen = -1
        if found or self._completions:
            self._completions, self._typed = found, self.meant
            self.post_message(self.Completing(found))


def _common(texts: Sequence[str]) -> str:
    first, last = min(texts), max(texts)
    size = next(
        (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last))
    )
    return first[:size]
