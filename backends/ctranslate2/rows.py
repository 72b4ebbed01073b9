"""One sequence on its way: what it must say, what it has said, and why it ended."""

from collections.abc import Sequence

from backends.ctranslate2.asked import Asked
from backends.ctranslate2.tokens import Token
from backends.stops import cut
from repl.messages import FinishReason, Request


class Row:
    """An answer as it grows, a text to score, or a hypothesis that is read once more."""

    def __init__(self, request: Request, asked: Asked, ends: Sequence[int], sample: int = 0) -> None:
        self.request, self.asked, self.sample = request, asked, sample
        self.script = asked.script
        """Tokens that come first, whatever the model makes of them."""
        self.given = len(asked.script)
        """How many of the script's tokens were prescribed by the request."""
        self.limit = asked.limit
        self.tokens: list[Token] = []
        self.reason: FinishReason | None = None
        self.charged = False
        """The script's last token is an end token that the limit forced on it."""
        self.attention: list[list[float]] = []
        """For each token its weight on each of the source's; empty where nobody asked."""
        self.told_score: float | None = None
        """The search's own, where it tells no more."""
        self._ends = ends

    @classmethod
    def found(
        cls, request: Request, asked: Asked, ends: Sequence[int], tokens: list[int], charge: bool
    ) -> "Row":
        """A hypothesis of a beam search, to be read once more; ``charge`` lets an unended one end."""
        row = cls(request, asked, ends)
        row.charged = charge and not (tokens and tokens[-1] in (*ends, *asked.stops))
        row.script = [*tokens, ends[0]] if row.charged else tokens
        row.limit = len(row.script)
        return row

    @property
    def ids(self) -> list[int]:
        """What it has said."""
        return [token.id for token in self.tokens]

    @property
    def shown(self) -> list[int]:
        """The same without the stop token that ended it."""
        ids = self.ids
        return ids[:-1] if self.reason == "stop" and ids[-1] in self.asked.stops else ids

    @property
    def feed(self) -> list[int]:
        """See ``Asked.feed``."""
        return self.asked.feed

    @property
    def left(self) -> list[int]:
        """The part of the script that it has not said."""
        return self.script[len(self.tokens) :]

    def push(self, token: Token) -> None:
        """Say one token more; afterwards ``reason`` tells whether that was the last."""
        self.tokens.append(token)
        length = len(self.tokens)
        token.forced = length <= self.given
        if length < len(self.script):
            return
        if token.id in self._ends and not self.charged:
            self.reason = "eos"
        elif token.id in self.asked.stops and length > self.given:
            self.reason = "stop"
        elif length >= self.limit:
            self.reason = "length"
        if self.request.task == "score":
            self.reason = "done"
        elif self.request.params.stop and self.reason != "eos" and self._stopped():
            self.reason = "stop"

    def _stopped(self) -> bool:
        return cut(self.asked.codec.text(self.ids), self.request.params.stop)[1]

    def score(self) -> float | None:
        """The sum of the search's log-probabilities by the length, as beams are ranked; None if unknown."""
        if self.told_score is not None:
            return self.told_score
        parts = [token.search_lp for token in self.tokens]
        known = [part for part in parts if part is not None]
        if len(known) < len(parts) or not parts:
            return None
        return sum(known) / float(len(known) ** self.request.params.length_penalty)
