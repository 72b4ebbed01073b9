"""Typing into a real terminal: before the app is drawn, and pastes."""

import json
from pathlib import Path

import pytest

from tests.terminal.conftest import SHELL, Terminal

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
    terminal.shows("> the first line", "3 tok · ")
    terminal.shows("> and a second")
    terminal.press("C-u", "C-d")
    terminal.until(lambda: not terminal.alternate, "the shell's own screen")
    terminal.until(lambda: terminal.rows()[-1].endswith(SHELL.strip()), "the shell's prompt")
    assert terminal.modes() == modes


def test_pasted_controls_are_drawn_as_glyphs_and_sent_as_they_are(
    terminal: Terminal, program: str, tmp_path: Path
) -> None:
    pasted = "\x1b]0;owned\x07 red\x1b[31m\x04 end"
    (tmp_path / "echo.yaml").write_text(MODELS)
    terminal.type(f"{program} --config echo.yaml")
    terminal.shows("> Ask echo")
    title = terminal.title
    terminal._run("set-buffer", pasted)
    terminal._run("paste-buffer", "-p")
    terminal.shows("> ␛]0;owned␇ red␛[31m␄ end")
    terminal.press("Enter")
    terminal.shows("3 tok · ")
    assert terminal.title == title
    terminal.press("C-d")
    terminal.until(lambda: not terminal.alternate, "the shell's own screen")
    terminal.type(f"clear; {program} records export records.jsonl")
    terminal.until(
        lambda: (tmp_path / "records.jsonl").exists() and (tmp_path / "records.jsonl").read_text(), "records"
    )
    assert json.dumps(pasted) in (tmp_path / "records.jsonl").read_text()
