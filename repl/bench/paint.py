"""Start-up: ``--help``, and the time until the app has drawn its first screen in a pseudo-terminal.

The peer of the first paint is the smallest Textual app, in the same terminal and run.
"""

import subprocess
import sys
import time

from repl.bench.report import Figure, Report
from repl.bench.terminal import Terminal

MINIMAL = """
from textual.app import App, ComposeResult
from textual.widgets import Static
class Minimal(App):
    def compose(self) -> ComposeResult:
        yield Static("multigpu-repl")
Minimal().run()
"""
MARK = b"multigpu-repl"
PROGRAM = [sys.executable, "-m", "repl"]


def help_seconds() -> float:
    """Wall time of ``multigpu-repl --help``."""
    began = time.perf_counter()
    subprocess.run([*PROGRAM, "--help"], stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def paint_seconds(command: list[str]) -> float:
    """From its start until its name is on the screen; raises ``RuntimeError`` if that does not come."""
    with Terminal(command, (120, 36)) as terminal:
        painted = terminal.read_until(MARK, 20.0)
        if painted is None:
            raise RuntimeError(f"{' '.join(command[:4])} drew nothing within 20 s")
        return painted - terminal.started


def run(*, quick: bool = False) -> Report:
    """Run the benchmark: 15 rounds, or 5 when ``quick``."""
    rounds = 5 if quick else 15
    helps = [help_seconds() for _ in range(rounds)]
    app, minimal = [], []
    for _ in range(rounds):
        app.append(paint_seconds([*PROGRAM, "--config", "echo"]))
        minimal.append(paint_seconds([sys.executable, "-c", MINIMAL]))
    return Report(
        bench="paint",
        about="start-up, process start included",
        figures=(
            Figure.limit("--help", "s", helps, 0.15),
            Figure.limit("first paint", "s", app, 0.5),
            Figure.compare("first paint", "s", app, "minimal Textual app", minimal),
        ),
    )
