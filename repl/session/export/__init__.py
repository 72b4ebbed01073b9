"""Writes exchanges to a file: Markdown and HTML to read, JSON lines and Parquet to compute with.

Everything in an exchange is untrusted: HTML is escaped, Markdown is fenced so that no answer can leave its
block, and controls become glyphs in both. The others keep the texts as they are.
"""

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from repl.probe.figure import Figure
from repl.session.errors import InputError
from repl.session.exchange import Exchange
from repl.session.export import html, jsonl, lmeval, markdown, openai, parquet
from repl.spelling import nearest

PAGES: dict[str, Callable[[Sequence[Exchange], Sequence[Figure]], str]] = {
    ".md": markdown.render,
    ".html": html.render,
}
"""To read, with the figures that were shown; by the ending of the file's name."""
LINES: dict[str, Callable[[Exchange], dict[str, Any]]] = {
    ".openai.jsonl": openai.as_object,
    ".lm-eval.jsonl": lmeval.as_object,
    ".jsonl": jsonl.as_object,
}
"""One JSON object for each exchange."""
PARQUET = ".parquet"
ENDINGS = (*PAGES, ".jsonl", ".openai.jsonl", ".lm-eval.jsonl", PARQUET)


def write(
    path: Path, exchanges: Iterable[Exchange], figures: Sequence[Figure] = (), *, replace: bool = False
) -> Path:
    """Write ``exchanges`` in the format the name's ending says; returns the absolute path.

    Lines and Parquet are written as the exchanges come, so that there may be more than fit in memory. The
    file appears whole or not at all. Raises ``InputError``, which names the file, when it cannot be written
    or is there already and ``replace`` is not set.
    """
    writer = _writer(path, exchanges, figures)
    try:
        target = path.expanduser().absolute()
        _write_whole(target, writer, replace)
    except FileExistsError:
        raise InputError(f"{path} exists", f"/export {path} ! replaces it") from None
    except (OSError, RuntimeError, ValueError) as error:  # an unknown ~user; a name with a NUL in it
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{path} cannot be written: {reason}", "choose another place") from None
    return target


def _writer(path: Path, exchanges: Iterable[Exchange], figures: Sequence[Figure]) -> Callable[[Path], object]:
    """What writes the draft of ``path``."""
    name = path.name.lower()
    for ending, page in PAGES.items():
        if name.endswith(ending):
            return lambda draft: draft.write_text(
                page(list(exchanges), figures), encoding="utf-8", errors="replace", newline="\n"
            )
    for ending, as_object in LINES.items():
        if name.endswith(ending):
            return lambda draft: _write_lines(draft, map(as_object, exchanges))
    if name.endswith(PARQUET):
        return lambda draft: parquet.write(draft, exchanges)
    near = nearest(path.suffix.lower(), ENDINGS)
    raise InputError(
        f"{path}: there is no format '{path.suffix}'",
        f"did you mean {near}?" if near else f"the name ends in {', '.join(ENDINGS)}",
    )


def _write_lines(draft: Path, objects: Iterable[dict[str, Any]]) -> None:
    with draft.open("wb") as file:
        for one in objects:
            file.write(msgspec.json.encode(one) + b"\n")


def _write_whole(target: Path, writer: Callable[[Path], object], replace: bool) -> None:
    """Write beside the target and rename, so that a full disk leaves an earlier file as it was."""
    if not replace:
        target.touch(exist_ok=False)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        writer(draft)
        draft.replace(target)
    except BaseException:
        draft.unlink(missing_ok=True)
        if not replace:
            target.unlink()
        raise
