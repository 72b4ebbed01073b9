"""Keeps what is typed before the app can take keys, so that none of it is lost, echoed or turned round.

Until the app is drawn the terminal is in the mode of a shell: it echoes, and makes of Enter the line feed of
a line. ``TypeAhead`` changes that at once, before anything slow is imported.
"""

import contextlib
import os
import select
import sys
import termios

_INPUT, _LOCAL = 0, 3
"""Places in the list of a terminal's attributes."""


class TypeAhead:
    """The terminal's mode while keys are taken early, and ``typed``: what had been typed before that."""

    def __init__(self) -> None:
        self.typed = ""
        stdin = sys.__stdin__
        self._fd = stdin.fileno() if stdin is not None and stdin.isatty() else None
        self._before = termios.tcgetattr(self._fd) if self._fd is not None else None

    def take(self) -> None:
        """Have keys come as they are typed, unechoed; read those that wait."""
        if self._fd is None:
            return
        changed = termios.tcgetattr(self._fd)
        changed[_INPUT] &= ~termios.ICRNL
        changed[_LOCAL] &= ~(termios.ICANON | termios.ECHO)
        termios.tcsetattr(self._fd, termios.TCSANOW, changed)
        typed = b""
        while select.select([self._fd], [], [], 0)[0] and (more := os.read(self._fd, 4096)):
            typed += more
        # What was typed as a line has its end as the terminal made it.
        self.typed = typed.decode(errors="ignore").replace("\n", "\r")

    def give_back(self) -> None:
        """Put the terminal back into the mode it was in; once is enough. One that has gone needs nothing."""
        if self._fd is not None and self._before is not None:
            with contextlib.suppress(termios.error):
                termios.tcsetattr(self._fd, termios.TCSANOW, self._before)
            self._before = None
