"""A program in a pseudo-terminal, driven and read by a benchmark."""

import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Mapping, Sequence
from types import TracebackType


class Terminal:
    """Start ``command`` in a terminal of ``size`` (columns, rows); a context manager."""

    def __init__(
        self, command: Sequence[str], size: tuple[int, int] = (200, 50), env: Mapping[str, str] | None = None
    ) -> None:
        self._command = list(command)
        self._size = size
        self._env = {**os.environ, "TERM": "xterm-256color", "COLORTERM": "truecolor", **(env or {})}
        self.received = 0
        """Bytes the program wrote so far."""

    def __enter__(self) -> "Terminal":
        self.started = time.perf_counter()
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execvpe(self._command[0], self._command, self._env)  # noqa: S606
        columns, rows = self._size
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._fd)

    def send(self, data: bytes) -> float:
        """Type something; returns when, in seconds of ``time.perf_counter``."""
        now = time.perf_counter()
        os.write(self._fd, data)
        return now

    def read_until(self, wanted: bytes | None, seconds: float) -> float | None:
        """When ``wanted`` was first seen, or None if not within ``seconds``; None for ``wanted`` reads on."""
        end = time.perf_counter() + seconds
        seen = b""
        while (left := end - time.perf_counter()) > 0:
            if not select.select([self._fd], [], [], left)[0]:
                return None
            try:
                data = os.read(self._fd, 1 << 16)
            except OSError:  # the program ended
                return None
            self.received += len(data)
            seen = seen[-256:] + data
            if wanted is not None and wanted in seen:
                return time.perf_counter()
        return None
