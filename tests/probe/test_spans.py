"""Alignment on bytes: blocks cover both sides, matches are true and as small as the tokens allow."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from repl.probe import spans
from repl.probe.spans import diff, edges, spelled
from tests.session.support import step

texts = st.text(max_size=24).map(lambda text: text.encode(errors="surrogatepass"))


@st.composite
def splits(draw, text: bytes) -> list[bytes]:
    """``text`` as tokens, cut anywhere, within a character too; some may be empty."""
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[i:j] for i, j in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@st.composite
def tokens(draw) -> list[bytes]:
    return draw(splits(draw(texts)))


@st.composite
def two_of_one_text(draw) -> tuple[list[bytes], list[bytes]]:
    text = draw(texts)
    return draw(splits(text)), draw(splits(text))


def covers(blocks, a, b) -> None:
    for side, pieces in (("a", a), ("b", b)):
        ranges = [getattr(block, side) for block in blocks]
        offsets = [getattr(block, f"bytes_{side}") for block in blocks]
        assert [at for lo, hi in ranges for at in range(lo, hi)] == list(range(len(pieces)))
        whole, edge = b"".join(pieces), edges(pieces)
        assert b"".join(whole[slice(*o)] for o in offsets) == whole
        assert all((edge[lo], edge[hi]) == o for (lo, hi), o in zip(ranges, offsets, strict=True))


def test_two_tokenizations_in_the_smallest_shared_blocks():
    blocks = diff([b"un", b"able", b" to"], [b"una", b"ble", b" t", b"o"])
    assert [(b.a, b.b) for b in blocks] == [((0, 2), (0, 2)), ((2, 3), (2, 4))]
    assert [b.bytes_a for b in blocks] == [(0, 6), (6, 9)]


def test_what_was_replaced_taken_out_and_put_in():
    blocks = diff([b"the", b" old", b" cat", b" sat"], [b"the", b" cat", b" stood", b" up"])
    assert [(b.kind, b.a, b.b) for b in blocks] == [
        ("same", (0, 1), (0, 1)),
        ("removed", (1, 2), (1, 1)),
        ("same", (2, 3), (1, 2)),
        ("changed", (3, 4), (2, 4)),
    ]


def test_a_match_across_tokenizers_within_a_difference():
    blocks = diff([b"x", b"un", b"able"], [b"yy", b"una", b"ble", b"!"])
    assert [(b.kind, b.a, b.b) for b in blocks] == [
        ("changed", (0, 1), (0, 1)),
        ("same", (1, 3), (1, 3)),
        ("added", (3, 3), (3, 4)),
    ]


def test_a_character_cut_in_two_is_aligned_on_its_bytes():
    face = "é".encode()
    blocks = diff([face[:1], face[1:], b"a"], [face, b"a"])
    assert [(b.a, b.b) for b in blocks] == [((0, 2), (0, 1)), ((2, 3), (1, 2))]


def test_the_fewest_bytes_are_left_out():
    kept = [b.a for b in diff([b"aaaa", b"b", b"c"], [b"b", b"c", b"aaaa"]) if b.kind == "same"]
    assert kept == [(0, 1)]


@given(tokens(), tokens())
def test_a_diff_covers_both_sides_and_tells_the_truth(a, b):
    blocks = diff(a, b)
    covers(blocks, a, b)
    whole_a, whole_b = b"".join(a), b"".join(b)
    for block in blocks:
        before, after = whole_a[slice(*block.bytes_a)], whole_b[slice(*block.bytes_b)]
        assert (block.kind == "same") == (before == after)
        assert (block.kind == "added") == (not before and bool(after))
        assert (block.kind == "removed") == (bool(before) and not after)


@given(two_of_one_text())
def test_one_text_has_no_difference_and_blocks_share_no_edge_within(both):
    a, b = both
    blocks = diff(a, b)
    covers(blocks, a, b)
    assert all(block.kind == "same" for block in blocks)
    common = set(edges(a)) & set(edges(b))
    for block in blocks:
        inside = {e for e in common if block.bytes_a[0] < e < block.bytes_a[1]}
        assert not inside


@given(tokens())
def test_a_text_against_itself_is_token_for_token(a):
    a = [piece for piece in a if piece]
    assert [(b.a, b.b) for b in diff(a, a)] == [((i, i + 1), (i, i + 1)) for i in range(len(a))]


@given(tokens(), tokens())
def test_the_diff_backwards_leaves_out_as_much(a, b):
    def left(blocks):
        return sum(hi - lo for x in blocks if x.kind != "same" for lo, hi in (x.bytes_a, x.bytes_b))

    assert left(diff(a, b)) == left(diff(b, a))


@given(tokens(), tokens())
def test_long_texts_are_cut_at_tokens_both_have(a, b):
    cells, spans.CELLS = spans.CELLS, 4
    try:
        covers(diff(a, b), a, b)
    finally:
        spans.CELLS = cells


def test_tokens_are_spelled_as_they_show():
    def pieces(steps):
        return tuple(token.piece for token in spelled(steps))

    face = "é".encode()
    cut = [step(0, "", 0), step(1, "é", 0), step(2, "", 0)]
    cut = [
        msgspec.structs.replace(x, piece=p) for x, p in zip(cut, (face[:1], face[1:], b"</s>"), strict=True)
    ]
    assert pieces(cut) == (face[:1], face[1:], b"")
    words = [
        msgspec.structs.replace(step(at, text, 0), piece=text.strip().encode())
        for at, text in enumerate(("4", " 2"))
    ]
    assert pieces(words) == (b"4", b" 2")
    assert spelled([]) == ()
