"""Keys that Textual's table of terminal sequences reads as something else.

Terminals send Alt with a key as ESC and the key. Textual drops the ESC before Enter, so that Alt+Enter would
send the line, and reads ESC and a digit as the character that iTerm types with Option (``¡`` for 1).
"""

from collections.abc import MutableMapping
from typing import Any, NamedTuple, cast

from textual._ansi_sequences import ANSI_SEQUENCES_KEYS


class AltKey(NamedTuple):
    """Stands in for a member of ``textual.keys.Keys``, of which Textual reads the value only."""

    value: str


def install() -> None:
    """Teach Textual the Alt keys of the key map."""
    table = cast("MutableMapping[str, Any]", ANSI_SEQUENCES_KEYS)
    for sequence in ("\x1b\r", "\x1b\n"):
        table[sequence] = (AltKey("alt+enter"),)
    for digit in range(1, 10):
        table[f"\x1b{digit}"] = (AltKey(f"alt+{digit}"),)
