"""What sees each token while CTranslate2 decodes: it tells of it, and says when a sequence is to stop.

An exception cannot pass through the library, so it is kept, and everything stops.
"""

from typing import Any, Protocol

from backends.ctranslate2.asked import Reader
from backends.ctranslate2.library import as_array
from backends.ctranslate2.member import Member
from backends.ctranslate2.rows import Row
from backends.ctranslate2.tokens import Token
from backends.fairseq.errors import not_a_number


class Watched(Protocol):
    """What a call lets those do who watch it."""

    reader: Reader

    @property
    def size(self) -> int:
        """Number of sequences."""
        ...

    def row(self, result: Any) -> tuple[Member, Row, int]:
        """Whose sequence a token is of, the sequence, and the token's index in the answer."""
        ...

    def choose(self, member: Member, row: Row, logits: Any) -> Token | None:
        """Let ``row`` go on with what its logits say; None where it cannot."""
        ...

    def push(self, member: Member, row: Row, token: Token) -> None:
        """A token is said."""
        ...

    def fail(self, member: Member, error: Exception) -> None:
        """A request cannot be gone on with; the others do not notice."""
        ...


class Watcher:
    """See ``library.Watch``."""

    def __init__(self, call: Watched) -> None:
        self.error: Exception | None = None
        self._call: Watched | None = call

    def part(self) -> None:
        """Let go of the call: the library's thread holds this last, which must not mean a model."""
        self._call = None

    def __call__(self, result: Any) -> bool:
        """Whether this sequence is to stop."""
        try:
            return self.error is not None or self._call is None or self._stops(self._call, result)
        except Exception as error:
            self.error = error
            return True

    def _stops(self, call: Watched, result: Any) -> bool:
        raise NotImplementedError


class Stream(Watcher):
    """Takes the tokens of the plain greedy search."""

    def _stops(self, call: Watched, result: Any) -> bool:
        member, row, index = call.row(result)
        if member.dropped or member.careful:
            return True
        if index < len(row.tokens):
            return False
        token, lp = result.token_id, result.log_prob
        early = index < row.asked.least and (token in call.reader.ends or token in row.asked.stops)
        if early or token in call.reader.never:
            member.careful = True
            return True
        if lp != lp:
            call.fail(member, not_a_number(index))
            return True
        call.push(member, row, Token(token, search_lp=lp, raw_lp=lp, rank=0))
        return row.reason is not None


class Guide(Watcher):
    """Chooses each token from its logits. Where the search went on with another, a new call is needed.

    The logits of a step come with the first sequence that goes on in it, a row for each in their order.
    """

    def __init__(self, call: Watched) -> None:
        super().__init__(call)
        self._step, self._place = -1, 0
        self._view: Any = None
        self._logits: Any = None
        self._going = call.size
        self._waiting = 0

    def _stops(self, call: Watched, result: Any) -> bool:
        if result.step != self._step:
            self._step, self._place, self._view, self._logits = result.step, 0, result.logits, None
        place, self._place = self._place, self._place + 1
        member, row, index = call.row(result)
        if member.dropped:
            return self._leaves(waits=False)
        if index < len(row.tokens):
            return False
        if self._logits is None:
            self._logits = as_array(self._view)
        chosen = call.choose(member, row, self._logits[place])
        if chosen is None or row.reason is not None:
            return self._leaves(waits=False)
        # When half of them wait for a new call, the others make it possible.
        if chosen.id != result.token_id or self._waiting >= self._going:
            return self._leaves(waits=True)
        return False

    def _leaves(self, waits: bool) -> bool:
        self._going -= 1
        self._waiting += waits
        return True
