"""One request on its way through the engine: read, waiting, decoded in one or several calls, complete."""

from collections.abc import Sequence
from typing import Literal

import msgspec

from backends.ctranslate2.asked import Asked, Reader
from backends.ctranslate2.library import Found
from backends.ctranslate2.plan import Plan
from backends.ctranslate2.results import finished
from backends.ctranslate2.rows import Row
from backends.ctranslate2.tokens import Token
from backends.ctranslate2.writing import Writer
from backends.stops import cut
from repl.messages import Event, Request, Started

Way = Literal["stream", "guided", "beams", "read"]
"""How the next tokens come: CTranslate2's greedy search, our choice from its logits, its beam search, or one
pass over a script for a decoder."""


class Member:
    """What is known of a request, and what it has been told."""

    def __init__(self, request: Request, asked: Asked, plan: Plan, reader: Reader, causal: bool) -> None:
        self.request, self.asked, self.plan = request, asked, plan
        self.careful = False
        """The plain greedy search came upon a token that an answer may not have: choose from logits."""
        self.alone = request.lane == "exact"
        """It shares no call: numbers are to be compared, or the call it was in has failed."""
        self.dropped = False
        """Cancelled, failed or complete: nothing more is wanted."""
        self.cancelled = False
        self.batch = self.padded = 0
        self.rows: list[Row] = []
        """What is being decoded."""
        if plan.beam == 1:
            self.rows = [Row(request, asked, reader.ends, sample) for sample in range(plan.rows)]
        self.attention = request.attention and reader.attention
        self.reader, self._causal = reader, causal
        self._writer = Writer(request, asked.codec)
        self._results: list[Row] = []
        """What is complete but for its attention."""

    @property
    def way(self) -> Way:
        """How it goes on."""
        if not self.rows:
            return "beams"
        if any(row.left for row in self.open):
            return "read" if self._causal else "guided"
        return "stream" if self._is_plain else "guided"

    @property
    def open(self) -> list[Row]:
        """The rows that have not ended."""
        return [row for row in self.rows if row.reason is None]

    @property
    def turn(self) -> list[Row]:
        """The open rows that its next call decodes: of a decoder's, whose logits are looked at, the shortest.

        Prompts of different lengths do not go on in step, and what they said is part of theirs.
        """
        rows = self.open
        if not (self._causal and rows and self.way == "guided"):
            return rows
        least = min(len(row.tokens) for row in rows)
        return [row for row in rows if len(row.tokens) == least]

    @property
    def hypotheses(self) -> int:
        """How many its next call decodes."""
        return len(self.turn) or self.plan.beam

    @property
    def ahead(self) -> int:
        """Most tokens that can follow what is prescribed."""
        return self.asked.limit - len(self.asked.script)

    @property
    def length(self) -> int:
        """Tokens of the longest sequence of its next call."""
        said = max((len(row.tokens) + len(row.left) for row in self.turn), default=len(self.asked.script))
        return len(self.asked.feed) + said

    def started(self) -> Started:
        """The first event."""
        return msgspec.structs.replace(
            self.asked.started, notes=(*self.asked.started.notes, *self.plan.notes)
        )

    def begin(self) -> list[Event]:
        """The first events; a first token that nothing precedes has no score."""
        events: list[Event] = [self.started()]
        if self.asked.unseen is not None:
            first = Token(self.asked.unseen, forced=True)
            row = self.rows[0]
            row.script, row.given, row.limit = [first.id, *row.script], row.given + 1, row.limit + 1
            events += self.push(row, first)
        return events

    def push(self, row: Row, token: Token) -> list[Event]:
        """Say a token; what is new in the answer that is shown. The last one ends the request."""
        row.push(token)
        events: list[Event] = []
        if not self._rereads and row is self.rows[0]:
            if row.reason is None:
                events += self._writer.push(token)
            else:
                events += self._shown_to_its_end(row)
        if not self.open:
            events += self._ended()
        return events

    def found(self, hypotheses: Sequence[Found]) -> list[Event]:
        """What the beams have found, best first."""
        request, ends = self.request, self.reader.ends
        charge = self.plan.again and self.reader.charges and not self.asked.free
        rows = [Row.found(request, self.asked, ends, found.tokens, charge) for found in hypotheses]
        if self.plan.again:
            self.rows = rows
            return []
        for row, hypothesis in zip(rows, hypotheses, strict=True):
            for token in hypothesis.tokens:
                row.push(Token(token))
            row.told_score = hypothesis.score
        self.rows = rows
        return self._complete(rows)

    @property
    def _is_plain(self) -> bool:
        """Whether the greedy search that CTranslate2 has is all that is asked for."""
        params = self.request.params
        penalties = (params.presence_penalty, params.frequency_penalty, params.no_repeat_ngram)
        punished = params.repetition_penalty != 1 or any(penalties) or bool(self.asked.biases)
        watched = params.logprobs or self.request.distributions or self.attention
        return self.plan.seed is None and not (punished or watched or self.careful)

    @property
    def _rereads(self) -> bool:
        """Whether the rows only read what has been found."""
        return self.plan.beam > 1 or bool(self._results)

    def landed(self, found: Sequence[Found]) -> list[Event]:
        """A call is over; ``found`` are its results for the rows that were open when it began."""
        if not self.attention or self.dropped or self.open:
            return []
        for row, hypothesis in zip(self.rows, found, strict=False):
            if len(hypothesis.attention) == len(row.tokens):
                row.attention = hypothesis.attention
        if self._results:
            for row, read in zip(self._results, self.rows, strict=True):
                row.attention = read.attention
            return self._complete(self._results)
        if all(row.attention for row in self.rows):
            return self._complete(self._ranked())
        self._results = self.rows
        self.rows = [
            Row.found(self.request, self.asked, self.reader.ends, row.ids, False) for row in self.rows
        ]
        return []

    def _ended(self) -> list[Event]:
        """All rows have; where attention is wanted too, it is there when the call is over."""
        return [] if self.attention else self._complete(self._ranked())

    def _ranked(self) -> list[Row]:
        if self.plan.beam == 1:
            return self.rows
        return sorted(self.rows, key=lambda row: row.score() or 0.0, reverse=True)

    def _complete(self, rows: list[Row]) -> list[Event]:
        events: list[Event] = []
        if self.plan.beam > 1:
            events += self._shown_to_its_end(rows[0])
        self.dropped = True
        several = self.request.params.n if self.plan.beam > 1 else len(rows)
        told = finished(rows[:several], self.reader, batch=self.batch, padded=self.padded)
        return [*events, told]

    def _shown_to_its_end(self, row: Row) -> list[Event]:
        path = row.tokens[:-1] if row.charged else row.tokens
        text, _ = cut(self.asked.codec.text(row.shown), self.request.params.stop)
        return self._writer.finish(path, text)
