"""Where answers part: the bytes they share, and what differs after that."""

import re
from collections.abc import Sequence
from itertools import combinations, groupby

import msgspec
from rich.cells import split_graphemes

from repl.probe.figure import Figure, Row, Span
from repl.probe.spans import Block, diff, edges
from repl.probe.table import flow, table
from repl.probe.tokens import Token, totals
from repl.safe import visible_line

_WORDS = re.compile(r"\s*(?:[぀-ヿ㐀-鿿豈-﫿]|[^\W぀-ヿ㐀-鿿豈-﫿]+|[^\w\s])|\s+")
"""A word or a mark with the white space before it; scripts written without spaces go by the character."""


class Answered(msgspec.Struct, frozen=True, kw_only=True):
    """One of the answers that are compared."""

    exchange: int
    """Its number in the record."""
    model: str
    tokens: tuple[Token, ...]
    finish: str = ""
    first_seconds: float | None = None
    """From submission to the first token."""
    total_seconds: float | None = None
    tokens_per_second: float | None = None

    @property
    def pieces(self) -> tuple[bytes, ...]:
        """The bytes of each token."""
        return tuple(token.piece for token in self.tokens)


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch in which two answers differ."""

    block: Block
    """Its tokens (or words) and bytes in either."""
    a: bytes
    b: bytes


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the first answer in another; empty where they are the same."""

    exchange: int
    """The other's number."""
    changes: tuple[Change, ...]
    pieces_a: tuple[bytes, ...]
    """What was compared: tokens or words."""
    pieces_b: tuple[bytes, ...]
    first_token_a: int | None
    """The token in which they part first; None where they are the same."""
    first_token_b: int | None
    first_byte: int | None


class Comparison(Figure, frozen=True, kw_only=True):
    """Answers side by side: how they were given, and where each parts from the first."""

    name = "comparison"

    answers: tuple[Answered, ...]
    unit: str = "tokens"
    """``tokens`` or ``words``."""
    against_first: tuple[Changes, ...]
    """Of each answer but the first."""

    @property
    def title(self) -> str:
        """Which answers."""
        return "where " + " ".join(f"#{answer.exchange}" for answer in self.answers) + " part"

    def rows(self, width: int) -> Sequence[Row]:
        """A table of figures, then the difference between each answer and the first."""
        found = [*_figures(self.answers, width)]
        first = self.answers[0]
        for answer, changes in zip(self.answers[1:], self.against_first, strict=True):
            found += [(), *_heading(first, answer, changes, self.unit, width)]
            if changes.changes:
                found += _wrapped(_spans(changes), width)
        return found


def compare(answers: Sequence[Answered], *, words: bool = False) -> Comparison:
    """The comparison of at least two answers, by their tokens or by their words."""
    first, *others = answers
    return Comparison(
        answers=tuple(answers),
        unit="words" if words else "tokens",
        against_first=tuple(_changes(first, other, words=words) for other in others),
    )


def first_divergence(
    answers: Sequence[Sequence[bytes]], *, running: Sequence[bool] | None = None
) -> tuple[int | None, ...]:
    """For each answer the index of the token with the first byte that another answer does not have there.

    An answer that ended where others go on gets its number of tokens. None where nothing is known to
    differ: for all where they are the same as far as they go, the shorter ones still ``running``, and for a
    running one that has not come to that byte. The answers may be of different tokenizers.
    """
    joined = [b"".join(pieces) for pieces in answers]
    going = running or [False] * len(joined)
    parting: int | None = None
    for (text, on), (other, other_on) in combinations(zip(joined, going, strict=True), 2):
        offset = shared(text, other)
        same = offset == len(text) == len(other)
        waits = (on and offset == len(text)) or (other_on and offset == len(other))
        if not same and not waits and (parting is None or offset < parting):
            parting = offset
    if parting is None:
        return (None,) * len(joined)
    return tuple(
        None if on and len(text) <= parting else _token_at(pieces, parting)
        for pieces, text, on in zip(answers, joined, going, strict=True)
    )


def shared(a: bytes, b: bytes) -> int:
    """How many bytes two texts have in common from their beginning."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def word_split(text: bytes) -> tuple[bytes, ...]:
    """The words of a text, each with the white space before it; joined they are the text, UTF-8 or not."""
    words = _WORDS.findall(text.decode("utf-8", "surrogateescape"))
    return tuple(word.encode("utf-8", "surrogateescape") for word in words)


def _token_at(pieces: Sequence[bytes], offset: int) -> int:
    """The token that the byte at ``offset`` is in; their number where it is behind the last."""
    return next((at for at, edge in enumerate(edges(pieces)[1:]) if edge > offset), len(pieces))


def _changes(a: Answered, b: Answered, *, words: bool) -> Changes:
    text_a, text_b = b"".join(a.pieces), b"".join(b.pieces)
    units_a = word_split(text_a) if words else a.pieces
    units_b = word_split(text_b) if words else b.pieces
    parts = first_divergence([a.pieces, b.pieces])
    return Changes(
        exchange=b.exchange,
        changes=tuple(
            Change(block=block, a=text_a[slice(*block.bytes_a)], b=text_b[slice(*block.bytes_b)])
            for block in diff(units_a, units_b)
            if block.kind != "same"
        ),
        pieces_a=units_a,
        pieces_b=units_b,
        first_token_a=parts[0],
        first_token_b=parts[1],
        first_byte=None if parts[0] is None else shared(text_a, text_b),
    )


def _figures(answers: Sequence[Answered], width: int) -> list[Row]:
    heading = ("", "model", "tokens", "bits/byte", "first", "total", "tok/s", "end")
    body = [_line(answer) for answer in answers]
    return table(heading, body, right=(2, 3, 4, 5, 6), width=width, names=2)


def _line(answer: Answered) -> list[Span | str]:
    sums = totals(answer.tokens)
    return [
        f"#{answer.exchange}",
        Span(visible_line(answer.model), "strong"),
        f"{len(answer.tokens):,}",
        f"{sums.bits_per_byte:.3f}" if sums.bytes else "–",
        _seconds(answer.first_seconds),
        _seconds(answer.total_seconds),
        "–" if answer.tokens_per_second is None else f"{answer.tokens_per_second:,.0f}",
        visible_line(answer.finish),
    ]


def _seconds(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value * 1000:,.0f} ms" if value < 1 else f"{value:,.1f} s"


def _heading(first: Answered, answer: Answered, changes: Changes, unit: str, width: int) -> list[Row]:
    names = f"#{first.exchange} {first.model} → #{answer.exchange} {answer.model}"
    if not changes.changes:
        return flow([Span(visible_line(names), "strong"), Span("  = the same", "good")], width)
    count = f"{len(changes.changes)} {'change' if len(changes.changes) == 1 else 'changes'} of {unit}"
    where = f"token {changes.first_token_a}"
    if changes.first_token_a != changes.first_token_b:
        where += f" (of the other {changes.first_token_b})"
    parts = [
        Span(visible_line(names), "strong"),
        Span(f"  ≠ from {where}, byte {changes.first_byte}", "warning"),
        Span(f" · {count}", "muted"),
    ]
    return flow(parts, width)


def _spans(changes: Changes) -> list[Span]:
    """The first answer with what was taken out and put in, each in its marks; the first change has ≠."""
    spans: list[Span] = []
    at = 0
    for number, change in enumerate(changes.changes):
        until = change.block.a[0]
        spans += [Span(_shown(piece)) for piece in changes.pieces_a[at:until]]
        if number == 0:
            spans.append(Span("≠", "warning"))
        if change.a:
            spans.append(Span(f"[-{_shown(change.a)}-]", "removed"))
        if change.b:
            spans.append(Span(f"{{+{_shown(change.b)}+}}", "added"))
        at = change.block.a[1]
    return [*spans, *(Span(_shown(piece)) for piece in changes.pieces_a[at:])]


def _shown(piece: bytes) -> str:
    return visible_line(piece.decode(errors="backslashreplace").replace("\n", "⏎").replace("\t", "⇥"))


def _wrapped(spans: Sequence[Span], width: int) -> list[Row]:
    """Spans one after another; a row ends behind a space, where it has any."""
    units = [
        (Span(text[start:end], style), size)
        for text, style in spans
        for start, end, size in split_graphemes(text)[0]
    ]
    rows: list[list[Span]] = []
    row: list[tuple[Span, int]] = []
    for unit in units:
        if row and sum(size for _, size in row) + unit[1] > width:
            spaces = [at for at, (span, _) in enumerate(row, 1) if span.text == " "]
            cut = spaces[-1] if spaces else len(row)
            rows.append([span for span, _ in row[:cut]])
            row = row[cut:]
        row.append(unit)
    rows.append([span for span, _ in row])
    return [_joined(row) for row in rows]


def _joined(row: Sequence[Span]) -> Row:
    """Neighbours of one style as one."""
    groups = groupby(row, key=lambda span: span.style)
    return tuple(Span("".join(span.text for span in group), style) for style, group in groups)
