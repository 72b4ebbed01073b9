"""How far a batch run has come, in a small file beside its output, so that a killed run can go on.

``out.jsonl.journal`` holds a header, which says what the run asks of whom, and three marks of fixed size that
are overwritten in place. Before a record is appended to the output, one of the first two marks, in turn, is
set to where the output will end; so after a kill at any instant one of them tells the last whole record, and
what stands behind it in the output is a torn one. Nothing is lost or done twice, since what a process has
handed to the kernel survives it. The third mark is only set after both files were synced to the disk: after a
power cut, which may lose what was not synced, the run goes on from there.
"""

import errno
import fcntl
import os
import zlib
from contextlib import suppress
from pathlib import Path

import msgspec

from repl.batch.errors import BatchError
from repl.session.decoding import fresh_seed

SLOT = 256
"""Bytes of one mark."""
SYNCED = 2
"""Number of the mark that is only set when the disk has everything."""


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """A point of the run at which the output is whole."""

    lines: int = 0
    """Input lines done."""
    end: int = 0
    """Bytes of output they came to."""
    digest: str = ""
    """Of those input lines."""
    records: int = 0
    """Answers and errors written."""
    failed: int = 0
    """Of these, errors."""
    tokens: int = 0


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What must be the same for a run to go on."""

    version: int = 1
    input: str
    """``text`` or ``jsonl``."""
    output: str
    """``jsonl``, ``fairseq`` or ``text``."""
    seed: int | None
    """All seeds are derived from it; None asks for any."""
    system: str = ""
    """The system prompt."""
    models: dict[str, dict[str, object]]
    """By name: what was loaded, and how it decodes."""
    chain: str = ""
    """The models one after another, as ``--chain`` gave them."""

    def any_seed(self) -> int:
        """The seed, or a fresh one where it is left open."""
        return self.seed if self.seed is not None else fresh_seed()

    def differences(self, now: "Header") -> list[str]:
        """What ``now`` has otherwise, in words; asking for any seed is no difference."""
        if now.seed is None:
            now = msgspec.structs.replace(now, seed=self.seed)
        was, is_ = (_flat(msgspec.json.decode(msgspec.json.encode(h))) for h in (self, now))
        names = dict.fromkeys([*was, *is_])
        return [
            f"{name} was {was.get(name, 'not set')}, now it is {is_.get(name, 'not set')}"
            for name in names
            if was.get(name) != is_.get(name)
        ]


def _flat(value: object, prefix: str = "") -> dict[str, object]:
    if not isinstance(value, dict):
        return {prefix: value}
    flat: dict[str, object] = {}
    for key, held in value.items():
        flat |= _flat(held, f"{prefix}.{key}" if prefix else key)
    return flat


def _slot(mark: Mark) -> bytes:
    body = msgspec.json.encode(mark)
    return (b"%08x %s" % (zlib.crc32(body), body)).ljust(SLOT - 1) + b"\n"


class Journal:
    """The open file, locked against a second run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        self._base = 0
        self._turn = 0
        try:
            self._lock()
        except BaseException:
            os.close(self._fd)
            raise

    def _lock(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            # Some network file systems have no locks; a run there goes without.
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                raise BatchError(
                    f"{self._path}: another run is writing this output", "wait for it, or name another output"
                ) from None

    def header(self) -> Header | None:
        """Of the run it tells of: None in a new file, and in one whose creation was cut short.

        Raises ``BatchError`` where it is something else.
        """
        line, end, _ = os.pread(self._fd, os.fstat(self._fd).st_size, 0).partition(b"\n")
        if not end:
            return None
        self._base = len(line) + 1
        try:
            return msgspec.json.decode(line, type=Header)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            message = f"{self._path}: not the journal of a batch run ({error})"
            raise BatchError(message, "--restart begins anew") from None

    def begin(self, header: Header) -> None:
        """Start a new run in an empty file."""
        data = msgspec.json.encode(header) + b"\n"
        self._base = len(data)
        os.pwrite(self._fd, data + _slot(Mark()) * 3, 0)

    def erase(self) -> None:
        """From here on there is no run to go on with."""
        os.ftruncate(self._fd, 0)

    def last(self, size: int) -> Mark | None:
        """The furthest mark that an output of ``size`` bytes holds; None if it is shorter than every mark."""
        marks = [mark for slot in range(3) if (mark := self._mark(slot)) is not None and mark.end <= size]
        return max(marks, key=lambda mark: mark.lines, default=None)

    def _mark(self, slot: int) -> Mark | None:
        data = os.pread(self._fd, SLOT, self._base + slot * SLOT)
        check, _, body = data.rstrip().partition(b" ")
        with suppress(msgspec.MsgspecError, ValueError):
            if int(check, 16) == zlib.crc32(body):
                return msgspec.json.decode(body, type=Mark)
        return None

    def go_on(self, mark: Mark) -> None:
        """Go on from ``mark``; keeps the next ``ahead`` from overwriting the only mark there is."""
        self._set(0, mark)
        self._turn = 1

    def ahead(self, mark: Mark) -> None:
        """Note where the output will be; call it before writing there."""
        self._set(self._turn, mark)
        self._turn = 1 - self._turn

    def synced(self, mark: Mark) -> None:
        """Note that the output is on the disk up to ``mark``."""
        self._set(SYNCED, mark)
        os.fsync(self._fd)

    def _set(self, slot: int, mark: Mark) -> None:
        os.pwrite(self._fd, _slot(mark), self._base + slot * SLOT)

    def remove(self) -> None:
        """Delete the file."""
        self._path.unlink()

    def close(self) -> None:
        """Release the lock."""
        os.close(self._fd)
