"""The text the demo language model reads: documentation that every installed Python carries.

It is the topics of `help()` (`pydoc_data.topics`), the docstrings of the standard library's modules, read
with `ast` and never by importing them, and those of the built-in types and functions. All of it is under the
PSF licence. The text depends on the version of Python; `digest` names it.
"""

import ast
import builtins
import hashlib
import inspect
import re
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path
from pydoc_data import topics
from typing import NamedTuple

HELD_OUT_PER_CENT = 5
_SKIPPED = {"ensurepip", "idlelib", "lib2to3", "pydoc_data", "site-packages", "test", "tests", "turtledemo"}
_SHORTEST = 20
_WIDTH = 64
_UNDERLINE = re.compile(r"^[*=~^\"'-]{3,}$")
_MARKUP = (
    (re.compile(r"``(.+?)``"), r"\1"),
    (re.compile(r":[a-z:]+:`[!~]?([^`]+)`"), r"\1"),
    (re.compile(r"\*\*([^*\n]+)\*\*"), r"\1"),
    (re.compile(r"(?<![\w*])\*([A-Za-z][\w ]*)\*(?![\w*])"), r"\1"),
)
_QUOTED = re.compile(r'"([^"\n]{1,40})"')


class Document(NamedTuple):
    """One text with a beginning and an end, and the name of what it documents ("topics", "json.decoder")."""

    source: str
    text: str


class Split(NamedTuple):
    """What the model learns from, and what it is measured on: docstrings of modules it has never seen."""

    train: list[str]
    held_out: list[str]


def documents() -> list[Document]:
    """Every document, always in the same order, each text once."""
    seen: set[str] = set()
    found = []
    for source, raw, quotes in _raw():
        text = plain(raw, quotes)
        if len(text) >= _SHORTEST and text not in seen:
            seen.add(text)
            found.append(Document(source, text))
    return found


def split(every: Iterable[Document]) -> Split:
    """Hold out whole modules, chosen by a hash of the name, less the paragraphs that are trained on too."""
    train: list[str] = []
    held_out: list[str] = []
    for document in every:
        (held_out if _is_held_out(document.source) else train).append(document.text)
    known = {paragraph for text in train for paragraph in text.split("\n\n")}
    fresh = ("\n\n".join(p for p in text.split("\n\n") if p not in known) for text in held_out)
    return Split(train, [text for text in fresh if len(text) >= _SHORTEST])


def digest(texts: Iterable[str]) -> str:
    """A short name for exactly this text, to tell whether another Python carries the same."""
    sha = hashlib.sha256()
    for text in texts:
        sha.update(text.encode() + b"\0")
    return sha.hexdigest()[:16]


def plain(text: str, quotes: bool = False) -> str:
    """`text` as prose: markup, underlines and grammar gone, wrapped lines joined, code left as it is.

    The topics of `help()` put code words between double quotes; `quotes` removes those.
    """
    paragraphs = re.split(r"\n[ \t]*\n", inspect.cleandoc(text))
    cleaned = (_plain_paragraph(paragraph, quotes) for paragraph in paragraphs)
    return "\n\n".join(paragraph for paragraph in cleaned if paragraph.strip() and "::=" not in paragraph)


def _plain_paragraph(paragraph: str, quotes: bool) -> str:
    lines = [line.rstrip() for line in paragraph.split("\n")]
    lines = [line for line in lines if not _UNDERLINE.match(line.strip())]
    text = "\n".join(lines)
    if not _is_prose(text):
        return text
    text = _unwrap(lines)
    for pattern, replacement in _MARKUP:
        text = pattern.sub(replacement, text)
    return _QUOTED.sub(r"\1", text) if quotes else text


def _is_prose(text: str) -> bool:
    """Whether a paragraph reads as sentences rather than as code or a table."""
    if ">>>" in text or not text.strip():
        return False
    return sum(character.isalpha() or character.isspace() for character in text) / len(text) > 0.8


def _unwrap(lines: list[str]) -> str:
    """Join a line with the next where it was broken only because the next word did not fit."""
    joined: list[str] = []
    previous = ""
    for line in lines:
        first = line.split(maxsplit=1)[0] if line.split() else ""
        if previous and len(previous) + 1 + len(first) > _WIDTH and not previous.endswith(":"):
            joined[-1] += " " + line.strip()
        else:
            joined.append(line)
        previous = line
    return "\n".join(joined)


def _raw() -> Iterator[tuple[str, str, bool]]:
    """Source, text, and whether code words stand between quotes, for each document."""
    for name in sorted(topics.topics):
        for section in _sections(topics.topics[name]):
            yield "topics", section, True
    for name, value in sorted(vars(builtins).items()):
        yield from _builtin(name, value)
    root = Path(sysconfig.get_path("stdlib"))
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        if not _SKIPPED.intersection(parts):
            source = ".".join(part for part in parts if part != "__init__")
            for docstring in _docstrings(path):
                yield source, docstring, False


def _sections(topic: str) -> Iterator[str]:
    """The sections of a topic without their headings, so that each begins with its first sentence."""
    lines: list[str] = []
    for line in topic.split("\n"):
        if _UNDERLINE.match(line) and lines:
            lines.pop()
            yield "\n".join(lines)
            lines = []
        else:
            lines.append(line)
    yield "\n".join(lines)


def _builtin(name: str, value: object) -> Iterator[tuple[str, str, bool]]:
    """The docstrings of a built-in function or type, and of the type's own methods."""
    source = f"builtins.{name}"
    members = vars(value).values() if isinstance(value, type) else ()
    for thing in (value, *members):
        text = getattr(thing, "__doc__", None)
        if callable(thing) and isinstance(text, str):
            yield source, text, False


def _docstrings(path: Path) -> Iterator[str]:
    """The docstrings of the module at `path`, its classes and functions; none when it does not parse."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            text = ast.get_docstring(node)
            if text:
                yield text


def _is_held_out(source: str) -> bool:
    number = int(hashlib.sha256(source.encode()).hexdigest()[:8], 16)
    return source != "topics" and number % 100 < HELD_OUT_PER_CENT
