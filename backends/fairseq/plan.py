"""How a request is decoded: its parameters, once contradictions and what has no effect are settled."""

import secrets
from dataclasses import dataclass

from backends.base import BackendError
from repl.params import Params, changed

_FRESH_SEED_BITS = 63
_OF_SAMPLING = ("top_k", "top_p", "min_p")


@dataclass(frozen=True)
class Plan:
    """How a request is decoded."""

    sentences: int
    """Rows of the batch: one, or one for each sample."""
    beam: int
    temperature: float
    """fairseq divides the logits by it, under beams too."""
    seed: int | None
    """Of the sampler; None where nothing is drawn."""
    notes: tuple[str, ...]

    @classmethod
    def of(cls, params: Params, vocabulary: int) -> "Plan":
        """Raises ``BackendError`` where parameters contradict one another."""
        if params.n > params.beam > 1:
            raise BackendError(
                "bad_parameter",
                f"n = {params.n} is more than beam = {params.beam}, the number of answers it ends with",
                f"/set beam {params.n} or /set n {params.beam}",
            )
        if params.beam > 1:
            return cls._beams(params, vocabulary)
        if params.temperature == 0:
            notes = ("n has no effect without sampling or beams",) if params.n > 1 else ()
            return cls(1, 1, 1.0, None, notes)
        if params.seed is not None:
            return cls(params.n, 1, params.temperature, params.seed, ())
        seed = secrets.randbits(_FRESH_SEED_BITS)
        return cls(params.n, 1, params.temperature, seed, (f"seed {seed}",))

    @classmethod
    def _beams(cls, params: Params, vocabulary: int) -> "Plan":
        notes = []
        if ignored := [name for name in _OF_SAMPLING if name in changed(params)]:
            notes.append(f"{', '.join(ignored)}: no effect under beams")
        if params.temperature not in (0, 1):
            notes.append("temperature: divides the logits of the beam search; nothing is drawn")
        if params.beam >= vocabulary:
            notes.append(f"beam is {vocabulary - 1} here: the dictionary has {vocabulary} symbols")
        return cls(1, min(params.beam, vocabulary - 1), params.temperature or 1.0, None, tuple(notes))
