"""The demo models through this backend, against what fairseq's own command line tool prints."""

from tests.backends.fairseq.support import Library, Told, load, request

# isort: split
import math
import os
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from backends.cut import Cut
from backends.fairseq.engine import FairseqEngine
from backends.fairseq.sampling import Draws, KeyedSampling
from repl.demo import number_words

ROOT = Path(__file__).parents[3]
MODELS = ROOT / "repl" / "demo" / "models"

LINES = [
    "two hundred and five",
    "seven",
    "ninety nine thousand eight hundred and seventeen",
    "one thousand and one",
    "two two two",
    "forty thousand thousand and",
]
"""The last two are no numbers: there the model is unsure and its beams change their minds."""


@pytest.fixture(scope="module")
def num2digits() -> FairseqEngine:
    return load(MODELS / "num2digits")


@pytest.fixture(scope="module")
def numlm() -> FairseqEngine:
    return load(MODELS / "numlm")


def interactive(folder: Path, lines: list[str], *more: str) -> list[dict[str, list[list[str]]]]:
    """For each line what ``fairseq-interactive`` prints, by the letter of the line."""
    tool = [sys.executable, "-m", "backends.fairseq.compat", "fairseq_cli.interactive:cli_main"]
    arguments = [str(folder), "--path", str(folder / "model.pt"), "--cpu", *more]
    done = subprocess.run(
        [*tool, *arguments],
        input="".join(f"{line}\n" for line in lines),
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    printed: list[dict[str, list[list[str]]]] = [defaultdict(list) for _ in lines]
    for fields in (line.split("\t") for line in done.stdout.splitlines()):
        letter, _, number = fields[0].partition("-")
        if letter in ("H", "D", "P"):
            printed[int(number)][letter].append(fields[1:])
    return printed


def assert_printed(told: Told, printed: dict[str, list[list[str]]], prompt: str = "") -> None:
    """Scores are printed to base 2; ``prompt`` is what a language model's lines begin with."""
    hypotheses = told.finished.hypotheses
    assert len(printed["H"]) == len(hypotheses)
    for hypothesis, h, d, p in zip(hypotheses, printed["H"], printed["D"], printed["P"], strict=True):
        score = (hypothesis.score or 0.0) / math.log(2)
        assert score == pytest.approx(float(h[0]), abs=1e-5)
        assert f"{prompt} {hypothesis.raw_text or hypothesis.text}".strip() == h[1]
        assert f"{prompt} {hypothesis.text}".strip() == d[1]
        scores = [float(figure) for figure in p[0].split()][-len(hypothesis.token_scores) :]
        ours = [lp / math.log(2) for lp in hypothesis.token_scores]
        assert ours == pytest.approx(scores, abs=6e-5)  # four decimals are printed


@pytest.mark.parametrize(
    ("params", "options"),
    [
        ({"beam": 5, "n": 5}, "--beam 5 --nbest 5"),
        (
            {"beam": 3, "n": 2, "length_penalty": 0.4, "min_new": 4},
            "--beam 3 --nbest 2 --lenpen 0.4 --min-len 4",
        ),
    ],
    ids=str,
)
def test_translations_score_as_fairseq_interactive_prints(
    num2digits: FairseqEngine, params: dict[str, Any], options: str
) -> None:
    printed = interactive(MODELS / "num2digits", LINES, *options.split(), "--max-len-b", "20")
    for line, expected in zip(LINES, printed, strict=True):
        assert_printed(Told(num2digits, request(line, max_new=20, **params)), expected)


def test_a_language_model_scores_as_fairseq_interactive_prints(numlm: FairseqEngine) -> None:
    lines = [f"{line} is" for line in LINES[:4]]
    options = ["--task", "language_modeling", "--beam", "3", "--nbest", "3", "--max-len-b", "30"]
    printed = interactive(MODELS / "numlm", lines, *options)
    for line, expected in zip(lines, printed, strict=True):
        told = Told(numlm, request(line, max_new=30 - len(line.split()), beam=3, n=3))
        assert_printed(told, expected, prompt=line)


def test_samples_that_end_at_different_steps_equal_one_call(num2digits: FairseqEngine) -> None:
    """fairseq drops a row that is complete, and the others move up."""
    library = Library(MODELS / "num2digits" / "model.pt")
    settings = {"beam": 1, "temperature": 6.0, "max_len_b": 20}
    for line in LINES[4:]:
        told = Told(num2digits, request(line, max_new=20, temperature=6.0, seed=6, n=8))
        search = KeyedSampling(library.task.target_dictionary, [Draws(6, i, 0) for i in range(8)], Cut())
        found = [h[0] for h in library.generate(line, rows=8, search=search, **settings)]
        assert len({len(f["tokens"]) for f in found}) > 2
        hypotheses = told.finished.hypotheses
        assert [list(h.tokens) for h in hypotheses] == [f["tokens"].tolist() for f in found]
        assert [list(h.token_scores) for h in hypotheses] == [f["positional_scores"].tolist() for f in found]
        assert told.finished.text == hypotheses[0].text


def test_the_demo_answers_right(num2digits: FairseqEngine, numlm: FairseqEngine) -> None:
    told = Told(num2digits, request("two hundred and five"))
    assert told.finished.text == "2 0 5" == told.text
    assert [step.piece for step in told.steps] == [b"2", b"0", b"5", b"</s>"]
    assert [step.text for step in told.steps] == ["2", " 0", " 5", ""]
    assert told.finished.hypotheses[0].alignment == ((0, 0), (1, 1), (3, 2))
    assert Told(numlm, request("two hundred and five is")).finished.text == "2 0 5"


def test_the_symbols_that_were_read_are_told_where_they_differ(num2digits: FairseqEngine) -> None:
    assert Told(num2digits, request("two hundred")).started.raw_prompt == ""
    assert Told(num2digits, request("two  Paris")).started.raw_prompt == "two <unk>"


def test_held_out_numbers_come_out_right(num2digits: FairseqEngine) -> None:
    numbers = number_words.split().test[:40]
    told = [Told(num2digits, request(number_words.to_words(number), beam=5)) for number in numbers]
    wanted = [number_words.to_digits(number) for number in numbers]
    assert sum(t.finished.text == digits for t, digits in zip(told, wanted, strict=True)) >= 39


def test_beams_change_their_minds_where_the_model_is_unsure(num2digits: FairseqEngine) -> None:
    assert sum(Told(num2digits, request(line, beam=5, max_new=20)).rewound for line in LINES[4:]) > 0
