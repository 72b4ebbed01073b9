"""Takes pasted text out of the terminal's input before Textual looks for keys in it.

Textual's parser leaves bracketed paste at the first escape sequence inside: what follows would be read as
typed keys, a pasted line end would send the line and a pasted Ctrl+D end the sitting.
"""

from __future__ import annotations

from collections.abc import Iterable

from textual import events
from textual._xterm_parser import XTermParser
from textual.drivers import linux_driver
from textual.message import Message

START = "\x1b[200~"
END = "\x1b[201~"
SHORTEST = 3
"""So many characters of ``START`` at the end of a read wait for the next one; fewer may be the Escape key."""


class PasteParser(XTermParser):
    """Textual's parser for everything but pastes, which become one event each, whatever is in them."""

    def __init__(self, debug: bool = False) -> None:
        super().__init__(debug)
        self._held = ""
        self._pasted: list[str] | None = None
        """What came since ``START``; None outside a paste."""

    def feed(self, data: str) -> Iterable[Message]:
        """The events of one read; an empty one ends the input."""
        if not data:
            yield from super().feed(data)
            return
        data, self._held = self._held + data, ""
        while data:
            if self._pasted is None:
                typed, start, data = data.partition(START)
                if start:
                    self._pasted = []
                else:
                    typed, self._held = _hold_back(typed, START, SHORTEST)
                if typed:
                    yield from super().feed(typed)
                continue
            text, end, data = data.partition(END)
            if not end:
                text, self._held = _hold_back(text, END, 1)
            self._pasted.append(text)
            if end:
                pasted, self._pasted = "".join(self._pasted), None
                yield events.Paste(pasted.replace("\x00", ""))


def _hold_back(text: str, mark: str, shortest: int) -> tuple[str, str]:
    """``text`` without the beginning of ``mark`` at its end, and that beginning."""
    for size in range(len(mark) - 1, shortest - 1, -1):
        if text.endswith(mark[:size]):
            return text[:-size], mark[:size]
    return text, ""


def install() -> None:
    """Have the terminal's driver read with it."""
    vars(linux_driver)["XTermParser"] = PasteParser
