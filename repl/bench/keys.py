"""Key echo in a real terminal: from a typed character to its drawing, while eight panes stream.

The peer is the same app, in the same run, with nothing to draw.
"""

import itertools
import random
import sys
import tempfile
from pathlib import Path

import msgspec

from repl.bench.report import Figure, Ratio, Report, quantile
from repl.bench.terminal import Terminal

ALPHABET = "ĀĂĄĆĈĊČĎĐĒĔĖĘĚĜĞĠĢĤĦ"
"""Characters that nothing but the prompt shows, so that the echo cannot be mistaken."""
CLEAR = b"\x15"
PAUSES = (0.03, 0.09)
"""Seconds between two keys of a fast typist, drawn evenly."""
PATIENCE = 5.0
BAR = 16.0
"""Milliseconds at the 95th percentile: one frame of a 60 Hz screen."""


class Echo(msgspec.Struct, frozen=True):
    """Milliseconds from key to echo, one figure for each key."""

    idle: list[float]
    streaming: list[float]
    missed: int
    """Keys whose echo did not come within ``PATIENCE`` seconds."""
    kilobytes: float
    """Drawn per second while streaming."""


def configuration(panes: int, rate: float) -> str:
    """A configuration of ``panes`` echo models that answer for minutes at ``rate`` tokens per second."""
    lines = ["models:"]
    for number in range(panes):
        lines += [
            f"  pane{number}:",
            "    backend: echo",
            "    replicas: 1",
            "    defaults: {max_new: 100000}",
            f"    options: {{tokens_per_second: {rate}, length: 100000}}",
        ]
    return "\n".join(lines) + "\n"


def measure(panes: int = 8, rate: float = 200.0, keys: int = 200, size: tuple[int, int] = (200, 50)) -> Echo:
    """Type ``keys`` keys into the idle app, then as many while each pane takes ``rate`` tokens per second."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "panes.yaml"
        config.write_text(configuration(panes, rate))
        command = [sys.executable, "-m", "repl", "--config", str(config), "--no-record"]
        with Terminal(command, size) as terminal:
            for sign in (b"multigpu-repl", b"0/"):  # drawn, then a replica that is up
                if terminal.read_until(sign, 30.0) is None:
                    raise RuntimeError("the app did not come up within 30 s")
            terminal.read_until(None, 3.0)
            idle, missed = _type(terminal, keys)
            terminal.send(b"the quick brown fox jumps over the lazy dog and runs on\r")
            terminal.read_until(None, 2.0)
            before, began = terminal.received, terminal.send(b"")
            streaming, also_missed = _type(terminal, keys)
            seconds = terminal.send(b"") - began
            drawn = (terminal.received - before) / 1024 / seconds
    return Echo(idle, streaming, missed + also_missed, drawn)


def _type(terminal: Terminal, keys: int) -> tuple[list[float], int]:
    echoes: list[float] = []
    missed = 0
    for at, character in enumerate(itertools.islice(itertools.cycle(ALPHABET), keys)):
        if at % len(ALPHABET) == 0:
            terminal.send(CLEAR)
            terminal.read_until(None, 0.3)
        terminal.read_until(None, random.uniform(*PAUSES))  # noqa: S311
        key = character.encode()
        typed = terminal.send(key)
        seen = terminal.read_until(key, PATIENCE)
        if seen is None:
            missed += 1
        else:
            echoes.append((seen - typed) * 1000)
    terminal.send(CLEAR)
    return echoes, missed


def run(*, quick: bool = False) -> Report:
    """Run the benchmark: 400 keys in either state, or 100 when ``quick``."""
    echo = measure(keys=100 if quick else 400)
    figures = []
    for share in (0.5, 0.95):
        ours, peer = quantile(echo.streaming, share), quantile(echo.idle, share)
        middle = share == 0.5
        figures.append(
            Figure(
                name=f"key echo, p{share * 100:.0f}",
                unit="ms",
                ours=ours,
                peer="the app idle",
                peers=peer,
                ratio=Ratio(ours / peer, ours / peer, ours / peer),
                bar="" if middle else f"< {BAR:g} ms",
                met=None if middle else ours < BAR and not echo.missed,
            )
        )
    notes = (
        f"8 panes of 200 tok/s, 200 x 50 cells; {echo.kilobytes:.0f} KiB/s drawn; {echo.missed} keys missed",
    )
    return Report(bench="keys", about="from a typed key to its echo", figures=tuple(figures), notes=notes)
