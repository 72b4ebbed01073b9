"""Key echo in a real terminal: from a typed character to its drawing, while eight panes stream.

The peer is the same app, in the same run, with nothing to draw.
"""

import itertools
import random
import sys
import tempfile
from pathlib import Path

import msgspec

from repl.bench.report import Figure, Report, quantile
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
    """Milliseconds from key to echo, for each round one figure for each key."""

    idle: list[list[float]]
    streaming: list[list[float]]
    missed: int
    """Keys whose echo did not come within ``PATIENCE`` seconds; they count as that long."""
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


def measure(
    panes: int = 8,
    rate: float = 200.0,
    rounds: int = 4,
    keys: int = 50,
    size: tuple[int, int] = (200, 50),
) -> Echo:
    """Type ``rounds`` of ``keys`` keys into the idle app, then while each pane takes ``rate`` tokens/s."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "panes.yaml"
        config.write_text(configuration(panes, rate))
        command = [sys.executable, "-m", "repl", "--config", str(config), "--no-record"]
        with Terminal(command, size) as terminal:
            for sign in (b"multigpu-repl", b"0/"):  # drawn, then a replica that is up
                if terminal.read_until(sign, 30.0) is None:
                    raise RuntimeError("the app did not come up within 30 s")
            terminal.read_until(None, 3.0)
            idle, missed = _rounds(terminal, rounds, keys)
            terminal.send(b"the quick brown fox jumps over the lazy dog and runs on\r")
            terminal.read_until(None, 2.0)
            before, began = terminal.received, terminal.send(b"")
            streaming, also_missed = _rounds(terminal, rounds, keys)
            seconds = terminal.send(b"") - began
            drawn = (terminal.received - before) / 1024 / seconds
    return Echo(idle, streaming, missed + also_missed, drawn)


def _rounds(terminal: Terminal, rounds: int, keys: int) -> tuple[list[list[float]], int]:
    typed = [_type(terminal, keys) for _ in range(rounds)]
    return [echoes for echoes, _ in typed], sum(missed for _, missed in typed)


def _type(terminal: Terminal, keys: int) -> tuple[list[float], int]:
    echoes: list[float] = []
    missed = 0
    for at, character in enumerate(itertools.islice(itertools.cycle(ALPHABET), keys)):
        if at % len(ALPHABET) == 0:
            terminal.send(CLEAR)
            terminal.read_until(None, 0.3)
        terminal.read_until(None, random.uniform(*PAUSES))
        key = character.encode()
        typed = terminal.send(key)
        seen = terminal.read_until(key, PATIENCE)
        missed += seen is None
        echoes.append(PATIENCE * 1000 if seen is None else (seen - typed) * 1000)
    terminal.send(CLEAR)
    return echoes, missed


def run(*, quick: bool = False) -> Report:
    """Run the benchmark: four rounds of 100 keys in either state, or of 25 when ``quick``."""
    echo = measure(keys=25 if quick else 100)
    middle, slow = _figure(echo, 0.5), _figure(echo, 0.95)
    slow = msgspec.structs.replace(slow, bar=f"< {BAR:g} ms", met=slow.ours < BAR and not echo.missed)
    notes = (
        f"8 panes of 200 tok/s, 200 x 50 cells; {echo.kilobytes:.0f} KiB/s drawn; {echo.missed} keys missed",
    )
    return Report(bench="keys", about="from a typed key to its echo", figures=(middle, slow), notes=notes)


def _figure(echo: Echo, share: float) -> Figure:
    """Within how long so large a share of the keys was drawn, of each round."""
    ours = [quantile(echoes, share) for echoes in echo.streaming]
    peers = [quantile(echoes, share) for echoes in echo.idle]
    return Figure.compare(f"key echo, p{share * 100:.0f}", "ms", ours, "the app idle", peers)
