"""A model as far as it is known before its weights are on the device."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backends.ctranslate2.asked import Reader


@dataclass(frozen=True)
class Opened:
    """Who reads lines for it, and where its converted weights are or how they are made."""

    reader: Reader
    folder: Path | None
    """Of a model that needs no conversion."""
    key: str = ""
    """Names the conversion in the cache."""
    convert: Callable[[Path], None] | None = None
