"""What a line of input asks, and what is wrong with it."""

import pytest

from repl.batch.source import Item, item
from repl.streams import LONGEST, Line


def read(data: bytes, *, jsonl: bool = False, length: int | None = None) -> Item:
    return item(Line(7, data, len(data) + 1, len(data) if length is None else length), jsonl=jsonl)


def test_a_plain_line_is_its_prompt() -> None:
    found = read('{"prompt": 1} or {"ü"}'.encode())
    assert (found.index, found.number) == (6, 7)
    assert found.prompt == '{"prompt": 1} or {"ü"}'
    assert found.error is None


@pytest.mark.parametrize(
    ("data", "kind", "says"),
    [
        (b"", "empty_prompt", "empty"),
        (b" \t ", "empty_prompt", "empty"),
        (b"\xff\xfe", "bad_line", "0xff"),
    ],
)
def test_bad_plain_lines(data: bytes, kind: str, says: str) -> None:
    error = read(data).error
    assert error is not None
    assert error.kind == kind
    assert says in error.message


def test_a_line_that_is_too_long_says_how_long() -> None:
    error = read(b"x", length=LONGEST + 1).error
    assert error is not None
    assert error.kind == "prompt_too_long"
    assert "1,048,577 bytes" in error.message


def test_an_object_has_parameters_and_carries_the_rest() -> None:
    found = read(b'{"prompt": "a\\nb", "params": {"max-new": 3, "stop": ["x"]}, "id": 9}', jsonl=True)
    assert found.prompt == "a\nb"
    assert found.params == {"max_new": 3, "stop": ("x",)}
    assert found.carried == {"id": 9}


def test_an_empty_prompt_that_was_written_out_is_meant() -> None:
    assert read(b'{"prompt": ""}', jsonl=True).error is None


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"{", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'"text"', "`prompt`"),
        (b'{"prompt": 3}', "`prompt`"),
        (b'{"prompt": "\\ud800"}', "not JSON"),
        (b'{"prompt": "x", "parms": {}}', "unknown key 'parms'"),
        (b'{"prompt": "x", "params": 3}', "not an object"),
        (b'{"prompt": "x", "params": {"temprature": 1}}', "did you mean 'temperature'"),
        (b'{"prompt": "x", "params": {"top_p": 2}}', "top_p = 2"),
    ],
)
def test_bad_objects(data: bytes, says: str) -> None:
    error = read(data, jsonl=True).error
    assert error is not None
    assert says in error.message
