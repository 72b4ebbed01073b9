"""The list of completions that floats above the prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len
from textual.content import Content
from textual.widget import Widget

from repl.safe import visible_line
from repl.tui.status import STYLES, clip

if TYPE_CHECKING:
    from repl.session.commands.base import Completion

MOST = 8
"""Rows shown at once; the list scrolls with the choice."""


class Completions(Widget):
    """Shows what it is told to; choosing is the prompt's matter."""

    def __init__(self) -> None:
        super().__init__(id="completions")
        self._items: list[tuple[str, str]] = []
        self._chosen = -1

    def show(self, completions: Sequence[Completion], chosen: int, *, above: int) -> None:
        """Show ``completions`` with one of them marked, ending above a row of the screen; hide when none."""
        self._items = [(visible_line(c.text.strip()), visible_line(c.help)) for c in completions]
        self._chosen = chosen
        self.display = bool(self._items)
        height = min(MOST, len(self._items))
        self.styles.height = height
        self.styles.offset = (0, max(0, above - height))
        self.refresh(layout=True)

    def render(self) -> Content:
        """A row for each: a mark at the chosen one, the text, its help."""
        first = max(0, min(self._chosen - MOST // 2, len(self._items) - MOST))
        names = self._name_width()
        room = self.size.width - names - 4
        rows = []
        for at, (name, words) in enumerate(self._items[first : first + MOST], first):
            here = at == self._chosen
            padded = name + " " * (names - cell_len(name))
            row = Content.assemble(
                "▸ " if here else "  ",
                (padded, "bold" if here else ""),
                "  ",
                (clip(words, room), STYLES["muted"]),
            )
            rows.append(row.stylize("reverse") if here else row)
        return Content("\n").join(rows)

    def _name_width(self) -> int:
        return max((cell_len(name) for name, _ in self._items), default=0)
