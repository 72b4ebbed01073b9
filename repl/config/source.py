"""YAML with the line of every value, read as data and within bounds.

PyYAML parses; this module walks its nodes, so that an error can name file, line and key. Scalars follow the
YAML 1.2 core schema as people expect it: ``010`` is ten, ``1e-3`` a number and ``12:30`` a text.
"""

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from repl.config.models import ConfigError
from repl.spelling import is_unicode, nearest

MAX_BYTES = 256 << 10
MAX_DEPTH = 20
MAX_VALUES = 10_000
"""With every alias counted as often as it is used."""

_STANDARD = "tag:yaml.org,2002:"
_TAGS = {
    _STANDARD + name for name in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp", "value")
}
_TRUE, _FALSE, _NULL = ("true", "yes", "on"), ("false", "no", "off"), ("", "~", "null")
_INT = re.compile(r"[-+]?[0-9]+(_[0-9]+)*")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Item:
    """One value of a file, with where it stands and the keys that lead to it.

    What reads it as something it is not raises ``ConfigError``.
    """

    kind: Literal["scalar", "list", "mapping"]
    place: str
    """``demo.yaml:12``."""
    key: str
    """``models.lm.replicas``; empty for the whole file."""
    raw: str = ""
    """The text of a scalar."""
    quoted: bool = False
    items: tuple["Item", ...] = ()
    entries: tuple[tuple[str, "Item"], ...] = ()

    def fault(self, what: str) -> ConfigError:
        """An error about this value."""
        return ConfigError(": ".join(part for part in (self.place, self.key, what) if part))

    def _wrong(self, allowed: str) -> ConfigError:
        given = {
            "scalar": f"'{_short(self.raw)}'" if self.raw else "empty",
            "list": "a list",
            "mapping": "a mapping",
        }
        return self.fault(f"{given[self.kind]} is not allowed: it must be {allowed}")

    def scalar(self) -> Scalar:
        """As Python has it, by the core schema."""
        text = self.raw
        if self.quoted:
            return text
        low = text.lower()
        if low in _NULL:
            return None
        if low in _TRUE or low in _FALSE:
            return low in _TRUE
        if _INT.fullmatch(text) and len(text) <= 40 and abs(int(text)) < 1 << 63:
            return int(text)
        if _FLOAT.fullmatch(text) and len(text) <= 40:
            return float(text)
        return text

    def plain(self) -> object:
        """The whole value as plain dicts, lists and scalars."""
        if self.kind == "mapping":
            return {name: item.plain() for name, item in self.entries}
        if self.kind == "list":
            return [item.plain() for item in self.items]
        return self.scalar()

    def text(self, allowed: str = "a text") -> str:
        """A text that is not empty; a number counts as its digits."""
        value = self.scalar() if self.kind == "scalar" else None
        if isinstance(value, bool):
            raise self.fault(f"YAML reads {self.raw} as true or false: put it in quotes if it is a text")
        if value is None or value == "":
            raise self._wrong(allowed)
        return self.raw

    def choice(self, choices: Collection[str], what: str) -> str:
        """One of ``choices``; ``what`` names their kind in the message."""
        word = self.text("one of " + ", ".join(choices))
        if word in choices:
            return word
        raise self.fault(unknown(what, word, choices))

    def integer(self, low: int, high: int) -> int:
        """A whole number within bounds."""
        value = self.scalar() if self.kind == "scalar" else None
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self._wrong(f"a whole number of at least {low} and at most {high:,}")
        return value

    def flag(self) -> bool:
        """True or false."""
        value = self.scalar() if self.kind == "scalar" else None
        if not isinstance(value, bool):
            raise self._wrong("on or off")
        return value

    def each(self, allowed: str) -> tuple["Item", ...]:
        """The items of a list; a single scalar counts as a list of one."""
        if self.kind == "mapping" or (self.kind == "scalar" and self.scalar() is None):
            raise self._wrong(allowed)
        return self.items if self.kind == "list" else (self,)

    def mapping(self, allowed: Collection[str] | None = None) -> dict[str, "Item"]:
        """The entries of a mapping; with ``allowed``, any other key is an error."""
        if self.kind != "mapping":
            raise self._wrong("a mapping of keys to values")
        if allowed is not None:
            for name, item in self.entries:
                if name not in allowed:
                    raise ConfigError(f"{item.place}: {item.key}: {unknown('key', name, allowed)}")
        return dict(self.entries)


def unknown(what: str, word: str, known: Collection[str]) -> str:
    """``unknown model 'lm-lat': did you mean 'lm-late'? there are lm-late, lm-early``."""
    near = nearest(word, known)
    ask = f"did you mean '{near}'? " if near else ""
    there = "there is only" if len(known) == 1 else "there are"
    return f"unknown {what} '{_short(word)}': {ask}{there} {', '.join(known)}"


@contextmanager
def legible() -> Iterator[None]:
    """What the system will not show, for want of rights or of such a ``~user``, is a ``ConfigError``."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{error.filename} cannot be read: {error.strerror}") from None
    except RuntimeError as error:  # of expanduser
        raise ConfigError(str(error)) from None


def read(path: Path) -> Item:
    """The contents of a YAML file; ``ConfigError`` when it cannot be read or is not within bounds."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES >> 10} KiB, which no configuration needs to be")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path.name}:{line}: not UTF-8: save the file in that encoding") from error
    return parse(text, path.name)


def parse(text: str, name: str) -> Item:
    """The one document in ``text``; ``name`` is what messages call the file."""
    try:
        node = yaml.compose(text, Loader=_loader(name))
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            f"{name}:{line}: a character that YAML does not allow (U+{ord(text[error.position]):04X})"
        ) from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        why = ", ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(f"{place}: not valid YAML: {why}") from error
    if node is None:
        raise ConfigError(f"{name}: the file is empty: it must at least say 'models:' and name one")
    return _Builder(name).item(node, key="", depth=0)


def _loader(name: str) -> type[yaml.SafeLoader]:
    class Bounded(yaml.SafeLoader):
        """Stops at a nesting that would exhaust Python's stack."""

        depth = 0

        def compose_node(self, parent: Node | None, index: Any) -> Node | None:
            self.depth += 1
            if self.depth > MAX_DEPTH:
                raise ConfigError(f"{name}:{self.line + 1}: nested more than {MAX_DEPTH} deep")
            node = super().compose_node(parent, index)
            self.depth -= 1
            return node

    return Bounded


class _Builder:
    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0

    def item(self, node: Node, key: str, depth: int, place: str = "") -> Item:
        place = place or self._place(node)
        self._count += 1
        if self._count > MAX_VALUES or depth > MAX_DEPTH:
            raise ConfigError(
                f"{place}: more values than a configuration can need: aliases that repeat each other?"
            )
        if node.tag not in _TAGS:
            raise ConfigError(
                f"{place}: the tag {node.tag.replace(_STANDARD, '!!')} is not allowed: write plain values"
            )
        if isinstance(node, MappingNode):
            return Item("mapping", place, key, entries=tuple(self._entries(node, key, depth).items()))
        if isinstance(node, SequenceNode):
            items = (self.item(n, f"{key}[{i}]", depth + 1) for i, n in enumerate(node.value))
            return Item("list", place, key, items=tuple(items))
        if not is_unicode(node.value):
            raise ConfigError(
                f"{place}: {key}: a \\u that is half of a character: write the whole one with \\U"
            )
        quoted = isinstance(node, ScalarNode) and node.style is not None
        return Item("scalar", place, key, raw=node.value, quoted=quoted)

    def _place(self, node: Node) -> str:
        return f"{self._name}:{node.start_mark.line + 1}"

    def _entries(self, node: MappingNode, key: str, depth: int) -> dict[str, Item]:
        own: dict[str, Item] = {}
        merged: dict[str, Item] = {}
        for name_node, value in node.value:
            place = self._place(name_node)
            if not isinstance(name_node, ScalarNode):
                raise ConfigError(f"{place}: a key must be a plain word")
            if name_node.tag == _STANDARD + "merge":
                for source in value.value if isinstance(value, SequenceNode) else [value]:
                    part = self.item(source, key, depth + 1)
                    merged = {**part.mapping(), **merged}
                continue
            name = name_node.value
            if name in own:
                raise ConfigError(f"{place}: {_join(key, name)}: the key '{_short(name)}' is there twice")
            own[name] = self.item(value, _join(key, name), depth + 1, place)
        return {**merged, **own}


def _join(key: str, name: str) -> str:
    return f"{key}.{_short(name)}" if key else _short(name)


def _short(text: str, limit: int = 60) -> str:
    """Text of a file, fit for one line of a message: nothing in it reaches a terminal as a control."""
    safe = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text[: limit + 1])
    return safe if len(safe) <= limit else safe[: limit - 1] + "…"
