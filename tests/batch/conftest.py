"""A folder in which batch runs are started as a user starts them."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.echo import PATIENCE, EchoFolder


class Place(EchoFolder):
    """With an input and an output; model ``a`` has two replicas."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.input = folder / "in.txt"
        self.output = folder / "out.jsonl"

    def configure(self, *, replicas: int = 2, **more: str) -> None:
        super().configure(replicas=replicas, **more)

    def command(self, *options: str, output: str | None = None) -> list[str]:
        words = ["--config", str(self.config), "--input", str(self.input)]
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
