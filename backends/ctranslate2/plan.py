"""How a request is decoded: its parameters, once contradictions and what has no effect are settled."""

import secrets
from dataclasses import dataclass

from backends.base import BackendError
from backends.ctranslate2.asked import Reader
from repl.messages import Request
from repl.params import changed

_FRESH_SEED_BITS = 63
_OF_SAMPLING = ("temperature", "top_k", "top_p", "min_p", "typical_p")
_NOT_OF_BEAMS = ("unkpen", "presence_penalty", "frequency_penalty", "logit_bias")
"""What can be honoured only where each token is chosen from its logits."""


@dataclass(frozen=True)
class Plan:
    """How a request is decoded."""

    rows: int
    """Sequences: one, or one for each sample."""
    beam: int
    seed: int | None
    """Of the sampler; None where nothing is drawn."""
    again: bool
    """A beam's answers are read once more, for the score of each token."""
    notes: tuple[str, ...]

    @classmethod
    def of(cls, request: Request, reader: Reader, vocabulary: int, token_scores: bool) -> "Plan":
        """Raises ``BackendError`` where parameters contradict one another or cannot be honoured."""
        params = request.params
        if request.task == "score":
            return cls(1, 1, None, False, ())
        if params.n > params.beam > 1:
            raise BackendError(
                "bad_parameter",
                f"n = {params.n} is more than beam = {params.beam}, the number of answers it ends with",
                f"/set beam {params.n} or /set n {params.beam}",
            )
        if params.unkpen and reader.unknown is None:
            raise BackendError("bad_parameter", "unkpen: the model has no unknown token", "/set unkpen 0")
        if params.beam > 1:
            return cls._beams(request, vocabulary, token_scores)
        if params.temperature == 0:
            notes = ("n has no effect without sampling or beams",) if params.n > 1 else ()
            return cls(1, 1, None, False, notes)
        if params.seed is not None:
            return cls(params.n, 1, params.seed, False, ())
        seed = secrets.randbits(_FRESH_SEED_BITS)
        return cls(params.n, 1, seed, False, (f"seed {seed}",))

    @classmethod
    def _beams(cls, request: Request, vocabulary: int, token_scores: bool) -> "Plan":
        params, notes = request.params, ["beams are shown when they are complete"]
        if lacking := [name for name in _NOT_OF_BEAMS if name in changed(params)]:
            raise BackendError(
                "bad_parameter",
                f"{', '.join(lacking)}: CTranslate2's beam search has no such setting",
                f"/set {lacking[0]} default, or /set beam 1; backends fairseq and hf have it under beams",
            )
        if ignored := [name for name in _OF_SAMPLING if name in changed(params)]:
            notes.append(f"{', '.join(ignored)}: no effect under beams")
        if params.stop:
            notes.append("stop: cuts the answers that the beams have found")
        beam = min(params.beam, vocabulary - 1)
        if beam < params.beam:
            notes.append(f"beam is {beam} here: the vocabulary has {vocabulary} tokens")
        again = bool(
            token_scores
            or params.logprobs
            or request.distributions
            or request.attention
            or request.lane == "exact"
        )
        return cls(1, beam, None, again, tuple(notes))
