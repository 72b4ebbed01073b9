"""From a request to the token ids fairseq reads."""

from dataclasses import dataclass

from backends.base import BackendError
from backends.fairseq.load import Model
from repl.messages import Request
from repl.params import changed

_NAMED = 5
"""Unknown words that a note lists."""


@dataclass(frozen=True)
class Prompt:
    """What the model is fed, and how long its answer may be."""

    ids: list[int]
    """For the encoder, its end token included, or for the decoder of a language model."""
    text: str
    forced: list[int]
    """The beginning of the answer that the request prescribes."""
    start: int
    """Step of the answer's first token: a language model reads its prompt one token a step."""
    limit: int
    """Most tokens the answer can have, the forced ones included, an end token not."""
    truncated: int
    notes: tuple[str, ...]


def build(model: Model, request: Request) -> Prompt:
    """The prompt of ``request``; raises ``BackendError`` if it is empty or does not fit."""
    text, codec, params = request.prompt, model.codec, request.params
    if model.template is not None and request.template:
        text = model.template.replace("{prompt}", text)
    ids, unknown = codec.encode(text)
    if not ids:
        raise BackendError("empty_prompt", "the prompt is empty", "type at least one word")
    before = len(ids)
    if model.max_prompt is not None and before > model.max_prompt:
        ids = _cut(model, ids, request)
        text = codec.prompt(ids)
    forced, unknown_forced = codec.encode_answer(request.prefix)
    # Beams and samples are found again from the start; a single answer goes on from where it was.
    if request.resume and params.beam == params.n == 1:
        forced = list(request.resume)
    notes = _unknown_words(unknown + unknown_forced)
    start = len(ids) if model.causal else 0
    limit = min(params.max_new, model.max_target - 1 - start)
    if limit < params.max_new and "max_new" in changed(params):
        notes.append(f"max_new is {limit} here: the model has {model.max_target} positions")
    if len(forced) > limit:
        raise BackendError(
            "prompt_too_long",
            f"the answer is to begin with {len(forced)} tokens, but may have {limit} at most",
            "raise max_new or shorten the prefix",
        )
    if params.min_new > limit:
        raise BackendError(
            "bad_parameter",
            f"min_new = {params.min_new} is more than the {limit} tokens the answer may have",
            "lower min_new or raise max_new",
        )
    truncated = before - len(ids)
    if not model.causal:
        ids = [*ids, codec.source_eos]
    return Prompt(ids, text, forced, start, limit, truncated, tuple(notes))


def _cut(model: Model, ids: list[int], request: Request) -> list[int]:
    """As much of the prompt as fits; a language model's leaves room for the answer, but keeps a half."""
    assert model.max_prompt is not None
    side = request.params.truncate
    if side == "off":
        raise BackendError(
            "prompt_too_long",
            f"the prompt has {len(ids)} tokens, model '{model.name}' takes {model.max_prompt} at most",
            "shorten it, or /set truncate left (drops the beginning) or right (drops the end)",
        )
    room = model.max_prompt
    if model.causal:
        room = max(room + 1 - request.params.max_new, (room + 1) // 2)
    return ids[-room:] if side == "left" else ids[:room]


def _unknown_words(words: list[str]) -> list[str]:
    """A note on words the dictionary does not hold; the model reads each as the unknown word."""
    if not words:
        return []
    distinct = list(dict.fromkeys(words))
    more = f" and {len(distinct) - _NAMED} more" if len(distinct) > _NAMED else ""
    return [f"not in the dictionary: {', '.join(distinct[:_NAMED])}{more}"]
