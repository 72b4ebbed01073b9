"""The next token of a sequence, from the logits that CTranslate2 computed for it.

CTranslate2 draws samples from a generator of its own, whose state is nobody's business, and knows few of the
parameters. So wherever more than the plain best token is asked for, the choice is made here: the sampler is
the product's own, keyed by (seed, sample, position, token), and an answer is the same on every replica and
the one that the other backends give.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backends import noise
from backends.base import BackendError
from backends.ctranslate2.asked import Reader
from backends.ctranslate2.rows import Row
from backends.ctranslate2.tokens import Token
from backends.cut import Cut
from backends.fairseq.errors import not_a_number
from repl.params import Params

_IMPOSSIBLE = float("-inf")


class Chooser:
    """Chooses and describes tokens for the rows of one model. ``size`` is that of the vocabulary."""

    def __init__(self, reader: Reader, size: int) -> None:
        self._reader, self._size = reader, size

    def token(self, row: Row, logits: NDArray[np.float32], seed: int | None) -> Token:
        """The token that comes next in ``row``, which its script prescribes or which is chosen.

        ``logits`` is ``[tokens]``; there may be more than the vocabulary has, or fewer. Raises
        ``BackendError`` where they are no numbers or the settings forbid every token.
        """
        index, params = len(row.tokens), row.request.params
        scores = self._fitted(logits)
        raw = scores.log_softmax(-1)
        if raw.isnan().any():
            raise not_a_number(index)
        left, script = self._left(row, scores, index), row.left
        drawn = params.temperature > 0 and seed is not None
        proc_lp = None
        if script:
            token = script[0]
        elif drawn:
            token, proc_lp = self._draw(row, left, seed or 0, index)
        else:
            token = int(left.argmax())
        if not script and left[token] == _IMPOSSIBLE:
            raise BackendError(
                "bad_parameter",
                f"the settings forbid every token at token {index}",
                "lower no_repeat_ngram or min_new, or ban less",
            )
        # What the search made of it; of a prescribed token, which nothing may forbid, what the model did.
        search_lp = float(left[token]) if left[token] != _IMPOSSIBLE else float(raw[token])
        return self._described(Token(token, search_lp, float(raw[token]), proc_lp), row, raw)

    def _fitted(self, logits: NDArray[np.float32]) -> Tensor:
        """A device may compute more columns than there are tokens, and a model may lack its last one."""
        scores = torch.full((self._size,), _IMPOSSIBLE)
        known = torch.from_numpy(np.ascontiguousarray(logits[: self._size]))
        scores[: len(known)] = known
        return scores

    def _left(self, row: Row, scores: Tensor, index: int) -> Tensor:
        """The log-probabilities that are chosen from: tempered, punished, without what is forbidden.

        What is added to a token or taken off it is not made up for by the others, as in fairseq.
        """
        params, said = row.request.params, [*row.asked.said, *row.ids]
        temperature, penalty = params.temperature or 1.0, params.repetition_penalty
        before = _punished(scores, said, penalty) / temperature
        if index < row.given:
            return before.log_softmax(-1)
        left = _punished(self._biased(row, scores), said, penalty)
        if params.presence_penalty or params.frequency_penalty:
            for token, count in Counter(row.ids).items():
                left[token] -= params.presence_penalty + params.frequency_penalty * count
        left = left / temperature - before.logsumexp(-1)
        forbidden = [*self._reader.never]
        if index < row.asked.least:
            forbidden += [*self._reader.ends, *row.asked.stops]
        if params.no_repeat_ngram:
            forbidden += repeats(said, params.no_repeat_ngram)
        left[forbidden] = _IMPOSSIBLE
        return left

    def _biased(self, row: Row, scores: Tensor) -> Tensor:
        """A copy with what the request adds to words and takes off them."""
        changed, past = scores.clone(), (*row.asked.heard, *row.ids)
        for (*begun, last), amount in row.asked.biases.items():
            if not begun or past[-len(begun) :] == tuple(begun):
                changed[last] += amount
        return changed

    def _draw(self, row: Row, left: Tensor, seed: int, index: int) -> tuple[int, float]:
        params = row.request.params
        kept = Cut(params.top_k, params.top_p, params.min_p, params.typical_p)(left[None])
        keys = noise.keys([(seed, row.request.sample + row.sample, index)])
        token = int(noise.draw_rows(kept, keys))
        return token, float(kept[0, token] - kept[0].logsumexp(-1))

    def _described(self, token: Token, row: Row, raw: Tensor) -> Token:
        """With what else is to be told of it."""
        token.rank = int((raw > raw[token.id]).sum())
        token.entropy = float(torch.special.entr(raw.exp()).sum())
        token.top = _best(raw, row.request.params)
        if row.request.distributions and len(row.tokens) >= row.request.known:
            token.distribution = raw.numpy().astype("<f4", copy=False).tobytes()
        return token


def repeats(said: Sequence[int], size: int) -> list[int]:
    """Tokens that would complete an n-gram of ``size`` which was said before."""
    start = len(said) - size + 1
    if start < 0:
        return []
    beginning = list(said[start:])
    places = range(len(said) - size + 1)
    return [said[i + size - 1] for i in places if list(said[i : i + size - 1]) == beginning]


def _punished(scores: Tensor, said: list[int], penalty: float) -> Tensor:
    """transformers' rule: logits of what was said are divided by the penalty, negative ones multiplied."""
    if penalty == 1:
        return scores
    tokens = torch.tensor(sorted(set(said)), dtype=torch.long)
    before = scores[tokens]
    return scores.index_put((tokens,), torch.where(before < 0, before * penalty, before / penalty))


def _best(raw: Tensor, params: Params) -> tuple[tuple[int, float], ...]:
    count = min(params.logprobs, len(raw))
    if not count:
        return ()
    best = raw.topk(count)
    return tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))
