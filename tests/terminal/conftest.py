"""A real terminal, by tmux: a shell in it, keys sent to it, and its screen read back."""

import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import require_tool

PATIENCE = 60.0
"""Seconds for something to appear: models are loaded meanwhile."""
SHELL = "sh$ "


class Terminal:
    """One tmux server of its own with one shell."""

    def __init__(self, name: str, folder: Path, columns: int = 120, rows: int = 36) -> None:
        self._tmux = [require_tool("tmux"), "-L", name, "-f", "/dev/null"]
        self._run("new-session", "-d", "-x", str(columns), "-y", str(rows), "-c", str(folder), "sh")
        self._run("set-option", "-g", "set-clipboard", "on")
        self.type(f"PS1='{SHELL}'; clear")
        self.until(lambda: self.rows()[:1] == [SHELL.strip()], "a shell")

    def _run(self, *words: str) -> str:
        # The readline that pytest imports sets these, and in a place that only children see.
        env = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        return subprocess.run(
            [*self._tmux, *words], capture_output=True, text=True, check=True, env=env
        ).stdout

    def type(self, text: str) -> None:
        """A line of text, and Enter."""
        if text:
            self._run("send-keys", "-l", text)
        self.press("Enter")

    def press(self, *keys: str) -> None:
        """Keys by tmux's names: ``C-c``, ``Enter``, ``F1``."""
        self._run("send-keys", *keys)

    def resize(self, columns: int, rows: int) -> None:
        self._run("resize-window", "-x", str(columns), "-y", str(rows))

    def rows(self) -> list[str]:
        """The screen, without the empty rows at its end."""
        return self._run("capture-pane", "-p").rstrip().split("\n")

    def styled(self) -> str:
        """The screen with its colours."""
        return self._run("capture-pane", "-p", "-e")

    @property
    def alternate(self) -> bool:
        """Whether the screen is the one that full-screen programs draw on."""
        return self._run("display-message", "-p", "#{alternate_on}").strip() == "1"

    @property
    def title(self) -> str:
        return self._run("display-message", "-p", "#{pane_title}").strip()

    @property
    def cursor_shown(self) -> bool:
        return self._run("display-message", "-p", "#{cursor_flag}").strip() == "1"

    @property
    def clipboard(self) -> str:
        return self._run("show-buffer") if self._run("list-buffers") else ""

    def until(self, holds: Callable[[], object], what: str) -> None:
        """Wait until the screen is as it should be."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            screen = "\n".join(self.rows())
            assert time.monotonic() < deadline, f"never came: {what}\n{screen}"
            time.sleep(0.05)

    def shows(self, *texts: str) -> None:
        for text in texts:
            self.until(lambda wanted=text: wanted in "\n".join(self.rows()), text)

    def modes(self) -> str:
        """The line discipline's settings, asked from the shell that is in front now."""
        self.type("clear; stty -g")
        self.until(lambda: len(self.rows()) > 1 and self.rows()[-1].strip() == SHELL.strip(), "the modes")
        return "".join(self.rows()[:-1])

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], capture_output=True, check=False)


@pytest.fixture
def terminal(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Terminal]:
    name = f"repl-{abs(hash((str(tmp_path), request.node.nodeid))):x}"
    require_tool("tmux")
    terminal = Terminal(name, tmp_path)
    yield terminal
    terminal.close()


@pytest.fixture
def program() -> str:
    """The command, to be typed into a shell."""
    return f"{shlex.quote(sys.executable)} -m repl"
