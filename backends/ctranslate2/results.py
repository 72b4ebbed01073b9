"""A complete request as the messages of ``repl.messages``."""

from collections.abc import Sequence

import numpy as np

from backends.ctranslate2.asked import Reader
from backends.ctranslate2.rows import Row
from backends.stops import cut
from repl.messages import Finished, FinishReason, Hypothesis


def finished(rows: Sequence[Row], reader: Reader, *, batch: int, padded: int) -> Finished:
    """The last event; ``rows`` are the answers, the one that is shown first."""
    best = rows[0]
    request = best.request
    text, stopped = cut(best.asked.codec.text(best.shown), request.params.stop)
    reason: FinishReason = "stop" if stopped else best.reason or "length"
    scored = request.task == "score"
    told = () if scored and not request.attention else rows
    return Finished(
        id=request.id,
        reason="done" if scored else reason,
        text=text,
        hypotheses=tuple(_hypothesis(row, reader) for row in told),
        batch=max(1, batch),
        padded=padded,
    )


def _hypothesis(row: Row, reader: Reader) -> Hypothesis:
    codec, tokens = row.asked.codec, row.ids
    text, _ = cut(codec.text(row.shown), row.request.params.stop)
    raw = codec.raw(row.shown)
    scores = [token.search_lp for token in row.tokens if token.search_lp is not None]
    return Hypothesis(
        text=text,
        tokens=tuple(tokens),
        score=row.score(),
        token_scores=tuple(scores) if len(scores) == len(tokens) else (),
        alignment=_alignment(row, reader),
        raw_text=raw if raw != text else "",
        attention=tuple(tuple(weights) for weights in row.attention),
    )


def _alignment(row: Row, reader: Reader) -> tuple[tuple[int, int], ...]:
    """For each token of the answer the prompt token most attended to, as fairseq's ``--print-alignment``."""
    places = [place for place, token in enumerate(row.feed) if token not in reader.source_ends]
    if not row.attention or not places:
        return ()
    weights = np.asarray(row.attention)[:, places]
    said = [index for index, token in enumerate(row.ids) if token not in reader.ends]
    return tuple((places[int(weights[index].argmax())], index) for index in said)
