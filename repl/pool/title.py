"""The name under which a process is seen by ps, top and nvidia-smi."""

import ctypes
import sys
from pathlib import Path

_SET_NAME = 15
"""Of prctl."""
_ARG_START, _ARG_END = 45, 46
"""Where the command line stands in memory: fields of /proc/PID/stat, from the third on."""


def show(title: str) -> None:
    """Take ``title`` for this process' command line, as far as the old one's room goes, and for its name.

    A forked process would else be seen as what it was forked from. Linux only; elsewhere, and where the
    system hides what is needed, nothing happens.
    """
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_SET_NAME, title.encode()[:15])
    try:
        fields = Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()
        start, end = int(fields[_ARG_START]), int(fields[_ARG_END])
        before = Path("/proc/self/cmdline").read_bytes()
    except (OSError, IndexError, ValueError):
        return
    if not start or len(before) != end - start or ctypes.string_at(start, end - start) != before:
        return
    room = end - start - 1
    ctypes.memmove(start, title.encode()[:room].ljust(room, b"\0"), room)
