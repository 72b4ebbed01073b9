"""Rules over a hypothesis' tokens that fairseq lacks (``search.Rule``)."""

from collections import Counter
from collections.abc import Mapping, Sequence

from torch import Tensor

from backends import upload
from backends.fairseq.text import Codec
from backends.stops import cut

_IMPOSSIBLE = float("-inf")


class NoRepeat:
    """No n-gram twice, over a language model's prompt and the answer.

    fairseq has the option, but its own code for it compares with padding and so forbids nothing
    (upstream issues 4709 and 5206).
    """

    def __init__(self, size: int) -> None:
        self._size = size

    def __call__(self, history: list[int], start: int, lprobs: Tensor) -> None:
        """See ``search.Rule``."""
        if banned := repeats(history, self._size):
            lprobs.index_fill_(0, upload.integers(list(banned), lprobs.device), _IMPOSSIBLE)


class EndAtStop:
    """A hypothesis with a stop string in it ends, at no cost to its score."""

    def __init__(self, codec: Codec, stops: Sequence[str]) -> None:
        self._codec, self._stops = codec, stops

    def __call__(self, history: list[int], start: int, lprobs: Tensor) -> None:
        """See ``search.Rule``."""
        if cut(self._codec.text(history[start:]), self._stops)[1]:
            lprobs.fill_(_IMPOSSIBLE)
            lprobs[self._codec.eos] = 0.0


class Biased:
    """More or less likely words, those that are banned among them."""

    def __init__(self, sequences: Mapping[tuple[int, ...], float]) -> None:
        self._sequences = sequences

    def __call__(self, history: list[int], start: int, lprobs: Tensor) -> None:
        """See ``search.Rule``."""
        answer = tuple(history[start:])
        for (*before, last), amount in self._sequences.items():
            if not before or answer[-len(before) :] == tuple(before):
                lprobs[last] += amount


class Written:
    """What the answer has already is less likely, as OpenAI's API defines it."""

    def __init__(self, presence: float, frequency: float, temperature: float) -> None:
        self._presence, self._frequency = presence / temperature, frequency / temperature

    def __call__(self, history: list[int], start: int, lprobs: Tensor) -> None:
        """See ``search.Rule``."""
        for token, count in Counter(history[start:]).items():
            lprobs[token] -= self._presence + self._frequency * count


def repeats(history: Sequence[int], size: int) -> set[int]:
    """Tokens that would complete an n-gram of ``size`` which ``history`` already holds."""
    beginning = list(history[len(history) - size + 1 :]) if size > 1 else []
    if len(beginning) < size - 1:
        return set()
    places = range(len(history) - size + 1)
    return {history[i + size - 1] for i in places if list(history[i : i + size - 1]) == beginning}
