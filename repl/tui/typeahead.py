"""Keeps what is typed before the app can take keys, so that none of it is lost, echoed or turned round.

Until the app is drawn the terminal is in the mode of a shell: it echoes, and makes of Enter the line feed of
a line. ``taken`` changes that at once, before anything slow is imported.
"""

import os
import select
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager

_INPUT, _LOCAL = 0, 3
"""Places in the list of a terminal's attributes."""


@contextmanager
def taken() -> Iterator[str]:
    """Read keys as they are typed, unechoed; gives what had been typed. Afterwards all is as before."""
    stdin = sys.__stdin__
    if stdin is None or not stdin.isatty():
        yield ""
        return
    fd = stdin.fileno()
    before = termios.tcgetattr(fd)
    changed = termios.tcgetattr(fd)
    changed[_INPUT] &= ~termios.ICRNL
    changed[_LOCAL] &= ~(termios.ICANON | termios.ECHO)
    termios.tcsetattr(fd, termios.TCSANOW, changed)
    try:
        yield _waiting(fd)
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


def _waiting(fd: int) -> str:
    """What was typed as lines, its line ends turned into Enter again."""
    typed = b""
    while select.select([fd], [], [], 0)[0] and (more := os.read(fd, 4096)):
        typed += more
    return typed.decode(errors="ignore").replace("\n", "\r")
