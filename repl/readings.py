"""The answers to tasks that draw no text: what a model makes of a text as it stands.

They travel in ``Finished.reading`` (``repl.messages``). Log-probabilities are in nats.
"""

import msgspec


class Tokenized(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True):
    """A text as tokens."""

    ids: tuple[int, ...]
    pieces: tuple[bytes, ...]
    """The bytes each token stands for; joined they should be the text."""
    unknown: tuple[bool, ...]
    """Whether it is the unknown token."""
    decoded: str
    """What the tokens decode to."""


class Labelled(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True):
    """What a classifier makes of the prompt."""

    labels: tuple[tuple[str, float], ...]
    """(label, natural log of its probability), best first."""
    exclusive: bool = True
    """The probabilities sum to 1; otherwise each label is a question of its own."""


class Filled(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True):
    """What a masked model puts into each gap of the prompt."""

    gaps: tuple[tuple[tuple[int, float, bytes], ...], ...]
    """For each gap, in order, the likeliest (token, raw_lp, piece), best first."""
    texts: tuple[str, ...] = ()
    """The prompt with the best, the second best ... choice in every gap."""


class LensCell(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """What one layer would predict at one position."""

    token: int
    """Its first choice."""
    piece: bytes
    raw_lp: float
    """Of that choice, in nats."""
    rank: int | None
    """Of the token that really follows; 0 is first. None at the last position, where none follows."""
    kl: float
    """Divergence of the last layer from this one, KL(last || this), in nats."""


class Lens(msgspec.Struct, frozen=True, kw_only=True, tag=True, array_like=True):
    """The logit lens: each layer's state read through the model's own output head."""

    ids: tuple[int, ...]
    pieces: tuple[bytes, ...]
    """The tokens read, one for each position."""
    layers: tuple[tuple[LensCell, ...], ...]
    """From the embeddings (layer 0) to the last; each has a cell for every position."""


Reading = Tokenized | Labelled | Filled | Lens
"""The answer to a task that draws no text."""
