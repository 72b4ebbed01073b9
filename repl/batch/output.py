"""Where the answers of a batch run go: a file that survives a kill, or standard output.

A record is handed to the kernel whole, by one write, as soon as its turn has come. The disk is asked to keep
it every ``SYNC`` seconds and at the end.
"""

import asyncio
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import msgspec

from repl.batch.errors import BatchError
from repl.batch.journal import Header, Journal, Mark
from repl.safe import visible
from repl.streams import Drain, write

SYNC = 5.0
"""Seconds of work that a power cut may undo."""


class Output(Protocol):
    """What the runner writes to."""

    mark: Mark
    """How far it is; not zero in a run that goes on."""
    seed: int
    """All seeds of the run are derived from it."""

    async def append(self, data: bytes, mark: Mark) -> None:
        """Add the records of one input line, after which ``mark`` holds. Raises ``OSError``."""
        ...

    async def close(self) -> None:
        """Nothing more comes."""
        ...


class StreamOutput:
    """An open descriptor, such as standard output. A run to it cannot go on after a kill."""

    def __init__(self, fd: int, header: Header) -> None:
        self._drain = Drain(fd)
        self._terminal = os.isatty(fd)
        self.mark = Mark()
        self.seed = header.any_seed()

    async def append(self, data: bytes, mark: Mark) -> None:
        """Write at once; on a terminal, with control characters made visible."""
        await self._drain.write(visible(data.decode()).encode() if self._terminal else data)
        self.mark = mark

    async def close(self) -> None:
        """The descriptor is not ours to close."""


class FileOutput:
    """A file and its journal."""

    def __init__(self, path: Path, header: Header, *, restart: bool) -> None:
        """Open a new file, or one that an unfinished run of the same kind left. Raises ``BatchError``.

        Where the header leaves the seed open, a run that goes on keeps the one it was begun with.
        """
        self._path = path
        with ExitStack() as opened:
            try:
                self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
                opened.callback(os.close, self._fd)
                self._journal = Journal(path.with_name(path.name + ".journal"))
                opened.callback(self._journal.close)
            except OSError as error:
                raise BatchError(f"{error.filename}: {error.strerror}", "name another --output") from None
            self.seed, self.mark = self._begin(header) if restart else self._go_on(header)
            self._opened = opened.pop_all()
        self._synced = asyncio.get_running_loop().time()

    def _begin(self, header: Header) -> tuple[int, Mark]:
        seed = header.any_seed()
        self._journal.erase()
        os.ftruncate(self._fd, 0)
        self._journal.begin(msgspec.structs.replace(header, seed=seed))
        return seed, Mark()

    def _go_on(self, header: Header) -> tuple[int, Mark]:
        size = os.fstat(self._fd).st_size
        if size == 0:
            return self._begin(header)
        begun = self._journal.header()
        if begun is None:
            self._journal.remove()
            raise BatchError(
                f"{self._path}: is there already, and not as the output of an unfinished run",
                "--restart replaces it; or name another --output",
            )
        if different := begun.differences(header):
            raise BatchError(
                f"{self._path}: was begun with other settings ({'; '.join(different)})",
                "use the same ones to go on, or --restart to begin anew",
            )
        mark = self._journal.last(size)
        if mark is None:
            raise BatchError(f"{self._path}: shorter than what was written to it", "--restart begins anew")
        os.ftruncate(self._fd, mark.end)
        os.lseek(self._fd, 0, os.SEEK_END)
        self._journal.go_on(mark)
        return begun.any_seed(), mark

    async def append(self, data: bytes, mark: Mark) -> None:
        """Announce, then write."""
        self._journal.ahead(mark)
        write(self._fd, data)
        self.mark = mark
        now = asyncio.get_running_loop().time()
        if now - self._synced >= SYNC:
            self._synced = now
            await asyncio.to_thread(self._sync)

    def _sync(self) -> None:
        os.fsync(self._fd)
        self._journal.synced(self.mark)

    async def close(self) -> None:
        """See everything onto the disk."""
        try:
            await asyncio.to_thread(self._sync)
        finally:
            self._opened.close()
