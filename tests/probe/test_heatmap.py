import math
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from repl.probe.cells import lines, mark_row, text_row, units
from repl.probe.figure import as_json, as_text
from repl.probe.heatmap import HeatMap, Reading, heated
from repl.probe.tokens import Token


def token(piece, bits=None, **more):
    return Token(id=1, piece=piece, nats=None if bits is None else -bits * math.log(2), **more)


def drawn(pieces, width=80):
    """The rows, and under each the number of the token that begins there."""
    found = []
    for row in lines(units(pieces), width):
        found.append("".join(span.text for span in text_row(row, lambda unit: "")))
        found.append(mark_row(row, lambda at: str(at % 10)))
    return found


def test_each_mark_stands_where_its_token_begins():
    assert drawn([b"The", b" cat", b"s"]) == ["The cats", "0  1   2"]


def test_a_character_of_several_tokens_has_room_for_all_their_marks():
    assert drawn([b"\xe6", b"\x97", b"\xa5", "本".encode()]) == ["日 本", "0123"]
    assert drawn([b"caf\xc3", b"\xa9 au"]) == ["café au", "0  1"]


def test_an_accent_of_its_own_token_stays_on_its_letter():
    assert drawn([b"e", "\u0301".encode(), b"x"]) == ["e\u0301 x", "012"]
    assert drawn(["\u0301".encode()]) == ["◌\u0301", "0"]


def test_line_ends_empty_tokens_spaces_and_stray_bytes_are_seen():
    assert drawn([b"a\n", b"b", b""]) == ["a⏎", "0", "b∅", "12"]
    assert drawn([b"   ", b"a", b"\xff"]) == ["···a\\xff", "0  12"]
    assert drawn([b"\x1b[2J", "\u202e".encode()]) == ["␛[2J⟨202E⟩", "0   1"]


def test_a_row_breaks_between_tokens_and_only_a_long_token_is_cut():
    assert drawn([b"abc", b"def", b"gh"], 6) == ["abcdef", "0  1", "gh", "2"]
    assert drawn([b"ab", b"cdefgh"], 4) == ["ab", "0", "cdef", "1", "gh", ""]


@given(st.text(max_size=40), st.lists(st.integers(0, 80), max_size=20), st.integers(2, 30))
def test_whatever_the_text_and_its_tokens_rows_fit_and_every_token_has_one_mark(text, cuts, width):
    data = text.encode()
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[a:b] for a, b in pairwise(edges)]
    found = units(pieces)
    assert [at for unit in found for at in unit.starts] == list(range(len(pieces)))
    widest = max((unit.width for unit in found), default=0)
    for row in lines(found, width):
        shown = "".join(span.text for span in text_row(row, lambda unit: ""))
        marks = mark_row(row, lambda at: "x")
        assert cell_len(shown) <= max(width, widest)
        assert len(marks) <= sum(unit.width for unit in row)
        assert marks.count("x") == sum(len(unit.starts) for unit in row)
        assert "\x1b" not in shown and "\n" not in shown


def test_the_marks_say_the_surprisal():
    tokens = [token(b"a", 0.2), token(b" b", 1.6), token(b" c", 99), token(b"d")]
    (text, marks) = heated(tokens, 40)
    assert [(s.text, s.style) for s in text] == [("a", "heat0"), (" b", "heat1"), (" c", "heat7"), ("d", "")]
    assert marks[0].text == " ▁ ▇ ·"


def test_ranks_count_in_doublings_and_entropy_in_bits():
    tokens = [token(b"a", 9, rank=0, entropy=0.0), token(b"b", 9, rank=3, entropy=3.2 * math.log(2))]
    assert heated(tokens, 40, "rank")[1][0].text == " ▂"
    assert heated(tokens, 40, "entropy")[1][0].text == " ▂"
    assert heated([token(b"a", 9)], 40, "rank")[1][0].text == "·"


def test_the_totals_of_several_models_stand_in_line():
    readings = tuple(
        Reading(model=name, tokens=(token(b"ab", bits), token(b"cd", 1)), opening=name)
        for name, bits in (("short", 1), ("a-longer-name", 1000))
    )
    rows = as_text(HeatMap(text="abcd", readings=readings).rows(100)).split("\n")
    assert rows[0].split() == ["nats", "tokens", "bits/token", "bits/byte", "perplexity", "opening"]
    assert rows[0].index("perplexity") == rows[1].index("2.00") + 4 - len("perplexity")
    assert rows[2].split()[-2:] == ["4.63e+150", "a-longer-name"]
    alike = tuple(msgspec.structs.replace(reading, opening="auto") for reading in readings)
    rows = as_text(HeatMap(text="abcd", readings=alike).rows(100)).split("\n")
    assert rows[0].split()[-1] == "perplexity" and rows[3] == "opening · auto"
    data = as_json(HeatMap(text="abcd", readings=readings))
    assert data["readings"][0]["totals"] == {
        "tokens": 2, "bytes": 4, "nats": pytest.approx(-2 * math.log(2)), "bits_per_token": pytest.approx(1),
        "bits_per_byte": pytest.approx(0.5), "perplexity": pytest.approx(2),
    }  # fmt: skip
