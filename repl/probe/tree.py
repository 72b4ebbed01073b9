"""Answers and what was made of them, as a tree."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from rich.cells import cell_len

from repl.probe.figure import Figure, Row, Span, piece_text, plural
from repl.probe.table import cut
from repl.safe import visible_line


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """One answer."""

    id: int
    model: str
    prompt: str
    text: str
    """The answer, or what differs of it: from ``position`` on."""
    parent: int | None = None
    how: str = ""
    """What made it of its parent: ``turn`` for the next line of a conversation, else a command."""
    position: int | None = None
    """The token where it leaves its parent, where it begins like it."""
    pieces: tuple[bytes, ...] = ()
    """Its tokens' bytes."""
    edge: bytes = b""
    """What it was made to write there; its own token where it was not made to."""
    state: str = "finished"


class Tree(Figure, frozen=True, kw_only=True):
    """Each answer under the one it goes on from; an edge shows the token that differs."""

    name = "tree"

    nodes: tuple[Node, ...]

    @property
    def title(self) -> str:
        """How many there are."""
        return plural(len(self.nodes), "answer")

    def rows(self, width: int) -> Sequence[Row]:
        """A row for each answer, in the order they were asked within each parent."""
        known = {node.id: node for node in self.nodes}
        below: dict[int | None, list[Node]] = {}
        for node in self.nodes:
            # What points forward or to itself is a root: so every node is reached, and once.
            before = node.parent is not None and node.parent < node.id and node.parent in known
            below.setdefault(node.parent if before else None, []).append(node)
        found: list[Row] = []
        todo = [_Place(node, None, "", "") for node in reversed(below.get(None, []))]
        while todo:
            place = todo.pop()
            found.append(_row(place.node, place.parent, place.own, width))
            todo += reversed(_below(place, below.get(place.node.id, [])))
        return found


class _Place(NamedTuple):
    """A node with what stands in front of it, and in front of all below it."""

    node: Node
    parent: Node | None
    own: str
    lead: str


def _below(place: _Place, children: Sequence[Node]) -> list[_Place]:
    """The only next line of a conversation stays in its column; all else is indented."""
    node, lead = place.node, place.lead
    if len(children) == 1 and children[0].how == "turn":
        return [_Place(children[0], node, f"{lead}↓ ", lead)]
    places = [_Place(child, node, f"{lead}├─ ", f"{lead}│  ") for child in children[:-1]]
    return places + [_Place(child, node, f"{lead}└─ ", f"{lead}   ") for child in children[-1:]]


def _row(node: Node, parent: Node | None, lead: str, width: int) -> Row:
    spans = [Span(lead, "muted"), Span(f"#{node.id} ", "strong"), *_edge(node, parent, width)]
    used = sum(cell_len(span.text) for span in spans)
    mark = "" if node.state == "finished" else f"[{node.state}] "
    text = visible_line(" ".join(f"{mark}{node.text}".split()))
    if node.position is not None and node.position > 0:
        text = f"…{text}"
    return (*spans, Span(cut(text, max(4, width - used))))


def _edge(node: Node, parent: Node | None, width: int) -> list[Span]:
    name = cut(visible_line(node.model), max(8, width // 4))
    model = [Span(name, "heading" if parent is None else "muted"), Span(" ")]
    if node.position is not None:
        own = piece_text(node.edge) or _piece(node, node.position)
        other = f"{_piece(parent, node.position)} → " if parent is not None else ""
        of = f" of #{node.parent}" if parent is None and node.parent is not None else ""
        words = Span(f"{node.how}{of} @{node.position} {other}{own} ", "changed")
        same = parent is not None and parent.model == node.model
        return [words] if same else [words, *model]
    asked = visible_line(" ".join(node.prompt.split()))
    prompt = Span(f"> {cut(asked, min(40, max(8, width // 6)))} → ", "muted")
    how = [Span(f"{node.how} ", "changed")] if node.how not in ("", "turn") else []
    return [*how, *model, prompt]


def _piece(node: Node, at: int) -> str:
    return piece_text(node.pieces[at]) or "∅" if at < len(node.pieces) else "∎"
