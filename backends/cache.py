"""Keeps what was converted, so that a checkpoint is converted once.

A folder of the user's cache for each checkpoint and way of converting. It appears whole or not at all: made
under another name, then renamed. Whoever wants the same one meanwhile waits. When all of them together become
large, those go that were used longest ago.
"""

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from backends import fingerprint
from backends.base import BackendError, Progress

REVISION = 2
"""Of this package's own conversion; a new one leaves the old folders unused."""
MOST = 100 << 30
"""Bytes that the folders below one base may take together."""
_RECORD = "made.json"

Convert = Callable[[Path], None]
"""Writes a model into a folder that does not exist yet; raises what it likes."""


def key(files: Sequence[Path], *facts: str) -> str:
    """The name of a conversion: of these files as they are now, in this way.

    Their names, sizes and times count, and of their contents what ``fingerprint.files`` reads.
    """
    digest = hashlib.sha256(f"{REVISION}\n{fingerprint.files(files)}\n".encode())
    for file in sorted(files, key=lambda path: path.name):
        status = file.stat()
        digest.update(f"{file.name}\n{status.st_size}\n{status.st_mtime_ns}\n".encode("utf-8", "replace"))
    for fact in facts:
        digest.update(f"{fact}\n".encode())
    return digest.hexdigest()[:40]


def folder(base: Path, name: str, convert: Convert, progress: Progress) -> Path:
    """The folder ``name`` below ``base``, made by ``convert`` if it is not there or damaged.

    Raises ``BackendError`` where nothing can be written, and what ``convert`` raises.
    """
    try:
        base.mkdir(parents=True, exist_ok=True)
        with _locked(base / f".{name}.lock", progress):
            done = base / name
            if not _is_whole(done):
                _make(base, done, convert, progress)
                _make_room(base, done)
            os.utime(done / _RECORD)
            return done
    except OSError as error:
        raise BackendError(
            "missing_file",
            f"the converted model cannot be kept in {base}: {error.strerror or error}",
            "make room there, or choose another place with the environment variable XDG_CACHE_HOME",
            str(error),
        ) from None


def discard(done: Path) -> None:
    """Forget a conversion that turned out to be unusable."""
    with tempfile.TemporaryDirectory(dir=done.parent, prefix=".gone.") as away:
        done.rename(Path(away) / done.name)


def _make(base: Path, done: Path, convert: Convert, progress: Progress) -> None:
    for left in base.glob(f".{done.name}.*.part"):  # of a process that was killed: nobody else has the lock
        shutil.rmtree(left, ignore_errors=True)
    if done.exists():
        discard(done)
    progress("converting", None)
    part = Path(tempfile.mkdtemp(dir=base, prefix=f".{done.name}.", suffix=".part"))
    try:
        model = part / "model"
        convert(model)
        record = {"files": _sizes(model), "contents": contents(model)}
        (model / _RECORD).write_text(json.dumps(record), encoding="utf-8")
        for file in model.iterdir():
            _to_disk(file)
        model.rename(done)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _make_room(base: Path, spared: Path) -> None:
    """Let go of what was used longest ago, until all together take no more than ``MOST``."""
    used = {record.parent: record.stat().st_mtime_ns for record in base.glob(f"*/{_RECORD}")}
    sizes = {model: sum(_sizes(model).values()) for model in used}
    for model in sorted(used, key=used.__getitem__):
        if sum(sizes.values()) <= MOST:
            return
        if model != spared:
            shutil.rmtree(model, ignore_errors=True)  # who has its files open keeps them
            del sizes[model]


def _is_whole(done: Path) -> bool:
    """Whether all files are there as they were written."""
    try:
        record = json.loads((done / _RECORD).read_text(encoding="utf-8"))
        return bool(record == {"files": _sizes(done), "contents": contents(done)})
    except (OSError, ValueError):
        return False


def _files(model: Path) -> list[Path]:
    return sorted(file for file in model.iterdir() if file.name != _RECORD)


def _sizes(model: Path) -> dict[str, int]:
    return {file.name: file.stat().st_size for file in _files(model)}


def contents(model: Path) -> str:
    """A fingerprint of all files of a converted model."""
    return fingerprint.files(_files(model))


def _to_disk(file: Path) -> None:
    """Before the name appears, so that a crash of the machine leaves no half a file under it."""
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


@contextmanager
def _locked(file: Path, progress: Progress) -> Iterator[None]:
    """One process at a time; the system releases the lock of one that dies."""
    with file.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            progress("waiting for another process that converts it", None)
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
