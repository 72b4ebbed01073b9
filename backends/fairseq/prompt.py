"""From a request to the token ids fairseq reads."""

from collections.abc import Sequence
from dataclasses import dataclass

from backends.base import BackendError
from backends.fairseq import wording
from backends.fairseq.load import Model
from backends.fairseq.routes import Route
from repl.messages import Request
from repl.params import Params, changed

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
    begin: int
    """The first token the decoder reads."""
    eos: int
    start: int
    """Step of the answer's first token: a language model reads its prompt one token a step."""
    limit: int
    """Most tokens the answer can have, the forced ones included, an end token not."""
    ends: bool
    """The prescribed beginning is the whole answer, its end token included."""
    constraints: list[list[int]]
    """Phrases the answer must hold."""
    stops: frozenset[int]
    """Tokens that end the answer, beside its end token."""
    words: list[str]
    """The symbols of the source as they were before the dictionary was asked."""
    truncated: int
    notes: tuple[str, ...]

    @property
    def breaks(self) -> frozenset[int]:
        """Steps at which a language model's prompt has an end token."""
        return frozenset(step for step, token in enumerate(self.ids[: self.start]) if token == self.eos)

    def said(self, tokens: Sequence[int]) -> Sequence[int]:
        """``tokens`` of an answer, without its end token and the stop token that brought it."""
        told = len(tokens) - bool(tokens and tokens[-1] == self.eos)
        return tokens[: told - 1] if self.halts(tokens) else tokens[:told]

    def halts(self, tokens: Sequence[int]) -> bool:
        """Whether a stop token ends ``tokens``, an end token after it or none."""
        told = len(tokens) - bool(tokens and tokens[-1] == self.eos)
        return told > len(self.forced) and tokens[told - 1] in self.stops


@dataclass(frozen=True)
class Source:
    """What is read before an answer or a text to score."""

    ids: list[int]
    """Without the encoder's end token."""
    text: str
    truncated: int
    """Tokens that were cut off."""
    unknown: list[str]
    words: list[str]
    """The symbols that ``ids`` stand for, those the dictionary does not hold as well."""
    constraints: tuple[list[int], ...] = ()
    """None: nothing is searched."""


def build(model: Model, request: Request) -> Prompt:
    """The prompt of ``request``; raises ``BackendError`` if it is empty or does not fit."""
    params = request.params
    route = model.routes.find(params.source_lang, params.target_lang)
    most = None if model.max_prompt is None else model.max_prompt - len(route.before)
    source = read(model, request, most, _room(model, most or 0, params.max_new))
    if not source.ids:
        raise BackendError("empty_prompt", "the prompt is empty", "type at least one word")
    forced, unknown = given(model, request.prefix_ids or route.opens, request.prefix)
    # Beams and samples are found again from the start; a single answer goes on from where it was.
    if request.resume and params.beam == params.n == 1:
        forced = list(request.resume)
    wording.biases(model.codec, params)  # refused before it is batched
    constraints, strange = _constraints(model, params)
    notes = unknown_words(source.unknown + unknown + strange)
    start = len(source.ids) if model.causal else 0
    ids = fed(model, route, source)
    limit = _limit(model, params, ids, start, notes)
    ends = _check_forced(model, forced, limit)
    if params.min_new > limit and not matches(model, params):
        raise BackendError(
            "bad_parameter",
            f"min_new = {params.min_new} is more than the {limit} tokens the answer may have",
            "lower min_new or raise max_new",
        )
    if ends:
        limit = len(forced) - 1
    return Prompt(
        ids=ids,
        text=source.text,
        forced=forced,
        begin=route.begin,
        eos=model.codec.eos,
        start=start,
        limit=limit,
        ends=ends,
        constraints=constraints,
        stops=wording.ends(model.codec, params),
        words=[model.task.source_dictionary[token] for token in route.before] + source.words,
        truncated=source.truncated,
        notes=tuple(notes),
    )


def _check_forced(model: Model, forced: list[int], limit: int) -> bool:
    """Whether the beginning is the whole answer; ``BackendError`` if there is no room for it or no sense."""
    ends = model.codec.eos in forced
    if len(forced) - ends > limit:
        raise BackendError(
            "prompt_too_long",
            f"the answer is to begin with {len(forced) - ends} tokens, but may have {limit} at most",
            "raise max_new or shorten the prefix",
        )
    if ends and forced.index(model.codec.eos) != len(forced) - 1:
        raise BackendError(
            "bad_parameter",
            "the answer is to begin with an end token and more",
            "leave out the end token or what comes after it",
        )
    return ends


def matches(model: Model, params: Params) -> bool:
    """Whether an answer is to be as long as its prompt."""
    return params.match_source_len == "on" and not model.causal


def fed(model: Model, route: Route, source: Source) -> list[int]:
    """What the encoder reads, or the decoder of a language model before its answer."""
    return source.ids if model.causal else [*route.before, *source.ids, route.end]


def _limit(model: Model, params: Params, ids: list[int], start: int, notes: list[str]) -> int:
    """Most tokens the answer can have; ``ids`` are what is read, an end token included."""
    room = model.max_target - 1 - start
    if matches(model, params):
        length = len(ids) - (ids[-1] == model.codec.source_eos)
        if length > room:
            raise BackendError(
                "prompt_too_long",
                f"an answer as long as its prompt has {length} tokens, the model gives {room} at most",
                "/set match_source_len off, or shorten the prompt",
            )
        return length
    if params.match_source_len == "on":
        notes.append("match_source_len: no effect on a language model")
    wanted = params.max_new + int(params.max_new_ratio * len(ids))
    limit = min(wanted, room)
    if limit < wanted and {"max_new", "max_new_ratio"} & changed(params).keys():
        notes.append(f"max_new is {limit} here: the model has {model.max_target} positions")
    return limit


def _constraints(model: Model, params: Params) -> tuple[list[list[int]], list[str]]:
    """The phrases the answer must hold, and their unknown words."""
    if params.constraints and model.causal:
        raise BackendError(
            "bad_parameter",
            "constraints: fairseq holds only translations to them",
            "/set constraints none",
        )
    encoded = [model.codec.encode_answer(phrase) for phrase in params.constraints]
    return [one.ids for one in encoded if one.ids], [word for one in encoded for word in one.unknown]


def read(model: Model, request: Request, most: int | None, room: int | None = None) -> Source:
    """The tokens of the request's prompt; ``BackendError`` if they are more than ``most`` and may not be cut.

    ``room`` is how many are left of those that are cut; by default ``most``.
    """
    text, side = request.prompt, request.params.truncate
    if model.template is not None and request.template:
        text = model.template.replace("{prompt}", text)
    ids, unknown, words = model.codec.encode(text)
    before = len(ids)
    if model.task.source_dictionary.pad() in ids:
        raise BackendError(
            "bad_parameter", "the prompt has <pad> in it, which the model does not read", "leave it out"
        )
    if most is not None and before > most:
        if side == "off":
            raise BackendError(
                "prompt_too_long",
                f"the prompt has {before} tokens, model '{model.name}' takes {most} at most",
                "shorten it, or /set truncate left (drops the beginning) or right (drops the end)",
            )
        room = most if room is None else room
        kept = slice(before - room, None) if side == "left" else slice(room)
        ids, words = ids[kept], words[kept]
        text = model.codec.prompt(ids)
    return Source(ids, text, before - len(ids), unknown, words)


def given(model: Model, tokens: Sequence[int], text: str) -> tuple[list[int], list[str]]:
    """Prescribed tokens, then those of a text, and its unknown words; raises ``BackendError``."""
    ids, unknown, _ = model.codec.encode_answer(text)
    size, pad = len(model.codec.pieces), model.task.target_dictionary.pad()
    for token in tokens:
        if not 0 <= token < size or token == pad:
            raise BackendError(
                "bad_parameter",
                f"model '{model.name}' cannot be given token {token}"
                + (": it only pads" if token == pad else f": its dictionary has {size} symbols"),
                "take the tokens from this model, or from one of the same vocabulary",
            )
    return [*tokens, *ids], unknown


def _room(model: Model, room: int, answer: int) -> int:
    """Tokens of a prompt that is cut; a language model's leaves room for the answer, but keeps a half."""
    return max(room + 1 - answer, (room + 1) // 2) if model.causal else room


def unknown_words(words: Sequence[str]) -> list[str]:
    """A note on words the dictionary does not hold; the model reads each as the unknown word."""
    if not words:
        return []
    distinct = list(dict.fromkeys(words))
    more = f" and {len(distinct) - _NAMED} more" if len(distinct) > _NAMED else ""
    return [f"not in the dictionary: {', '.join(distinct[:_NAMED])}{more}"]
