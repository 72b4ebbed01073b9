"""``fairseq-interactive`` on a file of lines, timed from the first line it is given to its end."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from repl.bench import peak

READY = b"Type the input sentence"


class Run(NamedTuple):
    """What a run took."""

    seconds: float
    """Of wall time, loading not counted."""
    peak: int | None
    """Most bytes of memory that it held; None where the system does not tell."""


def run(data: Path, checkpoint: Path, lines: Sequence[str], *, threads: int, options: Sequence[str]) -> Run:
    """Translate ``lines``; raises ``RuntimeError`` when it fails."""
    command = [sys.executable, "-m", "backends.fairseq.compat", "fairseq_cli.interactive:cli_main"]
    command += [str(data), "--path", str(checkpoint), "--cpu", *options]
    env = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env
    ) as process:
        assert process.stdout is not None
        said = b""
        for line in process.stdout:  # fairseq logs on whichever stream it was set up with
            said = said[-2000:] + line
            if READY in line:
                break
        began = time.perf_counter()
        with peak.Watch(process) as watch:
            out, _ = process.communicate(("\n".join(lines) + "\n").encode())
        took = time.perf_counter() - began
    answered = out.count(b"\nH-") + out.startswith(b"H-")
    if process.returncode or answered < len(lines):
        raise RuntimeError(f"fairseq-interactive answered {answered} of {len(lines)} lines:\n{said.decode()}")
    return Run(took, watch.bytes)
