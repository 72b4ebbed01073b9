"""What is told of a token, computed for many at once with one wait for the device."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def table(
    raw: Tensor, rows: Tensor, columns: list[Tensor], count: int | None, last: Sequence[Tensor] = ()
) -> list[list[float]]:
    """For each chosen token what ``nodes.grown`` reads, and what else the host wants to know of it.

    ``raw`` ``[rows, vocab]`` are log-probabilities; ``rows`` says which of them each token was chosen from.
    ``columns`` begin with the tokens and go on with the summed, the search's and the processed
    log-probabilities. ``count`` alternatives are added with rank and entropy, or nothing where it is None;
    then the columns that are to be ``last``.
    """
    tokens = columns[0]
    chosen = raw[rows, tokens]
    found = torch.stack([column.double() for column in (*columns, chosen)], dim=1)
    if count is not None:
        best = raw.topk(min(count, raw.shape[1]))
        entropy = torch.special.entr(raw.exp()).sum(-1)
        rank = (raw[rows] > chosen[:, None]).sum(-1)
        more = [rank[:, None], entropy[rows][:, None], best.indices[rows], best.values[rows]]
        found = torch.cat([found, *(column.double() for column in more)], dim=1)
    if last:
        found = torch.cat([found, *(column.double()[:, None] for column in last)], dim=1)
    return found.tolist()  # type: ignore[no-any-return]


def wire(raw: Tensor) -> Callable[[int], bytes]:
    """The rows of ``raw`` ``[rows, vocab]`` as ``Step.distribution`` has them, each made but once."""
    values = raw.float().cpu().numpy().astype("<f4", copy=False)
    made: dict[int, bytes] = {}

    def row(place: int) -> bytes:
        if place not in made:
            made[place] = values[place].tobytes()
        return made[place]

    return row
