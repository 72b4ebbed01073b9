"""Standard output as a buffer that empties itself: many small writes, few system calls, no blocking."""

import asyncio
from collections.abc import Callable

from repl.streams import Drain

FULL = 1 << 20
"""Characters waiting for a slow reader above which nothing more is asked."""


class Outlet:
    """Takes text at any time and writes it, in order, while ``run`` runs."""

    def __init__(self, fd: int) -> None:
        self._drain = Drain(fd)
        self._pending: list[str | Callable[[], None]] = []
        self._size = 0
        self._wake = asyncio.Event()
        self._emptied = asyncio.Event()
        self._closing = False

    def write(self, text: str) -> None:
        """Queue ``text``; what is no Unicode is replaced."""
        if text:
            self._pending.append(text)
            self._size += len(text)
            self._wake.set()

    def then(self, action: Callable[[], None]) -> None:
        """Do ``action`` between what was queued before it and what is queued after it."""
        self._pending.append(action)
        self._wake.set()

    async def room(self) -> None:
        """Wait while the reader is far behind."""
        while self._size > FULL:
            self._emptied.clear()
            await self._emptied.wait()

    def close(self) -> None:
        """Let ``run`` end once everything is written."""
        self._closing = True
        self._wake.set()

    async def run(self) -> None:
        """Write until closed; raises ``OSError``."""
        while True:
            await self._wake.wait()
            self._wake.clear()
            pending, self._pending = self._pending, []
            texts: list[str] = []
            for each in pending:
                if isinstance(each, str):
                    texts.append(each)
                else:
                    await self._write("".join(texts))
                    texts.clear()
                    each()
            await self._write("".join(texts))
            if self._closing and not self._pending:
                return

    async def _write(self, text: str) -> None:
        if text:
            await self._drain.write(text.encode(errors="replace"))
            self._size -= len(text)
            self._emptied.set()
