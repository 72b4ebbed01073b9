"""Chunks as tokens: no text is lost or doubled, whatever a server tells of its tokens."""

import math

from hypothesis import given
from hypothesis import strategies as st

from backends.server.prompt import spelled
from backends.server.tokens import Vocabulary, number, tokens
from backends.server.wire import Alternative, Choice, Logprobs, Told

pieces = st.lists(st.text(min_size=1, max_size=4), max_size=4)


@given(st.text(max_size=12), pieces, st.booleans())
def test_the_texts_of_tokens_are_the_text_of_the_chunk(text: str, told: list[str], numbered: bool) -> None:
    figures = Logprobs(tokens=told, token_logprobs=[-1.0] * len(told))
    choice = Choice(text=text, logprobs=figures, token_ids=list(range(len(told))) if numbered else None)
    found = tokens(choice, 0)
    assert "".join(token.text for token in found) == text
    if told:
        assert len(found) == len(told) and all(token.lp == -1.0 for token in found)
    if told and numbered:
        assert [token.id for token in found] == list(range(len(told)))


@given(st.text(max_size=12), st.data())
def test_prescribed_tokens_spell_their_text(text: str, data: st.DataObject) -> None:
    whole = text.encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=5)))
    parts = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    found = spelled(range(len(parts)), parts, text)
    assert "".join(token.text for token in found) == text
    assert [token.piece for token in found] == parts


def test_made_up_numbers_stay_what_they_are() -> None:
    """They are in records. By ``printf ' a' | b2sum -l 48``."""
    assert number(b" a") == -1 - 0xB862AA0B1FD3
    assert number(b"a") != number(b" a")


def test_what_cannot_be_is_minus_infinity_and_rounding_is_mended() -> None:
    best = [Alternative(token="a", logprob=1e-7), Alternative(token="b", logprob=-3.4e38)]
    figures = Logprobs(content=[Told(token="a", logprob=1e-7, top_logprobs=best)])
    (token,) = tokens(Choice(text="a", logprobs=figures), 5)
    assert token.lp == 0.0 and [lp for _, lp, _ in token.top] == [0.0, -math.inf]


def test_a_rank_is_told_only_where_it_is_known() -> None:
    best = [Alternative(token="a", logprob=-0.1), Alternative(token="b", logprob=-0.2)]
    for lp, wanted, rank in ((-0.1, 2, 0), (-0.2, 2, 1), (-5.0, 2, None), (-5.0, 5, 2)):
        figures = Logprobs(content=[Told(token="x", logprob=lp, top_logprobs=best)])
        (token,) = tokens(Choice(text="x", logprobs=figures), wanted)
        assert token.rank == rank, (lp, wanted)


def test_pieces_are_remembered_within_bounds() -> None:
    vocabulary = Vocabulary()
    vocabulary.learn([(1, b"a")])
    assert (vocabulary.piece(1), vocabulary.piece(2)) == (b"a", None)
