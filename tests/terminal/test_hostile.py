"""Escape sequences that reach the program must not reach the terminal."""

from pathlib import Path

import pytest

from tests.terminal.conftest import SHELL, Terminal

pytestmark = pytest.mark.terminal

HOSTILE = "\x1b]0;owned\x07\x1b]52;c;b3duZWQ=\x07\x1b[31mred\x1b[0m \u202eback\u009b2J end"
SAFE = "␛]0;owned␇␛]52;c;b3duZWQ=␇␛[31mred␛[0m ⟨202E⟩back⟨9B⟩2J"
MODELS = """
models:
  echo: {backend: echo, path: none}
  broken: {backend: echo, path: none, options: {load_error: "\\e]0;owned\\a\\e[31mred"}}
"""


@pytest.mark.parametrize("options", ["", "--plain"])
def test_prompts_answers_and_errors_cannot_reach_the_terminal(
    terminal: Terminal, program: str, tmp_path: Path, options: str
) -> None:
    (tmp_path / "echo.yaml").write_text(MODELS)
    (tmp_path / "prompt").write_text(HOSTILE)
    title, clipboard = terminal.title, terminal.clipboard
    terminal.type(f"{program} --config echo.yaml < prompt > answers 2> errors; clear")
    terminal.until(lambda: (tmp_path / "errors").exists() and terminal.rows() == [SHELL.strip()], "the pipe")
    assert HOSTILE in (tmp_path / "answers").read_text()
    terminal.type(f"{program} --config echo.yaml {options} --resume")
    terminal.shows(SAFE)
    terminal.type("and now?")
    terminal.shows("␛]0;owned␇␛[31mred")
    assert (terminal.title, terminal.clipboard) == (title, clipboard)
    assert "\x1b[31mred" not in terminal.styled()
    terminal.press("C-d")
    terminal.until(lambda: terminal.rows()[-1].strip() == SHELL.strip(), "the shell")
