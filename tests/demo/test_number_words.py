"""The generator of number words gives known answers, and what is held out stays out."""

import random
from pathlib import Path

import pytest

from repl.demo import number_words


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (20, "twenty"),
        (42, "forty two"),
        (100, "one hundred"),
        (205, "two hundred and five"),
        (999, "nine hundred and ninety nine"),
        (1000, "one thousand"),
        (1005, "one thousand and five"),
        (1205, "one thousand two hundred and five"),
        (60_300, "sixty thousand three hundred"),
        (99_999, "ninety nine thousand nine hundred and ninety nine"),
    ],
)
def test_known_numbers(number: int, words: str) -> None:
    assert number_words.to_words(number) == words
    assert number_words.to_words(number, joiner="") == words.replace(" and", "")


@pytest.mark.parametrize("number", [-1, 100_000])
def test_numbers_out_of_range_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match="not between 0 and 99999"):
        number_words.to_words(number)


def test_every_number_is_spelled_in_its_own_way() -> None:
    assert len({number_words.to_words(number) for number in range(number_words.LIMIT)}) == number_words.LIMIT


def test_digits_stand_apart() -> None:
    assert number_words.to_digits(205) == "2 0 5"
    assert number_words.sentence(205) == "two hundred and five is 2 0 5"


def test_the_three_sets_are_disjoint_and_the_same_each_time() -> None:
    train, valid, test = (set(part) for part in number_words.split())
    assert (len(valid), len(test)) == (number_words.HELD_OUT, number_words.HELD_OUT)
    assert not train & test and not train & valid and not valid & test
    assert set(range(1000)) <= train | valid | test
    assert number_words.split() == number_words.split()


@pytest.mark.parametrize("text", ["two hundred and five", "zero", "sixty thousand"])
def test_what_is_spoiled_spells_no_number(text: str) -> None:
    known = number_words.spellings()
    assert text in known
    spoiled = {number_words.spoiled(text, random.Random(seed), known) for seed in range(20)}
    assert len(spoiled) > 5 and not spoiled & known


def test_no_held_out_line_is_written_to_the_training_files(tmp_path: Path) -> None:
    number_words.write_pairs(tmp_path)
    number_words.write_sentences(tmp_path)
    for train, test in (("train.words", "test.words"), ("train", "test")):
        lines = set((tmp_path / train).read_text().splitlines())
        held_out = (tmp_path / test).read_text().splitlines()
        assert len(held_out) == number_words.HELD_OUT
        assert not lines & {*held_out, *(line.replace(" and ", " ") for line in held_out)}
