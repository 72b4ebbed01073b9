"""One call of CTranslate2 for several requests, in a thread of its own, told of token by token."""

import queue
import threading
from collections.abc import Sequence
from typing import Any

from backends.base import BackendError
from backends.ctranslate2.asked import Reader
from backends.ctranslate2.choice import Chooser
from backends.ctranslate2.library import Feed, Found, Library, Search
from backends.ctranslate2.member import Member, Way
from backends.ctranslate2.rows import Row
from backends.ctranslate2.tokens import Token
from backends.ctranslate2.watching import Guide, Stream, Watcher
from backends.faults import while_generating
from repl.messages import Event, Failed

AHEAD = 32
"""Most tokens a sequence gets in a call that keeps logits: CTranslate2 holds on to all of them."""


class Call:
    """Runs until its sequences are complete or cannot go on without a new call."""

    def __init__(
        self, library: Library, reader: Reader, chooser: Chooser, members: Sequence[Member], way: Way
    ) -> None:
        self.members, self.way = list(members), way
        self.error: Exception | None = None
        """Why it broke off; to be looked at when it is over."""
        self.over = False
        self.reader = reader
        self._library, self._chooser = library, chooser
        self._rows = [(member, row) for member in members for row in member.turn]
        """The sequences, and whose they are."""
        self._told: queue.SimpleQueue[list[Event] | None] = queue.SimpleQueue()
        self._results: list[list[Found]] = []
        rows, length = sum(m.hypotheses for m in members), max(m.length for m in members)
        self.tokens = rows * max(m.length + m.ahead for m in members)
        """Of all its sequences, as long as they can become."""
        for member in members:
            member.batch, member.padded = max(member.batch, rows), max(member.padded, length)
        self._thread = threading.Thread(target=self._run, name="ctranslate2", daemon=True)
        self._thread.start()

    def wait(self, seconds: float) -> list[Event]:
        """What has happened since; sleeps until something does, at most so long. Sets ``over``."""
        events: list[Event] = []
        try:
            told = self._told.get(timeout=seconds)
            while told is not None:
                events += told
                told = self._told.get_nowait()
            self.over = True
            events += self._landed()
        except queue.Empty:
            pass
        gone = {member.request.id for member in self.members if member.cancelled}
        return [event for event in events if event.id not in gone] if gone else events

    def _run(self) -> None:
        try:
            if self.way == "beams":
                ends = (*self.reader.ends, *self.members[0].asked.stops)
                self._results = self._library.decode(self._feeds(), self._search(), ends)
            elif self.way == "read":
                self._read()
            else:
                self._watched(Stream(self) if self.way == "stream" else Guide(self))
        except Exception as error:
            self.error = error
        self._told.put(None)

    def _watched(self, watch: Watcher) -> None:
        try:
            self._results = self._library.decode(self._feeds(), self._search(), self.reader.ends, watch)
        finally:
            watch.part()
        if watch.error is not None:
            raise watch.error

    def _landed(self) -> list[Event]:
        if self.error is not None:
            return []
        events: list[Event] = []
        if self.way == "beams":
            for member, found in zip(self.members, self._results, strict=True):
                events += [] if member.dropped else member.found(found)
        elif self.way == "guided":
            results = iter(self._results)
            counts = [sum(owner is member for owner, _ in self._rows) for member in self.members]
            for member, count in zip(self.members, counts, strict=True):
                events += member.landed([next(results)[0] for _ in range(count)])
        return events

    def _feeds(self) -> list[Feed]:
        if self.way == "beams":
            return [
                Feed(member.asked.feed, member.asked.script, member.asked.start) for member in self.members
            ]
        return [Feed(row.feed, [*row.ids, *row.left], row.asked.start) for _, row in self._rows]

    def _search(self) -> Search:
        first = self.members[0]
        if self.way == "beams":
            params = first.request.params
            return Search(
                ahead=first.ahead,
                least=first.asked.least,
                beam=first.plan.beam,
                n=first.plan.beam if first.plan.again else params.n,
                length_penalty=params.length_penalty,
                repetition_penalty=params.repetition_penalty,
                no_repeat_ngram=params.no_repeat_ngram,
                never=(*((token,) for token in self.reader.never), *first.asked.banned),
            )
        ahead = max(row.limit - len(row.tokens) - len(row.left) for _, row in self._rows)
        if self.way == "stream":
            return Search(ahead=ahead)
        return Search(
            ahead=min(ahead, AHEAD), logits=True, attention=any(member.attention for member in self.members)
        )

    def _read(self) -> None:
        """A decoder reads its script in one pass."""
        sequences = [[*row.feed, *row.ids, *row.left[:-1]] for _, row in self._rows]
        logits = self._library.logits(sequences)
        for (member, row), sequence, seen in zip(self._rows, sequences, logits, strict=True):
            first = len(sequence) - len(row.left)
            for place in range(first, len(sequence)):
                if not member.dropped:
                    self.choose(member, row, seen[place])

    @property
    def is_running(self) -> bool:
        """Whether the library is still at it."""
        return self._thread.is_alive()

    @property
    def is_unwanted(self) -> bool:
        """Whether all its requests are cancelled, and it goes on: nothing ends a beam search."""
        return self.way == "beams" and all(member.cancelled for member in self.members)

    @property
    def size(self) -> int:
        """Number of sequences."""
        return len(self._rows)

    # -- for those who watch: see ``Watched`` ------------------------------------------------------------

    def row(self, result: Any) -> tuple[Member, Row, int]:
        """Whose sequence a token is of, the sequence, and the token's index in the answer."""
        member, row = self._rows[result.batch_id]
        # A decoder is given what is known as its prompt, the others say it again, after what they start with.
        again = result.step - max(0, len(row.asked.start) - 1)
        return member, row, len(row.tokens) if self._library.causal else again

    def choose(self, member: Member, row: Row, logits: Any) -> Token | None:
        """Let ``row`` go on with what its logits say; None where it cannot."""
        try:
            token = self._chooser.token(row, logits, member.plan.seed)
        except BackendError as error:
            self.fail(member, error)
            return None
        self.push(member, row, token)
        return token

    def push(self, member: Member, row: Row, token: Token) -> None:
        """A token is said."""
        if events := member.push(row, token):
            self._told.put(events)

    def fail(self, member: Member, error: Exception) -> None:
        """A request cannot be gone on with; the others do not notice."""
        member.dropped = True
        told = while_generating(error, "CTranslate2", member.hypotheses, member.length)
        self._told.put([Failed(id=member.request.id, error=told.error)])
