"""The partial answers of a search as trees of tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

Top = tuple[tuple[int, float], ...]
"""Token and log-probability of the alternatives, best first."""


@dataclass(slots=True, eq=False)
class Node:
    """A token of a partial answer; the nodes of all hypotheses of a sentence form a tree."""

    parent: "Node | None"
    token: int
    search_lp: float | None = None
    raw_lp: float | None = None
    proc_lp: float | None = None
    rank: int | None = None
    entropy: float | None = None
    top: Top = ()
    forced: bool = False
    distribution: bytes = b""

    def path(self) -> "list[Node]":
        """From the first token of the answer to this one."""
        nodes = [self]
        while (parent := nodes[-1].parent) is not None:
            nodes.append(parent)
        return nodes[::-1]

    def tokens(self) -> tuple[int, ...]:
        """The answer up to here."""
        return tuple(node.token for node in self.path())


Ends = dict[tuple[int, ...], list[Node]]
"""End tokens by the answer up to and with them; groups of beams may find the same at different costs."""


def end_of(ends: Ends, tokens: tuple[int, ...], scores: Sequence[float]) -> Node:
    """Where the answer ends whose tokens have these scores in the search."""
    total = sum(scores)

    def distance(node: Node) -> float:
        return abs(total - sum(one.search_lp or 0.0 for one in node.path()))

    return min(ends[tokens], key=distance)


def grown(parent: Node | None, columns: Sequence[float], forced: bool, distribution: bytes = b"") -> Node:
    """A hypothesis one token longer, from a row of ``figures.table``."""
    token, _, increment, proc_lp, raw_lp, *more = columns
    node = Node(parent, int(token), increment, raw_lp, forced=forced, distribution=distribution)
    if not forced and proc_lp == proc_lp:  # nothing is drawn where the token is given
        node.proc_lp = proc_lp
    if more:
        rank, node.entropy, *pairs = more
        node.rank = int(rank)
        half = len(pairs) // 2
        node.top = tuple(zip(map(int, pairs[:half]), pairs[half:], strict=True))
    return node
