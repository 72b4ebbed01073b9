"""The most memory that a process has held."""

import re
import subprocess
import threading
from pathlib import Path
from types import TracebackType


def of(pid: int) -> int | None:
    """Bytes, as the system has counted them so far; None where it does not tell or the process is gone."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    found = re.search(r"VmHWM:\s*(\d+) kB", status)
    return int(found[1]) * 1024 if found else None


class Watch:
    """A context manager that looks at a child while it runs; afterwards ``bytes`` is its peak."""

    def __init__(self, process: "subprocess.Popen[bytes]", seconds: float = 0.05) -> None:
        self.bytes: int | None = None
        self._process = process
        self._seconds = seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        self.bytes = of(self._process.pid) or self.bytes

    def _look(self) -> None:
        while True:
            self.bytes = of(self._process.pid) or self.bytes
            if self._over.wait(self._seconds):
                return
