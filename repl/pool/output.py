"""What a replica process writes to stdout and stderr: its last lines, kept for when it dies."""

import asyncio
import os
from collections import deque

KEPT_LINES = 100
LONGEST_LINE = 2000
SETTLING = 0.5
"""Seconds to wait for the last lines of a process that has ended."""


class Output:
    """The last lines that came through a pipe, bounded in number and length."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._collector: asyncio.Task[None] | None = None

    @property
    def lines(self) -> list[str]:
        """So far."""
        return list(self._lines)

    async def listen(self, read_end: int) -> None:
        """Keep what comes through the pipe, which is ours to close from now on, until it ends."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=1 << 20)
        pipe = os.fdopen(read_end, "rb", 0)
        protocol = asyncio.StreamReaderProtocol(reader)
        opening = asyncio.ensure_future(loop.connect_read_pipe(lambda: protocol, pipe))
        try:
            transport, _ = await asyncio.shield(opening)
        except asyncio.CancelledError:
            transport, _ = await opening  # a turn of the loop later; cut short it would leave the pipe open
            transport.close()
            raise
        self._collector = asyncio.create_task(self._collect(reader, transport))

    async def settle(self) -> None:
        """Let in what was said last and may still be in the pipe."""
        if self._collector is not None:
            await asyncio.wait([self._collector], timeout=SETTLING)

    async def _collect(self, pipe: asyncio.StreamReader, transport: asyncio.ReadTransport) -> None:
        tail = b""
        try:
            while chunk := await pipe.read(1 << 16):
                *lines, tail = (tail + chunk).split(b"\n")
                tail = tail[-LONGEST_LINE:]
                self._lines.extend(line[:LONGEST_LINE].decode(errors="replace").rstrip() for line in lines)
        finally:
            transport.close()  # not every event loop takes the end of what is said for the end of the pipe
        if tail:
            self._lines.append(tail.decode(errors="replace"))
