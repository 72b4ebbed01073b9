"""A folder in which batch runs are started as a user starts them."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

CONFIG = """
models:
  a:
    backend: echo
    path: none
    replicas: {replicas}
    slots: 2
    options: {{faults: true, gate: "{gate}", load_error: "{load_error}"}}
  b: {{backend: echo, path: none}}
compare: [a]
"""


PATIENCE = 150
"""Seconds for what takes some: nothing here does, but other work may share the machine."""


class Place:
    """A folder with a configuration, an input and an output."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.input = folder / "in.txt"
        self.output = folder / "out.jsonl"
        self.configure()

    def configure(self, *, replicas: int = 2, gate: str = "", load_error: str = "") -> None:
        text = CONFIG.format(replicas=replicas, gate=gate, load_error=load_error)
        (self.folder / "config.yaml").write_text(text)

    def command(self, *options: str, output: str | None = None) -> list[str]:
        words = ["--config", str(self.folder / "config.yaml"), "--input", str(self.input)]
        words += ["--output", str(self.output) if output is None else output]
        return [sys.executable, "-m", "repl", "run", *words, *options]

    def run(
        self, *options: str, output: str | None = None, **more: Any
    ) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            self.command(*options, output=output), capture_output=True, timeout=PATIENCE, **more
        )

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.output.read_bytes().splitlines()]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def until(holds: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    """Wait for something another process does."""
    deadline = time.monotonic() + PATIENCE
    try:
        while not holds():
            assert process.poll() is None, "the run ended early"
            assert time.monotonic() < deadline, "it never came to that"
            time.sleep(0.01)
    except BaseException:
        process.kill()  # else the test would wait for it when it fails
        raise


def same(records: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What must not depend on when and where a line was answered."""
    return [{key: value for key, value in r.items() if key not in ("timings", "replica")} for r in records]
