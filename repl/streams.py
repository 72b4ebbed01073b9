"""Standard input and output as streams that never block the event loop, nor anyone who wants to leave.

Batch runs and the pipe mode read their prompts through ``Feed``: a file of any size in constant memory, or a
pipe whose writer takes its time. What they print goes through ``Drain``, whose reader may take its time too.
Both do their waiting in daemon threads and on bare descriptors: a read or a write that is stuck cannot be
interrupted, and Python's own buffers would be waited for at exit.
"""

import asyncio
import os
import queue
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress

import msgspec

LONGEST = 1 << 20
"""Bytes of one line; what is longer is no prompt."""
CHUNK = 1 << 16
AHEAD = 4
"""Chunks read before anyone asks for them."""
BOM = b"\xef\xbb\xbf"


class Line(msgspec.Struct, frozen=True):
    """One line without its end."""

    number: int
    """From 1."""
    data: bytes
    """Of a line that is too long, its beginning only."""
    end: int
    """Bytes of the stream up to and including this line's end."""
    length: int
    """Bytes it really had."""

    @property
    def fault(self) -> str:
        """What is wrong with it as a text, in words; empty if nothing is."""
        if self.length > len(self.data):
            return f"the line has {self.length:,} bytes, the limit is {LONGEST:,}"
        try:
            self.data.decode()
        except UnicodeDecodeError as error:
            return f"not UTF-8: byte 0x{self.data[error.start]:02x} at position {error.start + 1}"
        return ""

    @property
    def text(self) -> str:
        r"""Decoded; what is not UTF-8 as ``\xff``."""
        return self.data.decode(errors="backslashreplace")


class Splitter:
    """Cuts chunks into lines. Ends are ``\\n`` or ``\\r\\n``; a byte-order mark at the start is dropped."""

    def __init__(self, longest: int = LONGEST) -> None:
        self._longest = longest
        self._number = 0
        self._end = 0
        self._kept = bytearray()
        self._length = 0

    def feed(self, chunk: bytes) -> list[Line]:
        """The lines that ``chunk`` completes."""
        *whole, rest = chunk.split(b"\n")
        lines = []
        for part in whole:
            self._take(part)
            lines.append(self._complete(1))
        self._take(rest)
        return lines

    def finish(self) -> list[Line]:
        """The last line, if the stream did not end with a line's end."""
        return [self._complete(0)] if self._length else []

    def _take(self, part: bytes) -> None:
        # One byte more than allowed, for the "\r" that may turn out to belong to the end.
        self._kept += part[: max(0, self._longest + 1 - len(self._kept))]
        self._length += len(part)

    def _complete(self, ending: int) -> Line:
        data, length = bytes(self._kept), self._length
        self._number += 1
        self._end += length + ending
        self._kept.clear()
        self._length = 0
        if data.endswith(b"\r") and len(data) == length:
            data, length = data[:-1], length - 1
        if self._number == 1 and data.startswith(BOM):
            data, length = data[len(BOM) :], length - len(BOM)
        return Line(self._number, data[: self._longest], self._end, length)


def chunks(fd: int) -> Iterator[bytes]:
    """What can be read from ``fd``, as it comes."""
    while chunk := os.read(fd, CHUNK):
        yield chunk


class Feed:
    """Iterate it, once, for the lines of a file descriptor, which stays open. Raises what reading raises."""

    def __init__(self, fd: int, *, longest: int = LONGEST) -> None:
        self._fd = fd
        self._splitter = Splitter(longest)
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Queue[list[Line] | OSError | None] = asyncio.Queue()
        self._room = threading.Semaphore(AHEAD)
        self._thread = threading.Thread(target=self._read, name="feed", daemon=True)

    async def __aiter__(self) -> AsyncIterator[Line]:
        self._thread.start()
        while (lines := await self._arrived.get()) is not None:
            if isinstance(lines, OSError):
                raise lines
            self._room.release()
            for line in lines:
                yield line

    def _read(self) -> None:
        try:
            for chunk in chunks(self._fd):
                self._room.acquire()
                self._deliver(self._splitter.feed(chunk))
            self._deliver(self._splitter.finish())
            self._deliver(None)
        except OSError as error:
            self._deliver(error)

    def _deliver(self, lines: list[Line] | OSError | None) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody reads any more
            self._loop.call_soon_threadsafe(self._arrived.put_nowait, lines)


def write(fd: int, data: bytes) -> None:
    """All of ``data``: whoever takes less than was offered is asked again."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


class Drain:
    """Writes to a file descriptor, which stays open."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._waiting: queue.SimpleQueue[tuple[bytes, asyncio.Future[None]]] = queue.SimpleQueue()
        threading.Thread(target=self._run, name="drain", daemon=True).start()

    async def write(self, data: bytes) -> None:
        """Return once the system has taken ``data``; raises ``OSError``, ``BrokenPipeError`` above all."""
        written = self._loop.create_future()
        self._waiting.put((data, written))
        await written

    def _run(self) -> None:
        while True:
            data, written = self._waiting.get()
            error: OSError | None = None
            try:
                write(self._fd, data)
            except OSError as failure:
                error = failure
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(_settle, written, error)


def _settle(written: asyncio.Future[None], error: OSError | None) -> None:
    if written.done():
        return
    if error is None:
        written.set_result(None)
    else:
        written.set_exception(error)
