"""Decides which requests go into the next call together, and when.

A lone request begins when no other has come for ``GATHER``. Those that wait while a call runs go into the
next: who waits for a person first, then in their order, each with what can be decoded together with it, those
of similar length first. Where they do not fit into one call they are shared evenly among several: a small
call costs a device nearly what a large one does.
"""

from collections.abc import Callable, Hashable, Sequence

from backends.ctranslate2.member import Member

GATHER = 0.002
"""Seconds."""
CPU_HYPOTHESES, GPU_HYPOTHESES = 160, 1024
"""Most that are decoded together; one request may have more. More of them gain a CPU nothing."""
CPU_TOKENS, GPU_TOKENS = 16_384, 262_144
"""Most tokens of all sequences of a call, as long as they may become."""
LONGEST, FILES_LONGEST = 1.0, 3.0
"""Seconds that a call is to last at most, by what earlier ones took: so long a new line may have to wait. The
second is for lines of files: nobody waits for one of them."""
LEAST, FILES_LEAST = 32, 80
"""Hypotheses that a call may have however long it lasts: with fewer a device is not used well. Decoding less
than the second number at a time, a CPU reads the weights from memory more often than it need."""
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
        """``first`` and what is to be decoded with it."""
        if first.alone:
            return [first]
        kind, length = self._kind(first), len(first.asked.feed)
        others = [
            member
            for member in self._members
            if member is not first and not member.alone and self._kind(member) == kind
        ]
        others.sort(key=lambda other: (not other.request.interactive, abs(len(other.asked.feed) - length)))
        chosen, left = self._filled(first, others, None)
        if left:  # more calls are needed: as many lines in each of them
            rows, most = (sum(member.hypotheses for member in each) for each in ((*chosen, *left), chosen))
            calls = -(-rows // most)
            chosen, _ = self._filled(first, others, -(-rows // calls))
        return chosen

    def _filled(
        self, first: Member, others: Sequence[Member], share: int | None
    ) -> tuple[list[Member], list[Member]]:
        """``first`` with those of ``others`` that fit into its call, and those for which it had no room.

        ``share`` is how many hypotheses it is to have, where it need not have all it can.
        """
        chosen, left, hypotheses = [first], list[Member](), first.hypotheses
        shortest = longest = len(first.asked.feed)
        most = first.length + first.ahead
        for member in others:
            length = len(member.asked.feed)
            least, long = min(shortest, length), max(longest, length)
            if long > least * _RATIO + _SLACK:
                continue
            rows = hypotheses + member.hypotheses
            size = max(most, member.length + member.ahead)
            if not self._fits(first, rows, size) or (share and hypotheses >= share):
                left.append(member)
                continue
            chosen.append(member)
            hypotheses, shortest, longest, most = rows, least, long, size
        return chosen, left

    def _fits(self, first: Member, rows: int, size: int) -> bool:
        """Whether a call may have so many hypotheses of so many tokens each."""
        tokens = rows * size
        if rows > self._hypotheses or tokens > self._tokens:
            return False
        if first.way not in ("stream", "beams") and self._logits(rows, size) > LOGITS:
            return False
        awaited = first.request.interactive
        if rows <= (LEAST if awaited else FILES_LEAST) or self._rate is None:
            return True
        return tokens <= self._rate * (LONGEST if awaited else FILES_LONGEST)

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
                params.ban,
                params.stop_tokens,
                self._causal and member.length,
            )
        if not self._causal:
            return way
        # The end of a decoder's longer prompt is read token by token: no start for beams, nor told of.
        return (way, member.length if way == "guided" else member.length == 1)

    def _logits(self, rows: int, length: int) -> int:
        return 4 * rows * length * self._vocabulary
