"""Aligns two sequences of tokens on the bytes they stand for, whatever tokenizers they come from.

A match is a run of tokens on either side with the same bytes; between two edges that the tokenizers share
none can be split further. What is in no match was taken out or put in.
"""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import accumulate, pairwise
from typing import Literal

import msgspec

from repl.messages import Step
from repl.probe.tokens import Token, tokens

CELLS = 250_000
"""Pairs of tokens that are looked at one by one; longer stretches are cut at tokens both sides have."""

Kind = Literal["same", "changed", "removed", "added"]
_Step = tuple[int, int]


class Block(msgspec.Struct, frozen=True, kw_only=True):
    """A run of tokens on either side; ranges are from ... to, the end not included."""

    kind: Kind
    a: tuple[int, int]
    """Indices of tokens."""
    b: tuple[int, int]
    bytes_a: tuple[int, int]
    """Offsets in the joined bytes."""
    bytes_b: tuple[int, int]


def diff(a: Sequence[bytes], b: Sequence[bytes]) -> tuple[Block, ...]:
    """What became of ``a`` in ``b``: blocks that cover both, in order.

    The matches leave out as few bytes as can be. A matched block is as small as the tokens allow; what lies
    between two of them is one block.
    """
    kept_a, kept_b = [[at for at, piece in enumerate(pieces) if piece] for pieces in (a, b)]
    corners = _corners([a[at] for at in kept_a], [b[at] for at in kept_b])
    # A token without bytes goes with the one before it; those at the very beginning with the first.
    cuts = [
        (0, 0),
        *((_place(kept_a, i, a), _place(kept_b, j, b)) for i, j in corners[1:-1]),
        (len(a), len(b)),
    ]
    edges_a, edges_b = edges(a), edges(b)
    whole_a, whole_b = b"".join(a), b"".join(b)
    found: list[Block] = []
    for (i, j), (to_i, to_j) in pairwise(cuts):
        bytes_a, bytes_b = (edges_a[i], edges_a[to_i]), (edges_b[j], edges_b[to_j])
        kind = _kind(whole_a[slice(*bytes_a)], whole_b[slice(*bytes_b)])
        found.append(Block(kind=kind, a=(i, to_i), b=(j, to_j), bytes_a=bytes_a, bytes_b=bytes_b))
    return tuple(found) if a or b else ()


def edges(pieces: Sequence[bytes]) -> list[int]:
    """The offset of each token's first byte, and the length of all."""
    return list(accumulate(map(len, pieces), initial=0))


def spelled(steps: Sequence[Step]) -> tuple[Token, ...]:
    """The tokens, the piece of each being what it adds to the visible text.

    That is its own where all join to the text, so that a character may be cut; else, as where a dictionary
    of words has no spaces, ``Step.text``. An end token adds nothing.
    """
    shown = len(steps)
    while shown and not steps[shown - 1].text:
        shown -= 1
    texts = [step.text.encode(errors="surrogatepass") for step in steps]
    own = [step.piece for step in steps[:shown]]
    pieces = [*own, *texts[shown:]] if b"".join(own) == b"".join(texts) else texts
    pairs = zip(tokens(steps), pieces, strict=True)
    return tuple(msgspec.structs.replace(token, piece=piece) for token, piece in pairs)


def _kind(before: bytes, after: bytes) -> Kind:
    if before == after:
        return "same"
    return "added" if not before else "removed" if not after else "changed"


def _place(kept: Sequence[int], at: int, pieces: Sequence[bytes]) -> int:
    """The index in ``pieces`` of number ``at`` of those kept."""
    return 0 if at == 0 else kept[at] if at < len(kept) else len(pieces)


def _corners(a: Sequence[bytes], b: Sequence[bytes]) -> list[_Step]:
    """The path's corners, (0, 0) included, with one step over each gap."""
    cuts: list[_Step] = [(0, 0)]
    gap = False
    for here, there in pairwise([(0, 0), *_path(a, b)]):
        if here == there:
            continue
        matched = here[0] < there[0] and here[1] < there[1]
        if gap and not matched:
            cuts[-1] = there
        else:
            cuts.append(there)
        gap = not matched
    return cuts


def _path(a: Sequence[bytes], b: Sequence[bytes]) -> Iterator[_Step]:
    """Corners of the alignment after (0, 0): both numbers grow over a match, one over what is left out."""
    i = j = 0
    while (step := _match(a, b, i, j)) is not None:
        yield step
        i, j = step
    back_a, back_b = [p[::-1] for p in a[i:][::-1]], [p[::-1] for p in b[j:][::-1]]
    tail: list[_Step] = []
    u = v = 0
    while (step := _match(back_a, back_b, u, v)) is not None:
        tail.append((len(a) - u, len(b) - v))
        u, v = step
    end_a, end_b = len(a) - u, len(b) - v
    yield from _middle(a, b, (i, j), (end_a, end_b))
    yield from tail[::-1]


def _middle(a: Sequence[bytes], b: Sequence[bytes], start: _Step, end: _Step) -> Iterator[_Step]:
    """The path between two corners."""
    (i, j), (end_a, end_b) = start, end
    if (end_a - i) * (end_b - j) <= CELLS:
        yield from _best(a, b, start, end)
        return
    common = SequenceMatcher(None, a[i:end_a], b[j:end_b], autojunk=False).get_matching_blocks()
    at = start
    for block in common:
        gap = (i + block.a, j + block.b)
        if (gap[0] - at[0]) * (gap[1] - at[1]) <= CELLS:
            yield from _best(a, b, at, gap)
        else:
            yield (at[0], gap[1])
            yield gap
        for k in range(1, block.size + 1):
            yield (gap[0] + k, gap[1] + k)
        at = (gap[0] + block.size, gap[1] + block.size)


def _best(a: Sequence[bytes], b: Sequence[bytes], start: _Step, end: _Step) -> Iterator[_Step]:
    """The path that leaves out the fewest bytes; of equals the one that leaves out ``a``'s first."""
    (i, j), (end_a, end_b) = start, end
    rows, columns = end_a - i, end_b - j
    a, b = a[i:end_a], b[j:end_b]
    cost = [[0] * (columns + 1) for _ in range(rows + 1)]
    matches: dict[_Step, _Step] = {}
    for u in range(rows, -1, -1):
        for v in range(columns, -1, -1):
            options = []
            if u < rows:
                options.append(len(a[u]) + cost[u + 1][v])
            if v < columns:
                options.append(len(b[v]) + cost[u][v + 1])
            if u < rows and v < columns and (step := _match(a, b, u, v)) is not None:
                matches[u, v] = step
                options.append(cost[step[0]][step[1]])
            cost[u][v] = min(options, default=0)
    u = v = 0
    while (u, v) != (rows, columns):
        least = cost[u][v]
        step = matches.get((u, v))
        if step is not None and cost[step[0]][step[1]] == least:
            u, v = step
        elif u < rows and len(a[u]) + cost[u + 1][v] == least:
            u += 1
        else:
            v += 1
        yield (i + u, j + v)


def _match(a: Sequence[bytes], b: Sequence[bytes], i: int, j: int) -> _Step | None:
    """Where the smallest match that begins at these tokens ends; None where there is none."""
    if i >= len(a) or j >= len(b):
        return None
    first, second = a[i], b[j]
    while first != second:
        if len(first) < len(second) and second.startswith(first) and i + 1 < len(a):
            i += 1
            first, second = a[i], second[len(first) :]
        elif len(second) < len(first) and first.startswith(second) and j + 1 < len(b):
            j += 1
            first, second = first[len(second) :], b[j]
        else:
            return None
    return (i + 1, j + 1)
