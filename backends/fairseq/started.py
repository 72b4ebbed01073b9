"""The first event of a request: what is really read."""

from collections.abc import Sequence

from backends.fairseq.load import Model
from backends.fairseq.prompt import Prompt, Source
from repl.messages import Request, Started


def started(
    model: Model, request: Request, ids: Sequence[int], read: Source | Prompt, notes: Sequence[str]
) -> Started:
    """``ids`` are the prompt's as they are fed; their bytes are told to who looks into the model."""
    symbols = model.codec.raw_prompt(ids)
    plain = request.task == "generate" and not (request.distributions or request.attention)
    return Started(
        id=request.id,
        prompt_ids=tuple(ids),
        prompt_text=read.text,
        truncated=read.truncated,
        notes=tuple(notes),
        raw_prompt=symbols if symbols != read.text else "",
        raw_constraints=tuple(map(model.codec.raw_answer, read.constraints)),
        prompt_pieces=() if plain else tuple(model.codec.prompt_pieces(ids)),
    )
