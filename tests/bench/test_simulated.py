"""The benchmarks that run the coordinator's decision on a virtual clock, begun as the command begins them."""

import json
from pathlib import Path

import pytest

from repl import eventloop
from repl.bench import dispatch
from repl.cli import main


def test_pools_that_no_machine_has_are_simulated_and_nobody_waits_longer_than_need_be() -> None:
    figures = eventloop.run(dispatch.at_scale(200))
    greatest = [figure for figure in figures if figure.name.endswith("greatest regret")]
    assert [figure.name.split()[0] for figure in greatest] == ["8", "64", "512"]
    assert all(figure.met for figure in greatest)


def test_the_command_replays_a_trace(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "trace.jsonl"
    told = [
        {"t": 0.0, "event": "replica", "model": "echo", "name": "echo/0", "state": "ready", "slots": 1},
        {"t": 0.1, "event": "submitted", "id": 1, "model": "echo"},
        {"t": 0.1, "event": "placed", "id": 1},
        {"t": 0.6, "event": "ended", "id": 1, "queue": 0.0, "total": 0.5},
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in told))
    assert main(["bench", "--replay", str(path)]) == 0
    assert "echo: mean wait" in capsys.readouterr().out
