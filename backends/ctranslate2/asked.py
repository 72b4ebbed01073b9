"""What a request asks of the model, in tokens; of whatever checkpoint it is, its reader makes this."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from repl.messages import Capabilities, Event, Request, Started


class Codec(Protocol):
    """Writes answers."""

    @property
    def pieces(self) -> Sequence[bytes]:
        """The bytes of each token."""
        ...

    def text(self, tokens: Sequence[int]) -> str:
        """Of a complete answer."""
        ...

    def settled(self, tokens: Sequence[int]) -> str:
        """Of a partial one, as far as further tokens will not take it back."""
        ...

    def raw(self, tokens: Sequence[int]) -> str:
        """Its symbols, where they are something else than its text."""
        ...


@dataclass(frozen=True)
class Asked:
    """What the model is fed, and how long its answer may be."""

    started: Started
    """The first event."""
    codec: Codec
    """Writes the answer."""
    feed: list[int]
    """For the encoder, its end token included, or for a decoder, its first token included."""
    script: list[int]
    """Tokens that are prescribed: the beginning of an answer, or the whole text to score."""
    limit: int
    """Most tokens of the answer, the prescribed ones included."""
    said: list[int] = field(default_factory=list)
    """What counts as said before where repetition is punished."""
    least: int = 0
    """Tokens an answer has before its end token."""
    start: tuple[int, ...] = ()
    """What the decoder of an encoder-decoder model begins with, where the model does not say it itself."""
    unseen: int | None = None
    """The first token of a text to score, where nothing precedes it that could tell of it."""
    biases: Mapping[tuple[int, ...], float] = field(default_factory=dict)
    """What is added to the logit of a sequence's last token after the others; minus infinity forbids it."""
    heard: list[int] = field(default_factory=list)
    """What comes before the answer and may be the beginning of such a sequence."""
    stops: frozenset[int] = frozenset()
    """Tokens that end the answer, beside its end token; the one that does is not shown."""
    free: bool = False
    """An answer that the limit cuts is complete, and a beam's score is charged for no end token."""

    @property
    def banned(self) -> list[tuple[int, ...]]:
        """The sequences of ``biases`` that are forbidden."""
        return [tokens for tokens, amount in self.biases.items() if amount == float("-inf")]


class Reader(Protocol):
    """Knows how text becomes tokens and back."""

    pieces: Sequence[bytes]
    """The vocabulary."""
    ends: tuple[int, ...]
    """Any of these ends an answer."""
    never: tuple[int, ...]
    """Tokens an answer never has."""
    unknown: int | None
    """The unknown token, where there is one."""
    attention: bool
    """It can be told what an answer attended to."""
    source_ends: tuple[int, ...]
    """End tokens of a prompt, which stand for no word."""
    charges: bool
    """A beam's answer that is cut at the limit pays for the end token it has not, as fairseq's do."""

    def read(self, request: Request) -> Asked:
        """Of ``generate`` and ``score``; raises ``BackendError`` where it is empty or does not fit."""
        ...

    def tokenize(self, request: Request) -> list[Event]:
        """All events of the task ``tokenize``."""
        ...

    def capabilities(self) -> Capabilities:
        """As far as they depend on the checkpoint."""
        ...
