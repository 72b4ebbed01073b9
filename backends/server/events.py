"""Server-sent events: the data of each out of the bytes of a response (HTML standard, 9.2), within bounds."""

import re
from collections.abc import Iterator

LONGEST = 4 << 20
"""Bytes of one event; the alternatives of a token are a few thousand."""

_END = re.compile(rb"\r\n|\n|\r")


class TooLong(Exception):
    """An event that does not end."""


class Parser:
    """Feed it bytes as they come."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, received: bytes) -> Iterator[bytes]:
        """The data of each event that is complete; raises ``TooLong``."""
        self._rest += received
        # A carriage return at the end may be the half of a line's end.
        held = self._rest[-1:] == b"\r"
        body = self._rest[:-1] if held else self._rest
        *lines, rest = _END.split(body)
        self._rest = rest + b"\r" if held else rest
        for line in lines:
            if (event := self._line(line)) is not None:
                yield event
        if self._size + len(self._rest) > LONGEST:
            raise TooLong

    def _line(self, line: bytes) -> bytes | None:
        """The data of an event, where this line ends one."""
        if not line:
            data, self._data, self._size = self._data, [], 0
            return b"\n".join(data) if data else None
        name, _, value = line.partition(b":")
        if name == b"data":  # all other fields, and comments, say nothing of the answer
            self._data.append(value.removeprefix(b" "))
            self._size += len(value) + 1
            if self._size > LONGEST:
                raise TooLong
        return None
