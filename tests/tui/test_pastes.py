"""Pasted text, whatever is in it and however it is cut into reads."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual import events

from repl.tui.input.pastes import END, START, PasteParser

HOSTILE = "esc \x1b[31mred\x1b[0m\r\x04\x1b]52;c;QUJD\x07 [b]x[/]\x1b[A\x1b[200~ \x1b"


def read(*reads: str) -> list[str]:
    """What the app is told: ``paste:TEXT`` and the names of keys."""
    parser = PasteParser()
    told = [event for data in reads for event in parser.feed(data)]
    return [f"paste:{e.text}" if isinstance(e, events.Paste) else e.key for e in told]


def test_nothing_in_a_paste_is_a_key() -> None:
    assert read(f"a{START}{HOSTILE}{END}b") == ["a", f"paste:{HOSTILE}", "b"]


@given(st.lists(st.integers(0, 80), max_size=6))
def test_a_paste_may_come_in_any_number_of_reads(cuts: Sequence[int]) -> None:
    stream = f"{START}{HOSTILE}{END}"
    # A read that ends within the first two characters looks like the Escape key.
    ends = [0, *sorted({min(cut, len(stream)) for cut in cuts if cut > 2}), len(stream)]
    reads = [stream[a:b] for a, b in pairwise(ends) if b > a]
    assert read(*reads) == [f"paste:{HOSTILE}"]


def test_two_pastes_in_one_read() -> None:
    assert read(f"{START}a\rb{END}{START}c{END}") == ["paste:a\rb", "paste:c"]


@pytest.mark.parametrize(
    ("typed", "keys"),
    [("\x1b[A", ["up"]), ("\x1b[2~", ["insert"]), ("é\r", ["é", "enter"]), ("\x1b[20~", ["f9"])],
)
def test_keys_are_still_keys(typed: str, keys: list[str]) -> None:
    assert [name.replace("latin_small_letter_e_with_acute", "é") for name in read(typed)] == keys
    for cut in range(2, len(typed)):
        assert len(read(typed[:cut], typed[cut:])) == len(keys)
