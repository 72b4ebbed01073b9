"""Server-sent events, however they are cut up."""

import pytest

from backends.server.events import LONGEST, Parser, TooLong

STREAM = b": hello\r\ndata: one\r\n\r\nid: 3\ndata:two\ndata: lines\n\nevent: x\rdata: \r\r\n\ndata: never"


def test_each_event_is_its_data_lines() -> None:
    assert list(Parser().feed(STREAM)) == [b"one", b"two\nlines", b""]


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_it_does_not_matter_where_the_bytes_are_cut(size: int) -> None:
    parser = Parser()
    found = [e for at in range(0, len(STREAM), size) for e in parser.feed(STREAM[at : at + size])]
    assert found == [b"one", b"two\nlines", b""]


def test_a_line_that_does_not_end_is_given_up() -> None:
    parser = Parser()
    with pytest.raises(TooLong):
        for _ in range(5):
            list(parser.feed(b"x" * (LONGEST // 4)))


def test_so_is_an_event_of_endless_lines() -> None:
    parser, line = Parser(), b"data: " + b"x" * 1000 + b"\n"
    with pytest.raises(TooLong):
        for _ in range(LONGEST // 1000 + 2):
            list(parser.feed(line))
