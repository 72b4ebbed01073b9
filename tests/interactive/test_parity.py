"""The drop-in prints what fairseq's own tool prints, read from two processes."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from repl.demo import model_path
from repl.interactive.parser import NOT_SUPPORTED, parser

if importlib.util.find_spec("fairseq") is None:
    pytest.skip("fairseq is not installed: multigpu-repl install fairseq", allow_module_level=True)

ROOT = Path(__file__).parents[2]
DEMO = model_path("num2digits")
LINES = [
    "two hundred and five",
    "seven",
    "ninety nine thousand eight hundred and seventeen",
    "two Paris two",
    "forty thousand thousand and",
]
FAIRSEQ = ["-m", "backends.fairseq.compat", "fairseq_cli.interactive:cli_main"]
OURS = ["-m", "repl", "fairseq-interactive"]


COMPARED = ("S-", "C-", "H-", "D-", "P-", "A-")


def printed(
    tool: list[str], words: list[str], lines: list[str], *letters: str, folder: Path = DEMO
) -> list[list[str]]:
    """Its lines in fields; by default all but the seconds of ``W-``."""
    done = subprocess.run(
        [sys.executable, *tool, str(folder), "--path", str(folder / "model.pt"), "--cpu", *words],
        input="".join(f"{line}\n" for line in lines),
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    fields = [line.split("\t") for line in done.stdout.splitlines()]
    return [parts for parts in fields if parts[0][:2] in (letters or COMPARED)]


def assert_same(ours: list[list[str]], theirs: list[list[str]]) -> None:
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
    assert_same(ours, theirs)


@pytest.mark.parametrize(
    "words",
    [
        "--beam 6 --nbest 6 --diverse-beam-groups 3 --diverse-beam-strength 0.8",
        "--beam 4 --nbest 4 --diversity-rate 0.5",
        "--beam 3 --nbest 2 --match-source-len --unnormalized",
        "--beam 3 --nbest 2 --max-len-a 0.5 --max-len-b 1",
    ],
)
def test_the_rarer_searches_are_fairseqs(words: str) -> None:
    theirs, ours = (printed(tool, words.split(), LINES) for tool in (FAIRSEQ, OURS))
    assert_same(ours, theirs)


@pytest.mark.parametrize("architecture", ["bart_base", "lstm", "transformer_align"])
def test_other_architectures_give_what_fairseq_gives(architecture: str, tmp_path: Path) -> None:
    from tests.backends.fairseq import support

    more = "--alignment-layer 0 --alignment-heads 1" if architecture == "transformer_align" else ""
    support.write_model(tmp_path, architecture, more=more, scale=1.5)
    words = "-s src -t tgt --beam 3 --nbest 3 --print-alignment --max-len-b 10 --min-len 2"
    lines = [*support.PROMPTS, "w12 Paris w13"]
    theirs, ours = (printed(tool, words.split(), lines, folder=tmp_path) for tool in (FAIRSEQ, OURS))
    assert_same(ours, theirs)


def test_every_flag_of_fairseqs_is_known_and_takes_as_many_words() -> None:
    asked = """
from backends.fairseq import compat
compat.load()
from fairseq import options
for action in options.get_interactive_generation_parser()._actions:
    for name in action.option_strings:
        print(name, action.nargs)
"""
    done = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    theirs = dict(line.split() for line in done.stdout.splitlines() if line.startswith("-"))
    ours = {name: str(action.nargs) for action in parser()._actions for name in action.option_strings}
    refused = {f"--{name}" for name in NOT_SUPPORTED}
    assert len(theirs) > 150
    assert [name for name in theirs if ours.get(name) != theirs[name] and name not in refused] == []


@pytest.mark.parametrize("order", ["ordered", "unordered"])
def test_constraints_are_held_as_fairseq_holds_them(order: str) -> None:
    lines = ["two hundred and five\t7 7\t3", "seven", "forty thousand\t9"]
    words = ["--constraints", order, "--beam", "5", "--nbest", "2"]
    theirs, ours = (printed(tool, words, lines) for tool in (FAIRSEQ, OURS))
    assert [parts for parts in ours if parts[0][0] == "C"] == [["C-0", "7 7"], ["C-0", "3"], ["C-2", "9"]]
    assert_same(ours, theirs)


def test_a_reference_is_scored() -> None:
    """fairseq's own fails here; what a search gives its answer is what the answer scores."""
    answers = printed(OURS, ["--beam", "1"], LINES[:3])
    texts = [parts[2] for parts in answers if parts[0][0] == "H"]
    lines = [f"{source}\t{text}" for source, text in zip(LINES, texts, strict=False)]
    assert_same(printed(OURS, ["--score-reference"], [*lines]), answers)


def test_soft_alignments_are_the_weights_of_the_source() -> None:
    """fairseq's own fails here: it takes them for pairs. ``fairseq-generate`` prints them like this."""
    found = printed(OURS, ["--print-alignment", "soft", "--beam", "2"], LINES[:1])
    (aligned,) = (parts[1] for parts in found if parts[0] == "A-0")
    rows = [[float(weight) for weight in row.split(",")] for row in aligned.split(" ")]
    assert len(rows) == len(["2", "0", "5", "</s>"])
    assert all(len(row) == 5 and sum(row) == pytest.approx(1, abs=1e-5) for row in rows)


def test_the_seconds_of_each_line_are_told() -> None:
    found = printed(OURS, [], LINES[:2], "W-")
    assert [parts[0] for parts in found] == ["W-0", "W-1"]
    assert all(float(parts[1]) > 0 and parts[2] == "seconds" for parts in found)


def test_an_answer_begins_as_its_line_says() -> None:
    lines = ["4 4 4\ttwo hundred and five", "seven"]
    found = printed(OURS, ["--prefix-size", "2"], lines)
    answers = [parts[2] for parts in found if parts[0][0] == "H"]
    assert answers[0].startswith("4 4") and answers[1] == "7"
