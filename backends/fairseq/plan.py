"""How a request is decoded: its parameters, once contradictions and what has no effect are settled."""

import secrets
from dataclasses import dataclass, replace
from typing import Literal

import msgspec

from backends.base import BackendError
from repl.params import Params, changed

_FRESH_SEED_BITS = 63
_OF_SAMPLING = ("top_k", "top_p", "min_p", "typical_p")
_OF_BEAMS = ("diverse_groups", "diversity_rate")

Searching = Literal["beams", "groups", "siblings", "constraints"]


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
    searching: Searching = "beams"
    """Which of fairseq's searches it is, where nothing is drawn."""
    luck: int | None = None
    """Seed of torch's random numbers, where dropout stays on."""

    @classmethod
    def of(cls, params: Params, vocabulary: int, dropout: bool = False) -> "Plan":
        """Raises ``BackendError`` where parameters contradict one another."""
        if not dropout:
            return cls._without_dropout(params, vocabulary)
        seed = secrets.randbits(_FRESH_SEED_BITS) if params.seed is None else params.seed
        plan = cls._without_dropout(msgspec.structs.replace(params, seed=seed), vocabulary)
        notes = plan.notes if params.seed is not None else (*plan.notes, f"seed {seed}")
        return replace(plan, luck=seed, notes=notes)

    @classmethod
    def _without_dropout(cls, params: Params, vocabulary: int) -> "Plan":
        if params.n > params.beam > 1:
            raise BackendError(
                "bad_parameter",
                f"n = {params.n} is more than beam = {params.beam}, the number of answers it ends with",
                f"/set beam {params.n} or /set n {params.beam}",
            )
        if params.beam > 1:
            return cls._beams(params, vocabulary)
        notes = [f"{name}: no effect without beams" for name in _OF_BEAMS if getattr(params, name)]
        if params.temperature == 0:
            if params.n > 1:
                notes.append("n has no effect without sampling or beams")
            searching: Searching = "constraints" if params.constraints else "beams"
            return cls(1, 1, 1.0, None, tuple(notes), searching)
        if params.constraints:
            raise BackendError(
                "bad_parameter",
                "constraints: answers that are drawn cannot be held to them",
                "/set beam 5 or /set temperature 0",
            )
        seed = params.seed
        if seed is None:
            seed = secrets.randbits(_FRESH_SEED_BITS)
            notes.append(f"seed {seed}")
        return cls(params.n, 1, params.temperature, seed, tuple(notes))

    @classmethod
    def _beams(cls, params: Params, vocabulary: int) -> "Plan":
        searching = _searching(params)
        notes = []
        if ignored := [name for name in _OF_SAMPLING if name in changed(params)]:
            notes.append(f"{', '.join(ignored)}: no effect under beams")
        if params.temperature not in (0, 1):
            notes.append("temperature: divides the logits of the beam search; nothing is drawn")
        # Some of fairseq's searches want as many continuations of a hypothesis as they keep of all.
        most = {"siblings": vocabulary // 2, "constraints": (vocabulary - 1) // 2}.get(
            searching, vocabulary - 1
        )
        beam = min(params.beam, most)
        if searching == "groups":
            beam -= beam % params.diverse_groups
        if beam < params.beam:
            notes.append(f"beam is {beam} here: the dictionary has {vocabulary} symbols")
        return cls(1, beam, params.temperature or 1.0, None, tuple(notes), searching)


def _searching(params: Params) -> Searching:
    """fairseq has one search for each of these wishes, and none for two of them."""
    wishes: dict[Searching, tuple[str, object]] = {
        "groups": ("diverse_groups", params.diverse_groups),
        "siblings": ("diversity_rate", params.diversity_rate),
        "constraints": ("constraints", params.constraints),
    }
    chosen: list[Searching] = [search for search, (_, value) in wishes.items() if value]
    if len(chosen) > 1:
        names = " and ".join(wishes[search][0] for search in chosen)
        raise BackendError(
            "bad_parameter",
            f"{names} exclude one another",
            "/set diverse_groups 0, /set diversity_rate 0 or /set constraints none",
        )
    if params.diverse_groups and params.beam % params.diverse_groups:
        raise BackendError(
            "bad_parameter",
            f"beam = {params.beam} is not a multiple of diverse_groups = {params.diverse_groups}",
            f"/set beam {params.diverse_groups * 2}",
        )
    return chosen[0] if chosen else "beams"
