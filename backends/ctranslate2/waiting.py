"""Decides which requests go into the next call together, and when.

A lone request begins when no other has come for ``GATHER``. Those that wait while a call runs go into the
next: who waits for a person first, then in their order, with all that can be decoded together.
"""

from collections.abc import Callable, Hashable

from backends.ctranslate2.member import Member

GATHER = 0.002
"""Seconds."""
CPU_HYPOTHESES, GPU_HYPOTHESES = 160, 1024
"""Most that are decoded together; one request may have more. More of them gain a CPU nothing."""
CPU_TOKENS, GPU_TOKENS = 16_384, 262_144
"""Most tokens of all sequences of a call, as long as they may become."""
LONGEST = 1.0
"""Seconds that a call is to last at most, by what earlier ones took: so long a new line may have to wait."""
LEAST = 32
"""Hypotheses that a call may have however long it lasts: with fewer a device is not used well."""
LOGITS = 256 << 20
"""Bytes of logits that a call may keep."""
_TELLING = 0.05
"""Seconds that a call lasts if its speed is to be believed."""
_RATIO, _SLACK = 2.0, 16
"""How much longer than the shortest prompt of a call its longest may be."""


class Waiting:
    """The requests that are in no call. ``clock`` is in seconds, ``vocabulary`` the number of tokens."""

    def __init__(self, device: str, causal: bool, vocabulary: int, clock: Callable[[], float]) -> None:
        cpu = device == "cpu"
        self._hypotheses = CPU_HYPOTHESES if cpu else GPU_HYPOTHESES
        self._tokens = CPU_TOKENS if cpu else GPU_TOKENS
        self._causal, self._vocabulary, self._clock = causal, vocabulary, clock
        self._members: list[Member] = []
        self._changed = float("-inf")
        self._rate: float | None = None
        """Tokens a second, of calls that were long enough to tell."""

    def __len__(self) -> int:
        return len(self._members)

    def add(self, member: Member) -> None:
        """A new request, or one that has to wait for its next call."""
        self._members.append(member)
        if not member.batch:
            self._changed = self._clock()

    def remove(self, request_id: int) -> None:
        """Of an unknown one nothing happens."""
        self._members = [member for member in self._members if member.request.id != request_id]

    def took(self, tokens: int, seconds: float) -> None:
        """A call of so many tokens, as long as its sequences could become, lasted so long."""
        if seconds >= _TELLING:
            rate = tokens / seconds
            self._rate = rate if self._rate is None else (self._rate + rate) / 2

    def next(self, running: int) -> list[Member]:
        """Those to begin now; none if it is better to wait. ``running`` are in a call that has just ended."""
        if not self._members:
            return []
        gathering = self._clock() - self._changed < GATHER
        if gathering and not running and not any(member.batch for member in self._members):
            return []
        self._members.sort(key=lambda member: not member.request.interactive)
        chosen = self._alike(self._members[0])
        self._members = [member for member in self._members if member not in chosen]
        return chosen

    def _alike(self, first: Member) -> list[Member]:
        """``first`` and what can be decoded with it, the longest first."""
        chosen, hypotheses = [first], first.hypotheses
        shortest = longest = len(first.asked.feed)
        kind, most = self._kind(first), first.length + first.ahead
        if first.alone:
            return chosen
        for member in self._members[1:]:
            if member.alone or self._kind(member) != kind:
                continue
            length = len(member.asked.feed)
            least, long = min(shortest, length), max(longest, length)
            rows = hypotheses + member.hypotheses
            size = max(most, member.length + member.ahead)
            if long > least * _RATIO + _SLACK or not self._fits(rows, rows * size):
                continue
            if first.way != "stream" and first.way != "beams" and self._logits(rows, size) > LOGITS:
                continue
            chosen.append(member)
            hypotheses, shortest, longest, most = rows, least, long, size
        return chosen

    def _fits(self, rows: int, tokens: int) -> bool:
        if rows > self._hypotheses or tokens > self._tokens:
            return False
        return rows <= LEAST or self._rate is None or tokens <= self._rate * LONGEST

    def _kind(self, member: Member) -> Hashable:
        """Equal for requests that one call can serve."""
        way = member.way
        if way == "beams":
            params = member.request.params
            return (
                way,
                member.plan.beam,
                member.plan.again or params.n,
                member.ahead,
                member.asked.least,
                params.length_penalty,
                params.repetition_penalty,
                params.no_repeat_ngram,
                self._causal and member.length,
            )
        if not self._causal:
            return way
        # The end of a decoder's longer prompt is read token by token: no start for beams, nor told of.
        return (way, member.length if way == "guided" else member.length == 1)

    def _logits(self, rows: int, length: int) -> int:
        return 4 * rows * length * self._vocabulary
