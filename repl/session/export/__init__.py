"""Writes exchanges to a file: Markdown and HTML to read, JSONL to compute with.

Everything in an exchange is untrusted: HTML is escaped, Markdown is fenced so that no answer can leave its
block, and controls become glyphs in both. JSONL keeps the texts as they are.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from repl.params import nearest
from repl.session.errors import InputError
from repl.session.exchange import Exchange
from repl.session.export import html, jsonl, markdown

FORMATS: dict[str, Callable[[Sequence[Exchange]], str]] = {
    ".md": markdown.render,
    ".jsonl": jsonl.render,
    ".html": html.render,
}
"""By the ending of the file's name."""


def write(path: Path, exchanges: Sequence[Exchange], *, replace: bool = False) -> Path:
    """Write ``exchanges`` in the format the name's ending says; returns the absolute path.

    The file appears whole or not at all. Raises ``InputError``, which names the file, when it cannot be
    written or is there already and ``replace`` is not set.
    """
    render = FORMATS.get(path.suffix.lower())
    if render is None:
        near = nearest(path.suffix.lower(), FORMATS)
        raise InputError(
            f"{path}: there is no format '{path.suffix}'",
            f"did you mean {near}?" if near else f"the name ends in {', '.join(FORMATS)}",
        )
    try:
        target = path.expanduser().absolute()
        _write_whole(target, render(exchanges), replace)
    except FileExistsError:
        raise InputError(f"{path} exists", f"/export {path} ! replaces it") from None
    except (OSError, RuntimeError, ValueError) as error:  # an unknown ~user; a name with a NUL in it
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} cannot be written: {reason}", "choose another place") from None
    return target


def _write_whole(target: Path, text: str, replace: bool) -> None:
    """Write beside the target and rename, so that a full disk leaves an earlier file as it was."""
    if not replace:
        target.touch(exist_ok=False)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        draft.write_text(text, encoding="utf-8", errors="replace", newline="\n")
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        if not replace:
            target.unlink()
        raise
