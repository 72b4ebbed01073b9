"""``--format fairseq`` against what fairseq's own command prints for the same checkpoint and flags."""

import subprocess
import sys
from pathlib import Path

import pytest

from backends import registry
from repl.demo import model_path

pytestmark = pytest.mark.skipif(bool(registry.missing("fairseq")), reason="needs fairseq")

LINES = "two hundred and five\nforty two\nnine thousand and one\nseven hundred thousand\n"


def parsed(output: str) -> list[tuple[str, list[float], str]]:
    """(prefix, numbers, text) of the lines both print; times are left out."""
    found = []
    for line in output.splitlines():
        prefix, *fields = line.split("\t")
        match prefix[:2]:
            case "S-":
                found.append((prefix, [], fields[0]))
            case "H-" | "D-":
                found.append((prefix, [float(fields[0])], fields[1]))
            case "P-":
                found.append((prefix, [float(score) for score in fields[0].split()], ""))
    return found


def test_the_lines_are_those_of_fairseq_interactive(tmp_path: Path) -> None:
    folder = Path(model_path("num2digits"))
    theirs = subprocess.run(
        [
            *(sys.executable, "-m", "backends.fairseq.compat", "fairseq_cli.interactive:cli_main"),
            *(str(folder), "--path", str(folder / "model.pt")),
            *("--source-lang", "words", "--target-lang", "digits", "--beam", "5", "--nbest", "2"),
        ],
        input=LINES, capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip
    (tmp_path / "in.txt").write_text(LINES)
    ours = subprocess.run(
        [
            *(sys.executable, "-m", "repl", "run", "--model", "num2digits", "--format", "fairseq"),
            *("--input", str(tmp_path / "in.txt"), "--output", "-", "--set", "beam=5", "--set", "n=2"),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    ).stdout  # fmt: skip
    expected, found = parsed(theirs), parsed(ours)
    assert len(expected) == 4 * (1 + 2 * 3)
    assert [(prefix, text) for prefix, _, text in found] == [(prefix, text) for prefix, _, text in expected]
    for (prefix, numbers, _), (_, wanted, _) in zip(found, expected, strict=True):
        assert numbers == pytest.approx(wanted, abs=2e-4), prefix
