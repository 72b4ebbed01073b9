"""The app and line mode as a newcomer meets them: a real terminal, real models, and a clean shell after."""

import importlib.util

import pytest

from tests.terminal.conftest import SHELL, Terminal

pytestmark = [
    pytest.mark.terminal,
    pytest.mark.skipif(importlib.util.find_spec("transformers") is None, reason="needs transformers"),
]

FOOT = " tok/s · first "


def left(terminal: Terminal) -> None:
    """The shell is back as if nothing had been there."""
    terminal.until(lambda: not terminal.alternate, "the shell's own screen")
    terminal.until(lambda: terminal.rows()[-1].strip() == SHELL.strip(), "the shell's prompt")
    assert terminal.cursor_shown


def test_two_checkpoints_side_by_side(terminal: Terminal, program: str) -> None:
    modes = terminal.modes()
    terminal.type(f"{program} --compare lm-late,lm-early --set min_new=8")
    terminal.shows("> Ask lm-late and lm-early")
    terminal.type("The with statement")
    terminal.until(lambda: "\n".join(terminal.rows()).count(FOOT) == 2, "both answers")

    terminal.resize(80, 24)
    terminal.until(lambda: all(len(row) <= 80 for row in terminal.rows()), "the smaller screen")
    terminal.shows("lm-late", "lm-early")
    terminal.resize(20, 5)
    terminal.resize(120, 36)
    terminal.until(lambda: "\n".join(terminal.rows()).count(FOOT) == 2, "both answers again")

    terminal.press("C-d")
    left(terminal)
    assert terminal.modes() == modes


def test_an_answer_is_stopped_and_retried(terminal: Terminal, program: str) -> None:
    terminal.type(f"{program} --model lm-late --set max_new=4000 --set min_new=4000")
    terminal.shows("> Ask lm-late")
    terminal.type("The with statement")
    terminal.shows("answering")
    terminal.press("C-c")
    terminal.shows("stopped")
    assert terminal.alternate
    terminal.type("/set max_new 5")
    terminal.type("/set min_new 5")
    terminal.type("/retry")
    terminal.shows(FOOT)
    terminal.type("/quit")
    left(terminal)
    terminal.type(f"clear; {program} --model lm-late --resume")
    terminal.shows("The with statement", "stopped")
    terminal.press("C-d")
    left(terminal)


def test_line_mode_streams_above_its_prompt(terminal: Terminal, program: str) -> None:
    modes = terminal.modes()
    terminal.type(f"{program} --plain --model lm-late --model lm-early --set min_new=8")
    terminal.shows("lm-late ●", "lm-early ●")
    terminal.type("The with statement")
    terminal.until(lambda: "\n".join(terminal.rows()).count(FOOT) == 2, "both answers")
    text = "\n".join(terminal.rows())
    assert text.index("\nlm-late\n") < text.index("\nlm-early\n")
    assert text.count("> The with statement") == 1

    terminal.type("/set max_new 4000")
    terminal.type("/set min_new 4000")
    terminal.type("@lm-late The for statement")
    terminal.until(lambda: " 1/" in terminal.rows()[-1], "a busy replica in the bar")
    terminal.press("C-c")
    terminal.shows("stopped")
    terminal.resize(60, 20)
    terminal.type("/replicas")
    terminal.shows("lm-late/0")
    terminal.press("C-d")
    left(terminal)
    assert terminal.modes() == modes


def test_line_mode_leaves_a_clean_terminal_when_it_is_terminated(terminal: Terminal, program: str) -> None:
    modes = terminal.modes()
    terminal.type(f"{program} --plain --model lm-late --set min_new=8 & echo $! > pid; fg")
    terminal.shows("/help lists the commands")
    terminal.until(lambda: "lm-late ●" in terminal.rows()[-1], "the model")
    terminal.type("The with statement")
    terminal.shows(FOOT)
    terminal._run("run-shell", "-b", "kill -TERM $(cat #{pane_current_path}/pid)")
    left(terminal)
    assert terminal.modes() == modes


def test_line_mode_is_suspended_and_goes_on(terminal: Terminal, program: str) -> None:
    terminal.type(f"{program} --plain --model num2digits")
    terminal.shows("/help lists the commands")
    terminal.press(*"two")
    terminal.shows("> two")
    terminal.press("C-z")
    terminal.shows("Stopped")
    terminal.type("echo the shell $((1 + 1))")
    terminal.shows("the shell 2")
    terminal.type("clear; fg")
    terminal.shows("> two")
    terminal.type(" hundred")
    terminal.shows("2 0 0")
