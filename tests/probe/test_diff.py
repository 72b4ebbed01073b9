"""Where answers part, and how it is drawn."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from repl.probe.diff import Answered, compare, first_divergence, word_split
from repl.probe.figure import STYLES, as_json, as_text
from repl.probe.tokens import Token
from tests.probe.test_spans import splits, texts, tokens


def answered(number: int, *pieces: str | bytes, nats: float | None = -1.0, **fields) -> Answered:
    raw = [piece if isinstance(piece, bytes) else piece.encode() for piece in pieces]
    return Answered(
        exchange=number,
        model=fields.pop("model", f"m{number}"),
        tokens=tuple(Token(id=at, piece=piece, nats=nats) for at, piece in enumerate(raw)),
        **fields,
    )


def test_the_first_token_with_another_byte():
    assert first_divergence([[b"a", b"b", b"c"], [b"a", b"b", b"d"]]) == (2, 2)
    assert first_divergence([[b"ab", b"c"], [b"a", b"b", b"d"]]) == (1, 2)
    assert first_divergence([[b"ab", b"c"], [b"a", b"bc"]]) == (None, None)
    assert first_divergence([]) == ()


def test_an_answer_that_ended_parts_from_one_that_goes_on():
    assert first_divergence([[b"a"], [b"a", b"b"]]) == (1, 1)
    assert first_divergence([[], [b"a"]]) == (0, 0)


def test_an_answer_that_still_runs_has_parted_from_none_it_agrees_with():
    assert first_divergence([[b"a"], [b"a", b"b"]], running=[True, False]) == (None, None)
    assert first_divergence([[b"a"], [b"x"]], running=[True, True]) == (0, 0)
    three = [[b"a"], [b"a", b"b", b"c"], [b"a", b"b", b"d"]]
    assert first_divergence(three, running=[True, True, True]) == (None, 2, 2)


@given(st.data(), texts)
def test_one_text_never_parts(data, text):
    answers = [data.draw(splits(text)) for _ in range(3)]
    assert first_divergence(answers) == (None, None, None)


@given(st.lists(tokens(), min_size=2, max_size=4))
def test_all_answers_share_the_bytes_before_they_part(answers):
    found = first_divergence(answers)
    joined = {b"".join(pieces) for pieces in answers}
    assert (set(found) == {None}) == (len(joined) == 1)
    if len(joined) > 1:
        before = [b"".join(p[:at]) for p, at in zip(answers, found, strict=True)]
        longest = max(before, key=len)
        assert all(longest.startswith(prefix) for prefix in before)


@given(st.binary(max_size=40))
def test_words_joined_are_the_text(text):
    assert b"".join(word_split(text)) == text


def test_words():
    assert word_split(b"The cat, it's 3.5!\n") == (
        *(b"The", b" cat", b",", b" it", b"'", b"s", b" 3", b".", b"5", b"!", b"\n"),
    )
    assert word_split("東京 へ".encode()) == ("東".encode(), "京".encode(), " へ".encode())


def test_identical_answers_have_an_empty_diff():
    found = compare([answered(1, "a", " b"), answered(2, "a ", "b")])
    (pair,) = found.against_first
    assert pair.changes == ()
    assert (pair.first_token_a, pair.first_token_b, pair.first_byte) == (None, None, None)
    assert "= the same" in as_text(found.rows(80))


def test_a_diff_of_tokens_marks_what_changed_without_colour():
    found = compare([answered(1, "the", " old", " cat"), answered(2, "the", " cat", " sat")])
    (pair,) = found.against_first
    assert [(c.a, c.b) for c in pair.changes] == [(b" old", b""), (b"", b" sat")]
    assert (pair.first_token_a, pair.first_token_b, pair.first_byte) == (1, 1, 4)
    text = as_text(found.rows(80))
    assert "the≠[- old-] cat{+ sat+}" in text
    assert "≠ from token 1, byte 4 · 2 changes of tokens" in text


def test_words_differ_where_tokens_are_pieces_of_them():
    answers = [answered(1, "un", "able"), answered(2, "un", "fit")]
    assert [(c.a, c.b) for c in compare(answers).against_first[0].changes] == [(b"able", b"fit")]
    by_words = compare(answers, words=True)
    assert [(c.a, c.b) for c in by_words.against_first[0].changes] == [(b"unable", b"unfit")]
    assert by_words.unit == "words"


def test_figures_of_each_answer():
    found = compare(
        [
            answered(1, "ab", "cd", nats=-0.6931471805599453, first_seconds=0.009, total_seconds=1.5),
            answered(2, "ab", nats=None, tokens_per_second=212.4, finish="eos", model="x"),
        ]
    )
    rows = as_text(found.rows(80)).splitlines()
    assert rows[1].split() == ["#1", "m1", "2", "0.500", "9", "ms", "1.5", "s", "–"]
    assert rows[2].split() == ["#2", "x", "1", "–", "–", "–", "212", "eos"]


def test_a_long_diff_is_wrapped_between_what_is_drawn_as_one():
    nurse = "\U0001f469\u200d\U0001f4bb"
    found = compare([answered(1, "x" * 7, nurse), answered(2, "x" * 7, nurse, "!")])
    lines = as_text(found.rows(8)).splitlines()
    assert lines[-2:] == ["xxxxxxx", f"{nurse}≠{{+!+}}"]
    found = compare([answered(1, "one two three four"), answered(2, "one two three four", "!")])
    assert as_text(found.rows(12)).splitlines()[-3:] == ["one two", "three", "four≠{+!+}"]


@given(tokens(), tokens(), st.integers(1, 30), st.booleans())
def test_any_answers_can_be_drawn_and_told(a, b, width, words):
    found = compare([answered(1, *a, model="\x1b[31m"), answered(2, *b)], words=words)
    rows = found.rows(width)
    assert all(span.style in STYLES for row in rows for span in row)
    text = as_text(rows)
    assert "\x1b" not in text and "\r" not in text
    assert msgspec.json.encode(as_json(found))
    assert (not found.against_first[0].changes) == (b"".join(a) == b"".join(b))
