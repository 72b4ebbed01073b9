"""From a request to the token ids the model reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from backends.base import BackendError
from backends.hf.model import Model
from repl.messages import Message, Request


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model is fed."""

    ids: list[int]
    """For the encoder of an encoder-decoder model, for the decoder of the others."""
    text: str
    forced: list[int]
    """The beginning of the answer that the request prescribes."""
    limit: int
    """Most tokens the answer can have, the forced ones included."""
    truncated: int
    notes: tuple[str, ...]


def build(model: Model, request: Request) -> Prompt:
    """The prompt of ``request``; raises ``BackendError`` if it is empty or does not fit."""
    history = list(request.history)
    text, ids = encode(model, request, history)
    notes = []
    if not ids:
        ids = _nothing(model)
    room = _room(model, request.params.max_new)
    before = len(ids)
    if model.max_prompt is not None and before > model.max_prompt:
        if request.params.truncate == "off":
            raise too_long(model, before)
        while len(ids) > room and (older := _without_oldest(history)) is not None:
            history = older
            text, ids = encode(model, request, history)
        if len(history) < len(request.history):
            notes.append(f"the {len(request.history) - len(history)} oldest turns were left out")
        if len(ids) > room:
            ids = cut(model, ids, room, request.params.truncate)
            text = model.codec.decode(ids, skip_special=False)
    forced = _forced(model, request, text, ids)
    check_ids(model, ids, forced, given=bool(request.prefix_ids))
    limit = _limit(model, request.params.max_new, len(ids))
    # An answer that was given whole, as tokens, needs no room for more.
    whole = bool(request.prefix_ids) and request.params.beam == 1
    if len(forced) >= limit + whole:
        raise BackendError(
            "prompt_too_long",
            f"the answer is to begin with {len(forced)} tokens, but may have {limit} at most",
            "raise max_new or shorten the prefix",
        )
    return Prompt(ids, text, forced, limit, before - len(ids), tuple(notes))


def check_ids(model: Model, ids: Sequence[int], forced: Sequence[int], *, given: bool) -> None:
    """Refuse tokens that the model has no embedding for; ``given`` says that ``forced`` came as ids."""
    embeddings = model.embeddings
    strange = [token for token in (*ids, *forced) if not 0 <= token < embeddings]
    if strange and given and strange[0] in forced:
        raise BackendError(
            "bad_parameter",
            f"model '{model.name}' has no token {strange[0]}: its ids go from 0 to {embeddings - 1}",
            "the ids are those of another model: give the text instead",
        )
    if strange:
        raise BackendError(
            "not_a_checkpoint",
            f"model '{model.name}' cannot read token {strange[0]}: it has {embeddings} embeddings",
            "its tokenizer belongs to another checkpoint",
        )


def encode(model: Model, request: Request, history: list[Message]) -> tuple[str, list[int]]:
    """The prompt as text and as tokens, by the chat template where there is one."""
    prompt = request.prompt
    if model.template is not None:
        prompt = model.template.replace("{prompt}", prompt)
    tokenizer = model.codec.tokenizer
    if not (model.chat and request.template):
        return prompt, token_ids(tokenizer, prompt)
    turns = [{"role": turn.role, "content": turn.text} for turn in history]
    turns.append({"role": "user", "content": prompt})
    try:
        text: str = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    except Exception as error:  # templates are programs of the checkpoint and raise what they like
        raise BackendError(
            "unsupported",
            f"the chat template of model '{model.name}' refuses this conversation: {error}",
            "/reset starts a new one; /template off sends the raw line",
        ) from error
    # The template writes the special tokens itself.
    return text, token_ids(tokenizer, text, add_special_tokens=False)


def token_ids(tokenizer: Any, text: str, **options: Any) -> list[int]:
    """The tokens of a text."""
    return list(tokenizer(text, **options)["input_ids"])


def _nothing(model: Model) -> list[int]:
    """What to read when there is no prompt: the token a text begins with."""
    tokenizer = model.codec.tokenizer
    if not model.seq2seq and tokenizer.bos_token_id is not None:
        return [tokenizer.bos_token_id]
    raise BackendError(
        "empty_prompt",
        f"the prompt is empty, and model '{model.name}' has no token to begin a text with",
        "type at least one word",
    )


def too_long(model: Model, length: int) -> BackendError:
    """A prompt of ``length`` tokens does not fit."""
    return BackendError(
        "prompt_too_long",
        f"the prompt has {length} tokens, model '{model.name}' takes {model.max_prompt} at most",
        "shorten it, or /set truncate left (drops the beginning) or right (drops the end)",
    )


def _room(model: Model, max_new: int) -> int:
    """How much of a too long prompt is kept: what leaves space for the answer, but at least a half."""
    if model.max_prompt is None:
        return 0
    return model.max_prompt if model.seq2seq else max(model.max_prompt - max_new + 1, model.max_prompt // 2)


def _without_oldest(history: list[Message]) -> list[Message] | None:
    """``history`` without its oldest exchange; the system prompt stays. None when there is none to drop."""
    kept = 1 if history and history[0].role == "system" else 0
    if len(history) == kept:
        return None
    after = kept + 1
    while after < len(history) and history[after].role != "user":
        after += 1
    return history[:kept] + history[after:]


def cut(model: Model, ids: list[int], room: int, side: str) -> list[int]:
    """``room`` of the tokens; a first and a last special token stay."""
    special = model.codec.special
    first = ids[:1] if ids[0] in special else []
    last = ids[-1:] if ids[-1] in special else []
    inner = ids[len(first) : len(ids) - len(last)]
    size = max(room - len(first) - len(last), 0)
    return first + (inner[len(inner) - size :] if side == "left" else inner[:size]) + last


def _forced(model: Model, request: Request, text: str, ids: list[int]) -> list[int]:
    """Tokens of the prescribed beginning, as they are when they follow the prompt where that can be told."""
    # Beams and samples are found again from the start; a single answer goes on from where it was.
    if request.resume and request.params.beam == request.params.n == 1:
        return list(request.resume)
    if request.prefix_ids:
        return list(request.prefix_ids)
    if not request.prefix:
        return []
    tokenizer = model.codec.tokenizer
    if model.seq2seq:
        return list(tokenizer(text_target=request.prefix, add_special_tokens=False)["input_ids"])
    special = not (model.chat and request.template)
    whole = token_ids(tokenizer, text + request.prefix, add_special_tokens=special)
    if whole[: len(ids)] == ids:
        return whole[len(ids) :]
    return token_ids(tokenizer, request.prefix, add_special_tokens=False)


def _limit(model: Model, max_new: int, prompt: int) -> int:
    """The last token of an answer is never read, so it may lie one beyond the model's positions."""
    if model.context is None:
        return max_new
    held = len(model.start) if model.seq2seq else prompt
    return min(max_new, model.context - held + 1)
