"""The drop-in prints what fairseq's own tool prints, read from two processes."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from repl.demo import model_path

if importlib.util.find_spec("fairseq") is None:
    pytest.skip("fairseq is not installed: multigpu-repl install fairseq", allow_module_level=True)

ROOT = Path(__file__).parents[2]
LINES = [
    "two hundred and five",
    "seven",
    "ninety nine thousand eight hundred and seventeen",
    "two Paris two",
    "forty thousand thousand and",
]
FAIRSEQ = ["-m", "backends.fairseq.compat", "fairseq_cli.interactive:cli_main"]
OURS = ["-m", "repl", "fairseq-interactive"]


def printed(tool: list[str], words: list[str], lines: list[str]) -> list[list[str]]:
    """Its lines in fields, the seconds of ``W-`` left out."""
    folder = model_path("num2digits")
    done = subprocess.run(
        [sys.executable, *tool, str(folder), "--path", str(folder / "model.pt"), "--cpu", *words],
        input="".join(f"{line}\n" for line in lines),
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    fields = [line.split("\t") for line in done.stdout.splitlines()]
    return [parts for parts in fields if parts[0][:2] in ("S-", "H-", "D-", "P-", "A-")]


@pytest.mark.parametrize(
    "words",
    [
        ["--beam", "5", "--nbest", "2", "--print-alignment"],
        [
            "--beam",
            "3",
            "--nbest",
            "3",
            "--lenpen",
            "0.4",
            "--min-len",
            "4",
            "--max-len-b",
            "9",
            "--remove-bpe",
        ],
    ],
    ids=" ".join,
)
def test_the_output_is_fairseqs(words: list[str]) -> None:
    theirs = printed(FAIRSEQ, [*words, "--buffer-size", "5", "--batch-size", "2"], LINES)
    ours = printed(OURS, [*words, "--buffer-size", "5", "--batch-size", "2"], LINES)
    assert [parts[0] for parts in ours] == [parts[0] for parts in theirs]
    for mine, its in zip(ours, theirs, strict=True):
        letter = mine[0][0]
        if letter in "HD":
            assert float(mine[1]) == pytest.approx(float(its[1]), abs=1e-4)
            assert mine[2] == its[2]
        elif letter == "P":
            figures = [[float(figure) for figure in parts[1].split()] for parts in (mine, its)]
            assert figures[0] == pytest.approx(figures[1], abs=2e-4)
        else:
            assert mine == its


def test_an_answer_begins_as_its_line_says() -> None:
    lines = ["4 4 4\ttwo hundred and five", "seven"]
    found = printed(OURS, ["--prefix-size", "2"], lines)
    answers = [parts[2] for parts in found if parts[0][0] == "H"]
    assert answers[0].startswith("4 4") and answers[1] == "7"
