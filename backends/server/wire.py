"""What servers send, as far as it is used: JSON is checked against these, since it may be anything."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta

TokenId = Annotated[int, Meta(ge=0, lt=2**31)]
Byte = Annotated[int, Meta(ge=0, le=255)]


class Alternative(msgspec.Struct, frozen=True):
    """A token with its log-probability."""

    token: str
    logprob: float
    bytes: list[Byte] | None = None
    id: TokenId | None = None


class Told(Alternative, frozen=True):
    """A token of the answer (chat completions; llama.cpp's everywhere)."""

    top_logprobs: list[Alternative] = []


class Logprobs(msgspec.Struct, frozen=True):
    """Of the tokens in one chunk, in the form of chat completions or of completions."""

    content: list[Told] | None = None
    tokens: list[str] | None = None
    token_logprobs: list[float | None] | None = None
    top_logprobs: list[dict[str, float] | None] | None = None


class Delta(msgspec.Struct, frozen=True):
    """What a chat completion says next."""

    content: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class PromptToken(msgspec.Struct, frozen=True):
    """How likely a token of the prompt was (vLLM)."""

    logprob: float
    rank: int | None = None
    decoded_token: str | None = None


class Choice(msgspec.Struct, frozen=True):
    """A part of one answer."""

    index: Annotated[int, Meta(ge=0)] = 0
    text: str | None = None
    delta: Delta | None = None
    logprobs: Logprobs | None = None
    token_ids: list[TokenId] | None = None
    finish_reason: str | None = None
    stop_reason: int | str | None = None
    """vLLM's: the stop string or the token of ``stop_token_ids`` that ended it."""
    matched_stop: int | str | None = None
    """SGLang's: the same, but of an end token too."""
    prompt_logprobs: list[dict[str, PromptToken] | None] | None = None


class Chunk(msgspec.Struct, frozen=True):
    """One event of a stream, or a whole answer."""

    choices: list[Choice] = []
    error: Any = None


class Size(msgspec.Struct, frozen=True):
    """What llama.cpp says of a model."""

    n_vocab: int | None = None
    n_params: int | None = None


class Served(msgspec.Struct, frozen=True):
    """A model that a server has."""

    id: str
    owned_by: str | None = None
    max_model_len: int | None = None
    meta: Size | None = None


class Models(msgspec.Struct, frozen=True):
    """All of them."""

    data: list[Served]


class GenerationSettings(msgspec.Struct, frozen=True):
    """llama.cpp's, as far as they are used."""

    n_ctx: int | None = None


class Props(msgspec.Struct, frozen=True):
    """What llama.cpp says of itself."""

    default_generation_settings: GenerationSettings | None = None
    total_slots: int | None = None


class Piece(msgspec.Struct, frozen=True):
    """A token of llama.cpp's."""

    id: TokenId
    piece: str | list[Byte] = ""


class Tokens(msgspec.Struct, frozen=True):
    """A text as tokens: vLLM's, with its strings beside them, or llama.cpp's."""

    tokens: list[TokenId | Piece]
    token_strs: list[str] | None = None


class Detokenized(msgspec.Struct, frozen=True):
    """Tokens as a text: ``prompt`` is vLLM's, ``content`` llama.cpp's."""

    prompt: str | None = None
    content: str | None = None


class Rendered(msgspec.Struct, frozen=True):
    """A conversation by llama.cpp's template."""

    prompt: str
