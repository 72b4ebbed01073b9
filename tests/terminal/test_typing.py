"""Typing into a real terminal: before the app is drawn, and pastes."""

from pathlib import Path

import pytest

from .conftest import SHELL, Terminal

pytestmark = pytest.mark.terminal

MODELS = "models:\n  echo: {backend: echo, path: none}\n"


def test_what_is_typed_while_the_app_starts_is_asked(
    terminal: Terminal, program: str, tmp_path: Path
) -> None:
    (tmp_path / "echo.yaml").write_text(MODELS)
    modes = terminal.modes()
    terminal.type(f"{program} --config echo.yaml --no-record")
    terminal.type("the first line")
    for word in ("and", " a", " second"):
        terminal._run("send-keys", "-l", word)
    terminal.shows("> the first line", "3 tok · first ")
    terminal.shows("> and a second")
    terminal.press("C-u", "C-d")
    terminal.until(lambda: not terminal.alternate, "the shell's own screen")
    terminal.until(lambda: terminal.rows()[-1].endswith(SHELL.strip()), "the shell's prompt")
    assert terminal.modes() == modes
