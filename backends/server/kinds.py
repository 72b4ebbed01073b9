"""What kinds of servers there are, what each can be asked for, and how settings are written for it."""

import secrets
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from backends.base import BackendError
from repl.messages import Request
from repl.params import Params, bias, changed, token_id

_OPENAI = frozenset({"n", "presence_penalty", "frequency_penalty", "logit_bias"})
_SHARED = frozenset({"temperature", "top_p", "max_new", "stop", "seed", "logprobs", "ban", "max_time"})
"""Any server has these; a ban is looked into on its own."""
_FORBIDDEN = -100
"""The least that OpenAI's API takes as a bias."""


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of server."""

    name: str
    words: str
    more: frozenset[str]
    """Parameters that it has beside those of every server."""
    tokenizer: bool = False
    """It may tell how it tokenizes, and then takes prompts as tokens."""
    figures: Literal["always", "wanted", "never"] = "wanted"
    """When log-probabilities are asked for: with every request, or only where alternatives are wanted."""
    raw: bool = True
    """They are those before temperature and the like."""
    words_banned: bool = False


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            name="vllm",
            words="vLLM",
            more=_OPENAI | {"top_k", "min_p", "repetition_penalty", "min_new", "stop_tokens"},
            tokenizer=True,
            figures="always",
            words_banned=True,
        ),
        Kind(
            name="sglang",
            words="SGLang",
            more=_OPENAI | {"top_k", "min_p", "repetition_penalty", "min_new", "stop_tokens"},
            figures="always",
            raw=False,
        ),
        Kind(
            name="llamacpp",
            words="llama.cpp",
            more=_OPENAI - {"n"} | {"top_k", "min_p", "repetition_penalty", "typical_p"},
            tokenizer=True,
            figures="always",
        ),
        Kind(name="openai", words="OpenAI", more=_OPENAI),
        Kind(
            name="transformers",
            words="transformers serve",
            more=frozenset({"top_k", "min_p", "repetition_penalty", "typical_p", "min_new"}),
            figures="never",
        ),
        Kind(name="other", words="a server of unknown kind", more=_OPENAI),
    )
}

_SAMPLERS: Mapping[str, Mapping[str, tuple[str, object]]] = {
    "vllm": {
        "top_k": ("top_k", -1),
        "min_p": ("min_p", 0.0),
        "repetition_penalty": ("repetition_penalty", 1.0),
    },
    "llamacpp": {
        "top_k": ("top_k", 0),
        "min_p": ("min_p", 0.0),
        "repetition_penalty": ("repeat_penalty", 1.0),
        "typical_p": ("typical_p", 1.0),
    },
}
"""Field and neutral value: always sent, since a server or a checkpoint may have defaults of its own."""


def written(kind: Kind, request: Request, *, chat: bool) -> dict[str, Any]:
    """The settings of a request as fields of its body; raises ``BackendError`` for what the kind lacks."""
    params = request.params
    lacking = [name for name in changed(params) if name not in kind.more | _SHARED]
    if lacking:
        raise _refused(kind, ", ".join(lacking), f"/set {lacking[0]} default")
    limit = "max_completion_tokens" if chat and kind.name == "openai" else "max_tokens"
    body: dict[str, Any] = {"temperature": params.temperature, "top_p": params.top_p, limit: params.max_new}
    for name, (field, neutral) in _SAMPLERS.get("vllm" if kind.name == "sglang" else kind.name, {}).items():
        value = getattr(params, name)
        body[field] = neutral if name == "top_k" and not value else value
    if kind.name == "llamacpp":
        body["repeat_last_n"] = -1  # penalties look at the whole text, as they do in vLLM
    for name in ("presence_penalty", "frequency_penalty"):
        if value := getattr(params, name):
            body[name] = value
    if params.stop:
        body["stop"] = list(params.stop)
    if params.seed is not None:
        body["seed"] = _seed(kind, params.seed, request.sample)
    if params.n > 1:
        body["n"] = params.n
    if kind.name == "transformers":
        body["generation_config"] = _generation(params)
    elif params.min_new:
        body["min_tokens"] = params.min_new
    if params.stop_tokens:
        body["stop_token_ids"] = [_id(kind, word, "stop_tokens") for word in params.stop_tokens]
    return body | _biases(kind, params) | _figures(kind, params, chat=chat)


def _generation(params: Params) -> str:
    """What ``transformers serve`` takes in a field of its own; without it nothing is ever drawn."""
    settings: dict[str, object] = {"do_sample": params.temperature > 0, "top_k": params.top_k}
    settings |= {name: getattr(params, name) for name in ("repetition_penalty", "typical_p")}
    if params.min_p:
        settings["min_p"] = params.min_p
    if params.min_new:
        settings["min_new_tokens"] = params.min_new
    return msgspec.json.encode(settings).decode()


def fresh_seed() -> int:
    """One that any server takes."""
    return secrets.randbits(31)


def _seed(kind: Kind, seed: int, sample: int) -> int:
    """Another one for each sample; llama.cpp's are of 32 bits, of which the last means a fresh one."""
    spread = seed + 0x9E3779B1 * sample
    return spread % (2**32 - 1 if kind.name == "llamacpp" else 2**63)


def _biases(kind: Kind, params: Params) -> dict[str, Any]:
    amounts = {}
    for text in params.logit_bias:
        word, amount = bias(text)
        amounts[str(_id(kind, word, "logit_bias"))] = amount
    words = [word for word in params.ban if token_id(word) is None]
    if words and not kind.words_banned:
        raise _refused(kind, f"ban of words such as '{words[0]}'", "ban tokens by their ids, as #50256")
    banned = [token for word in params.ban if (token := token_id(word)) is not None]
    if banned and "logit_bias" not in kind.more:
        raise _refused(kind, "ban", "/set ban default")
    amounts |= {str(token): _FORBIDDEN for token in banned}
    fields: dict[str, Any] = {"logit_bias": amounts} if amounts else {}
    return fields | ({"bad_words": words} if words else {})


def _figures(kind: Kind, params: Params, *, chat: bool) -> dict[str, Any]:
    """What asks for log-probabilities: one alternative at least, to tell whether the choice was the first."""
    wanted = max(1, params.logprobs)
    if kind.figures == "never" or (kind.figures == "wanted" and not params.logprobs):
        return {}
    fields: dict[str, Any] = {"logprobs": True, "top_logprobs": wanted} if chat else {"logprobs": wanted}
    return fields | ({"return_token_ids": True} if kind.name == "vllm" else {})


def _id(kind: Kind, word: str, name: str) -> int:
    token = token_id(word)
    if token is None:
        raise _refused(kind, f"{name} of words such as '{word}'", "give a token's id, as #50256")
    return token


def _refused(kind: Kind, what: str, instead: str) -> BackendError:
    return BackendError(
        "bad_parameter",
        f"{kind.words} cannot honour {what}",
        f"{instead}; where it is another kind of server, options: {{server: KIND}} says so",
    )
