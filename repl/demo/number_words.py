"""The data of the demo models about numbers: English number words, their digits and kinds, 0 to 99999.

The split into train, valid and test is by number, never by spelling: a number that is held out is held out
in all its spellings. The module needs nothing but the standard library.
"""

import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple, TypeVar

LIMIT = 100_000
SEED = 7
HELD_OUT = 500

_T = TypeVar("_T")

_ONES = [
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    *("ten", "eleven", "twelve", "thirteen", "fourteen"),
    *("fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
KINDS = ("below a hundred", "hundreds", "thousands", "no number")


class Split(NamedTuple):
    """Numbers to train on, to validate on while training, and to measure with; pairwise disjoint."""

    train: list[int]
    valid: list[int]
    test: list[int]


def to_words(number: int, joiner: str = "and") -> str:
    """Spell `number` (0 to 99999) in lower-case words without hyphens: 205 is "two hundred and five".

    `joiner` stands between the hundreds and what follows; with "" it is left out, as in American usage.
    """
    if not 0 <= number < LIMIT:
        raise ValueError(f"{number} is not between 0 and {LIMIT - 1}")
    thousands, rest = divmod(number, 1000)
    if not thousands:
        return " ".join(_below_thousand(rest, joiner))
    words = [*_below_thousand(thousands, joiner), "thousand"]
    if rest:
        words += [joiner] if joiner and rest < 100 else []
        words += _below_thousand(rest, joiner)
    return " ".join(words)


def to_digits(number: int) -> str:
    """Write `number` as digits with a space between them, one token each: 205 is "2 0 5"."""
    return " ".join(str(number))


def split(held_out: int = HELD_OUT, train: int = 20_000, seed: int = SEED) -> Split:
    """Draw the three sets; what people type first, small and round numbers, is in `train` several times.

    Without that repetition a model sees "one hundred" so seldom that it gets it wrong.
    """
    rng = random.Random(seed)
    drawn = rng.sample(range(LIMIT), 2 * held_out + train)
    test, valid, rest = drawn[:held_out], drawn[held_out : 2 * held_out], drawn[2 * held_out :]
    first = [*range(1000)] * 3 + [*range(0, LIMIT, 100)] * 2 + [*range(0, LIMIT, 1000)] * 4
    first += [*range(0, 1000, 100)] * 20
    hidden = {*test, *valid}
    rest += [number for number in first if number not in hidden]
    rng.shuffle(rest)
    return Split(rest, valid, test)


def pair(number: int, joiner: str = "and") -> tuple[str, str]:
    """The two sides of a translation example: words and digits."""
    return to_words(number, joiner), to_digits(number)


def sentence(number: int, joiner: str = "and") -> str:
    """The one line a language model reads: "two hundred and five is 2 0 5"."""
    return f"{to_words(number, joiner)} is {to_digits(number)}"


def write_pairs(folder: Path) -> None:
    """Write `train.words`, `train.digits`, and the same for valid and test, for fairseq-preprocess."""
    for name, numbers in split()._asdict().items():
        examples = _spellings(numbers, pair, both=name == "train")
        _write(folder / f"{name}.words", (words for words, _ in examples))
        _write(folder / f"{name}.digits", (digits for _, digits in examples))


def write_sentences(folder: Path) -> None:
    """Write `train`, `valid` and `test`, one sentence a line, for fairseq-preprocess --only-source."""
    for name, numbers in split()._asdict().items():
        _write(folder / name, _spellings(numbers, sentence, both=name == "train"))


def _spellings(numbers: Iterable[int], example: Callable[[int, str], _T], both: bool) -> list[_T]:
    """One example for each number; with `both`, every third is spelled without its "and"."""
    return [example(number, "" if both and place % 3 == 2 else "and") for place, number in enumerate(numbers)]


def kind(number: int) -> str:
    """Which of `KINDS` a number is."""
    return KINDS[0] if number < 100 else KINDS[1] if number < 1000 else KINDS[2]


def spellings() -> frozenset[str]:
    """Every number in both spellings."""
    return frozenset(to_words(number, joiner) for number in range(LIMIT) for joiner in ("and", ""))


def spoiled(text: str, rng: random.Random, known: frozenset[str]) -> str:
    """`text` with words swapped, dropped, doubled or replaced until it spells no number."""
    words = text.split()
    while " ".join(words) in known:
        at = rng.randrange(len(words))
        match rng.randrange(4):
            case 0:
                rng.shuffle(words)
            case 1 if len(words) > 1:
                del words[at]
            case 2:
                words.insert(at, words[at])
            case _:
                words[at] = rng.choice([*_ONES, *_TENS, "hundred", "thousand", "and"])
    return " ".join(words)


def _below_thousand(number: int, joiner: str) -> list[str]:
    if number < 20:
        return [_ONES[number]]
    if number < 100:
        ones = number % 10
        return [_TENS[number // 10 - 2], *([_ONES[ones]] if ones else [])]
    hundreds, rest = divmod(number, 100)
    words = [_ONES[hundreds], "hundred"]
    if rest:
        words += [joiner] if joiner else []
        words += _below_thousand(rest, joiner)
    return words


def _write(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
