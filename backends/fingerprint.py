"""Names for what was loaded: equal names mean equal vocabularies, equal checkpoints.

Backends call these when a model loads; records and comparisons rely on them.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

SMALL = 64 << 20
"""Files up to this size are hashed whole."""

SAMPLE = 1 << 20
"""Bytes read at each of three places in a larger one."""


def vocabulary(pieces: Iterable[bytes]) -> str:
    """sha256 over the ordered (id, bytes) pairs of a vocabulary; ``pieces[i]`` is what token ``i`` writes.

    Each pair enters as the id and the length of the bytes, little-endian 32-bit, then the bytes themselves.
    """
    digest = hashlib.sha256()
    for token, piece in enumerate(pieces):
        digest.update(struct.pack("<II", token, len(piece)) + piece)
    return f"sha256:{digest.hexdigest()}"


def files(paths: Sequence[Path]) -> str:
    """sha256 over the names and contents of checkpoint files, in the order of their names.

    Of a file above ``SMALL`` bytes its size and the first, middle and last MiB enter instead of all of it:
    reading tens of gigabytes would double the loading time.
    """
    digest = hashlib.sha256()
    for path in sorted(paths, key=lambda p: p.name):
        size = path.stat().st_size
        digest.update(path.name.encode("utf-8", "surrogateescape") + b"\0" + struct.pack("<Q", size))
        with path.open("rb") as file:
            if size <= SMALL:
                digest.update(hashlib.file_digest(file, "sha256").digest())
                continue
            for offset in (0, size // 2, size - SAMPLE):
                file.seek(offset)
                digest.update(file.read(SAMPLE))
    return f"sha256:{digest.hexdigest()}"


def code(folder: Path) -> str:
    """``sha256:...`` over the names and contents of all Python files in a folder, as ``trust`` names it."""
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        data = path.read_bytes()
        digest.update(f"{path.relative_to(folder).as_posix()}\0{len(data)}\0".encode())
        digest.update(data)
    return f"sha256:{digest.hexdigest()}"
