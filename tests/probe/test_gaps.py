"""Surprisals of different vocabularies."""

import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from repl.probe.figure import STYLES, as_json, as_text
from repl.probe.gaps import Read, gaps
from repl.probe.tokens import Token
from tests.probe.test_spans import two_of_one_text

LN2 = math.log(2)


def read(name: str, *found: tuple[bytes, float | None]) -> Read:
    pieces = tuple(
        Token(id=i, piece=p, nats=None if b is None else -b * LN2) for i, (p, b) in enumerate(found)
    )
    return Read(model=name, exchange=1, tokens=pieces)


def test_bits_are_summed_over_what_both_delimit():
    found = gaps(
        read("a", (b"un", 3.0), (b"able", 1.0), (b" to", 2.0)),
        read("b", (b"una", 5.0), (b"ble", 0.5), (b" t", 0.25), (b"o", 0.25)),
    )
    assert [(g.piece, g.offset, g.tokens_a, g.tokens_b) for g in found.gaps] == [
        (b"unable", 0, 2, 2),
        (b" to", 6, 1, 2),
    ]
    assert [g.bits for g in found.gaps] == pytest.approx([1.5, -1.5])
    lines = as_text(found.rows(80)).splitlines()
    assert "     +-" in lines
    assert lines[-2].split() == ["0", "0", "unable", "4.00", "5.50", "+1.50"]


def test_a_stretch_without_a_score_has_no_difference():
    found = gaps(read("a", (b"x", None), (b"y", 1.0)), read("b", (b"xy", 2.0)))
    assert [g.bits for g in found.gaps] == [None]


def test_only_what_both_read_alike_is_compared():
    found = gaps(
        read("a", (b"the", 1.0), (b"\n", 1.0), (b"cat", 2.0), (b" sat", 1.0)),
        read("b", (b"the", 2.0), (b" ", 0.5), (b"<unk>", 3.0), (b" sat", 3.0)),
    )
    assert [(g.piece, g.alike, g.bits) for g in found.gaps] == [
        (b"the", True, pytest.approx(1.0)),
        (b"\ncat", False, None),
        (b" sat", True, pytest.approx(2.0)),
    ]
    assert "+≠+" in as_text(found.rows(90))


def test_white_space_may_be_normalised():
    found = gaps(read("a", (b"4\n", 1.0), (b"2", 2.0)), read("b", (b"4", 2.0), (b" 2", 3.0)))
    assert [(g.alike, g.bits) for g in found.gaps] == [(True, pytest.approx(2.0))]


def test_other_texts_are_refused():
    with pytest.raises(ValueError, match="same text"):
        gaps(read("a", (b"x", 1.0)), read("b", (b"y", 1.0)))


@given(two_of_one_text(), st.integers(1, 40))
def test_all_of_the_text_is_there_and_drawn_safely(both, width):
    found = gaps(*(read("\x1bm", *((p, 1.0) for p in pieces)) for pieces in both))
    assert b"".join(g.piece for g in found.gaps) == b"".join(both[0])
    assert sum(g.tokens_b for g in found.gaps) == len(both[1])
    rows = found.rows(width)
    assert all(span.style in STYLES for row in rows for span in row)
    assert "\x1b" not in as_text(rows)
    assert msgspec.json.encode(as_json(found))
