"""Lines from hostile byte streams, and writers whose readers are slow or gone."""

import asyncio
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repl.streams import Drain, Feed, Line, Splitter


def cut(data: bytes, sizes: list[int], longest: int = 1 << 20) -> list[Line]:
    splitter = Splitter(longest)
    lines: list[Line] = []
    position = 0
    for size in sizes:
        lines += splitter.feed(data[position : position + size])
        position += size
    return lines + splitter.feed(data[position:]) + splitter.finish()


@given(
    st.lists(st.text(st.characters(exclude_characters="\n\r\ufeff", codec="utf-8"))),
    st.lists(st.integers(1, 9)),
)
def test_lines_come_back_however_the_stream_is_chopped(texts: list[str], sizes: list[int]) -> None:
    data = "".join(f"{text}\n" for text in texts).encode()
    lines = cut(data, sizes)
    assert [line.text for line in lines] == texts
    assert [line.number for line in lines] == list(range(1, len(texts) + 1))
    assert not any(line.fault for line in lines)
    assert (lines[-1].end if lines else 0) == len(data)


@given(st.binary(max_size=60), st.lists(st.integers(1, 9)))
def test_ends_count_every_byte(data: bytes, sizes: list[int]) -> None:
    lines = cut(data, sizes, longest=8)
    assert (lines[-1].end if lines else 0) == len(data)
    assert all(len(line.data) <= 8 for line in lines)
    assert len(lines) == data.count(b"\n") + (not data.endswith(b"\n") and data != b"")


@pytest.mark.parametrize(
    ("data", "texts"),
    [
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"\xef\xbb\xbffirst\nsecond", ["first", "second"]),
        (b"a\rb\n", ["a\rb"]),
        (b"\n\n", ["", ""]),
        (b"", []),
        ("a\u2028b\x0bc\x85\n".encode(), ["a\u2028b\x0bc\x85"]),  # str.splitlines would cut here
    ],
)
def test_what_ends_a_line(data: bytes, texts: list[str]) -> None:
    assert [line.text for line in cut(data, [])] == texts


def test_a_line_at_the_limit_is_good_and_one_beyond_is_kept_short() -> None:
    good, windows, long = cut(b"12345678\n12345678\r\n" + b"x" * 1000 + b"\n", [], longest=8)
    assert (good.fault, windows.fault) == ("", "")
    assert len(long.data) == 8
    assert long.length == 1000
    assert "1,000 bytes" in long.fault


def test_invalid_utf8_is_named_by_byte_and_place() -> None:
    (line,) = cut(b"caf\xe9\n", [])
    assert line.fault == "not UTF-8: byte 0xe9 at position 4"
    assert line.text == "caf\\xe9"


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reading, writing = os.pipe()
    yield reading, writing
    for fd in (reading, writing):
        try:
            os.close(fd)
        except OSError:
            continue


async def test_a_line_arrives_while_its_writer_goes_on(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    lines = aiter(Feed(reading))
    for number in range(3):
        os.write(writing, b"line %d\n" % number)
        assert (await anext(lines)).text == f"line {number}"
    os.write(writing, b"no end")
    os.close(writing)
    assert (await anext(lines)).text == "no end"
    assert await anext(lines, None) is None


async def test_reading_waits_for_the_reader(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.set_blocking(writing, False)
    lines = aiter(Feed(reading))
    os.write(writing, b"first\n")
    await anext(lines)
    written = 0
    with pytest.raises(BlockingIOError):  # the pipe fills up, since nobody takes lines
        while written < 64 << 20:
            written += os.write(writing, b"x" * 1023 + b"\n")
            await asyncio.sleep(0)


async def test_an_unreadable_descriptor_is_the_readers_error() -> None:
    fd = os.open("/", os.O_RDONLY)
    with pytest.raises(IsADirectoryError):
        async for _ in Feed(fd):
            pass
    os.close(fd)


async def test_a_slow_reader_does_not_hold_up_the_loop(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    data = b"y" * (1 << 20)
    writer = asyncio.ensure_future(Drain(writing).write(data))
    await asyncio.sleep(0)
    assert not writer.done()
    received = 0
    while received < len(data):
        received += len(await asyncio.to_thread(os.read, reading, 1 << 16))
    await writer


async def test_a_reader_that_has_gone_is_told(pipe: tuple[int, int]) -> None:
    reading, writing = pipe
    os.close(reading)
    with pytest.raises(BrokenPipeError):
        await Drain(writing).write(b"to nobody")
