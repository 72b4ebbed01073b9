"""From logits to tokens, for all rows of a batch at once.

The host waits for the device once a step, for the tokens and their figures together. A draw restricted by
top-k, top-p or min-p is made from few candidates, and anew from all where these turn out to be too few.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor
from transformers import LogitsProcessorList

from backends import noise, upload
from backends.hf.choosing import greatest
from backends.hf.choosing.candidates import Few, narrow
from backends.hf.choosing.processors import Warp, apply, warpers, without
from backends.hf.state.rows import Rows

_CHUNK = 64
"""Forced tokens read in one forward pass; bounds the memory for their logits."""
_NOTHING = float("-inf")

Alternatives = tuple[tuple[int, float], ...]
Process = Callable[[Tensor, Sequence[int]], Tensor]
"""From logits ``[tokens, vocab]`` of given tokens to what they would be drawn from; maybe the same."""


class Choice(NamedTuple):
    """One token and what the model thought of it; log-probabilities in nats."""

    token: int
    raw_lp: float | None
    """None where nobody wants to know."""
    proc_lp: float | None
    """Of greedy rows under the processed distribution at temperature 1."""
    valid: bool = True
    """The logits were finite."""
    possible: bool = True
    """The processors left at least one token."""
    rank: int | None = None
    entropy: float | None = None
    top: Alternatives = ()
    distribution: bytes = b""
    """See ``Step.distribution``."""


class Draws(Protocol):
    """What a row says about how its next token is drawn."""

    @property
    def processors(self) -> LogitsProcessorList:
        """History processors; see ``backends.hf.choosing.processors``."""
        ...

    @property
    def forbidden(self) -> Sequence[int]:
        """Tokens that may not come next."""
        ...

    @property
    def warp(self) -> Warp | None:
        """None for greedy."""
        ...

    @property
    def history(self) -> list[int]:
        """Prompt (of a decoder) and answer so far."""
        ...

    @property
    def noise_key(self) -> tuple[int, int, int]:
        """(seed, sample, position) of the next draw."""
        ...

    @property
    def alternatives(self) -> int:
        """How many to report."""
        ...

    @property
    def whole(self) -> bool:
        """Report the whole distribution."""
        ...


def choose(logits: Tensor, rows: Sequence[Draws]) -> tuple[Tensor, list[Choice]]:
    """The next token of each row: int64 ``[rows]`` on the device, and the same with its figures.

    ``logits`` is float32 ``[rows, vocab]``.
    """
    found = _chosen(logits, rows, narrowly=True)
    if found is None:
        found = _chosen(logits, rows, narrowly=False)
    assert found is not None
    return found


def _chosen(logits: Tensor, rows: Sequence[Draws], narrowly: bool) -> tuple[Tensor, list[Choice]] | None:
    """As ``choose``; None where it was to be done ``narrowly``, from few candidates, and these were too few.

    To learn that before the end, the host would have to wait for a GPU in the middle of a step.
    """
    with without(logits, [row.forbidden for row in rows]) as taken:
        left = logits.logsumexp(-1)
        scores, tokens, processed, doubts = _draw(logits, left, rows, narrowly)
    total = left if taken is None else torch.logaddexp(left, taken)
    raw = logits.gather(1, tokens[:, None])[:, 0] - total
    asked = [i for i, row in enumerate(rows) if row.alternatives]
    count = max((rows[i].alternatives for i in asked), default=0)
    seen: list[Tensor] = []
    if asked and logits.device.type != "cpu":  # to look at all rows is less than to wait twice
        seen = _looked_at(logits, total, tokens, count)
    figures, told, doubtful = _on_host([tokens, raw, scores, total, processed], seen, doubts)
    if any(map(any, doubtful)):
        return None
    more = _alternatives(told, asked) if seen else examine(logits, total, tokens, asked, count)
    choices = [
        Choice(token, raw_lp, proc_lp, mass - mass == 0, left != _NOTHING, *more.get(i, ()))
        for i, (token, raw_lp, proc_lp, mass, left) in enumerate(zip(*figures, strict=True))
    ]
    for i, row in enumerate(rows):
        if row.whole:
            (written,) = distributions(logits[i : i + 1], total[i : i + 1])
            choices[i] = choices[i]._replace(distribution=written)
    return tokens, choices


def force(
    rows: Rows,
    before: Tensor,
    tokens: Sequence[int],
    alternatives: int | None,
    whole: bool = False,
    process: Process | None = None,
) -> tuple[list[Choice], Tensor]:
    """Feed given tokens to the only row; their figures and the logits ``[1, vocab]`` after the last one.

    ``before`` is ``[1, vocab]``, the logits for the first of them. Without ``alternatives``, which may be 0,
    rank and entropy are left out too; ``whole`` adds the distributions, ``process`` what ``proc_lp`` is of.
    """
    choices: list[Choice] = []
    for start in range(0, len(tokens), _CHUNK):
        chunk = tokens[start : start + _CHUNK]
        after = rows.feed(chunk)
        logits = torch.cat([before, after[:-1]])
        processed = process(logits, chunk) if process else None
        choices += given(logits, chunk, alternatives, whole, processed)
        before = after[-1:]
    return choices, before


def skip(rows: Rows, tokens: Sequence[int]) -> tuple[list[Choice], Tensor]:
    """Feed given tokens to the only row, without their figures; the logits ``[1, vocab]`` after the last."""
    for start in range(0, len(tokens), _CHUNK):
        after = rows.feed(tokens[start : start + _CHUNK])
    return bare(tokens), after[-1:]


def bare(tokens: Sequence[int]) -> list[Choice]:
    """Given tokens of which nothing else is told."""
    return [Choice(token, None, None) for token in tokens]


def given(
    logits: Tensor,
    tokens: Sequence[int],
    alternatives: int | None,
    whole: bool,
    processed: Tensor | None = None,
) -> list[Choice]:
    """Figures of ``tokens``; ``logits`` and ``processed``, ``[tokens, vocab]``, hold a row for each."""
    chosen = upload.integers(tokens, logits.device)
    total = logits.logsumexp(-1)
    raw = (logits.gather(1, chosen[:, None])[:, 0] - total).tolist()
    proc: list[float] | list[None] = [None] * len(tokens)
    if processed is logits:
        proc = raw
    elif processed is not None:
        drawn = processed.gather(1, chosen[:, None])[:, 0] - processed.logsumexp(-1)
        proc = drawn.nan_to_num(nan=-torch.inf, neginf=-torch.inf).tolist()
    asked = list(range(len(tokens))) if alternatives is not None else []
    more = examine(logits, total, chosen, asked, alternatives or 0)
    found = [
        Choice(token, raw[i], proc[i], _known(raw[i]), True, *more.get(i, ()))
        for i, token in enumerate(tokens)
    ]
    if whole:
        written = distributions(logits, total)
        found = [choice._replace(distribution=row) for choice, row in zip(found, written, strict=True)]
    return found


def distributions(logits: Tensor, total: Tensor) -> list[bytes]:
    """``Step.distribution`` of each row of ``logits`` ``[rows, vocab]``, whose logsumexp is ``total``."""
    table = (logits - total[:, None]).float().cpu().numpy().astype("<f4", copy=False)
    return [row.tobytes() for row in table]


def examine(
    logits: Tensor, total: Tensor, tokens: Tensor, asked: list[int], count: int
) -> dict[int, tuple[int, float, Alternatives]]:
    """Rank, entropy and the ``count`` most likely tokens, raw, for each of the rows in ``asked``."""
    if not asked:
        return {}
    if len(asked) < len(logits):
        index = upload.integers(asked, logits.device)
        logits, total, tokens = logits[index], total[index], tokens[index]
    (told,) = _on_host(_looked_at(logits, total, tokens, count))
    places = told[0]
    # Counting takes a CPU as long as all the rest; a GPU would wait longer to learn where it must be done.
    if logits.device.type == "cpu" and (below := [i for i, place in enumerate(places) if place == count]):
        chosen = logits[below].gather(1, tokens[below, None])
        for i, place in zip(below, (logits[below] > chosen).sum(-1).tolist(), strict=True):
            places[i] = place
    found = _alternatives(told, list(range(len(asked))))
    return dict(zip(asked, found.values(), strict=True))


def _looked_at(logits: Tensor, total: Tensor, tokens: Tensor, count: int) -> list[Tensor]:
    """Of each row the rank, up to ``count`` on a CPU, the entropy, the likeliest tokens and how likely."""
    best, ids = greatest.topk(logits, min(count, logits.shape[1]))
    chosen = logits.gather(1, tokens[:, None])
    rank = ((best if logits.device.type == "cpu" else logits) > chosen).sum(-1)
    # H = -sum p (x - total) = total - sum p x, where tokens at -inf have p = 0 and make it 0 * -inf.
    entropy = total - (logits - total[:, None]).exp_().mul_(logits).nansum(-1)
    return [rank, entropy, ids, best - total[:, None]]


def _alternatives(told: list[list[Any]], asked: list[int]) -> dict[int, tuple[int, float, Alternatives]]:
    """What was looked at, of the rows in ``asked``."""
    places, nats, ids, lps = told
    return {i: (places[i], nats[i], tuple(zip(ids[i], lps[i], strict=True))) for i in asked}


def _on_host(*groups: Sequence[Tensor]) -> list[list[list[Any]]]:
    """Figures of the rows, each ``[rows]`` or ``[rows, several]``, as lists; the host waits once for all."""
    columns = [column for group in groups for column in group]
    if columns[0].device.type != "cpu":
        wide = [column.double().reshape(len(column), -1) for column in columns]
        parts = torch.cat(wide, dim=1).cpu().split([part.shape[1] for part in wide], dim=1)
        columns = [
            part.reshape(column.shape).to(column.dtype) for part, column in zip(parts, columns, strict=True)
        ]
    lists = iter([column.tolist() for column in columns])
    return [[next(lists) for _ in group] for group in groups]


def _draw(
    logits: Tensor, total: Tensor, rows: Sequence[Draws], narrowly: bool
) -> tuple[Tensor, Tensor, Tensor, list[Tensor]]:
    """Log-probabilities drawn at, tokens, and the log-mass the processors left; each ``[rows]``.

    And where a GPU drew ``narrowly``, bool ``[rows]`` for rows drawn alike: what had too few candidates.
    """
    touched = [i for i, row in enumerate(rows) if row.processors]
    if touched:
        logits = logits.clone()
        for i in touched:
            logits[i] = apply(rows[i].processors, [rows[i].history], logits[i : i + 1])[0]
        total = logits.logsumexp(-1)
    doubts: list[Tensor] = []
    tokens = greatest.argmax(logits)
    lps = logits.gather(1, tokens[:, None])[:, 0] - total
    for warp, members in _alike(rows).items():
        index = upload.integers(members, logits.device)
        keys = noise.keys([rows[i].noise_key for i in members], logits.device)
        scores = logits[index]
        few = narrow(scores, warp) if narrowly else None
        if few is not None and logits.device.type != "cpu":
            doubts.append(torch.zeros_like(tokens, dtype=torch.bool).index_copy_(0, index, few.short))
        elif few is not None and few.short.any():
            few = None
        tokens[index], lps[index] = _sample(scores, warp, keys, few)
    return lps, tokens, total, doubts


def _sample(scores: Tensor, warp: Warp, keys: Tensor, few: Few | None) -> tuple[Tensor, Tensor]:
    """Tokens and log-probabilities ``[rows]`` of one draw for each row of ``scores`` ``[rows, vocab]``.

    ``few`` are candidates that suffice, None without.
    """
    warped, ids = (few.scores, few.ids) if few is not None else (warpers(warp)(None, scores), None)
    drawn = noise.draw_rows(warped, keys, ids)
    chosen = drawn[:, None] if ids is None else (ids == drawn[:, None]).int().argmax(-1, keepdim=True)
    return drawn, warped.gather(1, chosen)[:, 0] - warped.logsumexp(-1)


def _alike(rows: Sequence[Draws]) -> dict[Warp, list[int]]:
    """Sampling rows by their settings."""
    groups: dict[Warp, list[int]] = defaultdict(list)
    for i, row in enumerate(rows):
        if row.warp is not None:
            groups[row.warp].append(i)
    return groups


def _known(value: float) -> bool:
    return value == value
