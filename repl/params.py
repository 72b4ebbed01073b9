"""One parameter vocabulary, and what each backend makes of it.

Front ends and configuration speak these names only. A backend declares how it supports each one
(``Support``); a value that it cannot honour is an error or a visible mark, never silently dropped.
"""

import difflib
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import msgspec


class Params(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """Complete decoding settings of one request."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    beam: int = 1
    n: int = 1
    length_penalty: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram: int = 0
    unkpen: float = 0.0
    max_new: int = 128
    min_new: int = 0
    stop: tuple[str, ...] = ()
    seed: int | None = None
    logprobs: int = 0
    truncate: Literal["off", "left", "right"] = "off"
    typical_p: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[str, ...] = ()
    ban: tuple[str, ...] = ()
    stop_tokens: tuple[str, ...] = ()
    diverse_groups: int = 0
    diverse_strength: float = 0.5
    diversity_rate: float = 0.0
    match_source_len: Literal["off", "on"] = "off"
    max_new_ratio: float = 0.0
    constraints: tuple[str, ...] = ()
    constraint_order: Literal["unordered", "ordered"] = "unordered"
    replace_unk: Literal["off", "on"] = "off"
    source_lang: str | None = None
    target_lang: str | None = None


Value = float | int | str | tuple[str, ...] | None


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One name of the vocabulary."""

    name: str
    kind: Literal["int", "float", "strings", "tokens", "biases", "choice", "text"]
    """``tokens`` are texts, or ids as ``#50256``; ``biases`` are such with ``=`` and a number after them."""
    help: str
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    """``low`` itself is not allowed."""
    choices: tuple[str, ...] = ()
    optional: bool = False
    """May be ``none``."""

    @property
    def default(self) -> Value:
        """The built-in value."""
        return getattr(Params(), self.name)  # type: ignore[no-any-return]

    def allowed(self) -> str:
        """The allowed values in words."""
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        if self.kind == "strings":
            return "text; several separated by commas, \\n for a new line, or 'none'"
        if self.kind == "tokens":
            return "words, or token ids as #50256; several separated by commas, or 'none'"
        if self.kind == "biases":
            return "word=NUMBER or #ID=NUMBER; several separated by commas, or 'none'"
        if self.kind == "text":
            return "text" + (" or 'none'" if self.optional else "")
        what = "a whole number" if self.kind == "int" else "a number"
        if self.low is not None:
            what += f" above {self.low:g}" if self.low_open else f" of at least {self.low:g}"
        if self.high is not None:
            what += f" and at most {self.high:g}" if self.low is not None else f" of at most {self.high:g}"
        return what + (" or 'none'" if self.optional else "")


PARAMETERS: Mapping[str, Parameter] = {
    p.name: p
    for p in (
        Parameter(
            name="temperature", kind="float", low=0, high=100, help="0 is greedy; higher is more varied"
        ),
        Parameter(name="top_k", kind="int", low=0, help="draw from the k most likely tokens; 0 is off"),
        Parameter(
            name="top_p",
            kind="float",
            low=0,
            high=1,
            low_open=True,
            help="draw from the smallest set of this probability",
        ),
        Parameter(
            name="min_p",
            kind="float",
            low=0,
            high=1,
            help="drop tokens below this share of the most likely one",
        ),
        Parameter(name="beam", kind="int", low=1, high=256, help="beam width; 1 is no beam search"),
        Parameter(
            name="n", kind="int", low=1, high=256, help="answers wanted: hypotheses of a beam, or samples"
        ),
        Parameter(
            name="length_penalty",
            kind="float",
            low=-10,
            high=10,
            help="exponent of the length that divides a beam's score",
        ),
        Parameter(
            name="repetition_penalty",
            kind="float",
            low=0,
            high=100,
            low_open=True,
            help="above 1 makes repeated tokens less likely",
        ),
        Parameter(name="no_repeat_ngram", kind="int", low=0, help="no n-gram of this size twice; 0 is off"),
        Parameter(
            name="unkpen", kind="float", low=-1000, high=1000, help="taken off the unknown token's score"
        ),
        Parameter(
            name="max_new",
            kind="int",
            low=1,
            high=1_000_000,
            help="most tokens in an answer, end token included",
        ),
        Parameter(
            name="min_new", kind="int", low=0, high=1_000_000, help="fewest tokens before the end token"
        ),
        Parameter(name="stop", kind="strings", help="strings that end the answer"),
        Parameter(
            name="seed",
            kind="int",
            low=0,
            high=2**63 - 1,
            optional=True,
            help="of the sampler; none draws a fresh one and records it",
        ),
        Parameter(name="logprobs", kind="int", low=0, high=100, help="alternatives reported for each token"),
        Parameter(
            name="truncate",
            kind="choice",
            choices=("off", "left", "right"),
            help="which end of a too long prompt to cut",
        ),
        Parameter(
            name="typical_p",
            kind="float",
            low=0,
            high=1,
            low_open=True,
            help="draw from the tokens whose surprisal is nearest the mean, up to this probability",
        ),
        Parameter(
            name="presence_penalty",
            kind="float",
            low=-100,
            high=100,
            help="taken off the logit of each token the answer has already",
        ),
        Parameter(
            name="frequency_penalty",
            kind="float",
            low=-100,
            high=100,
            help="taken off a token's logit for each time the answer has it already",
        ),
        Parameter(name="logit_bias", kind="biases", help="added to the logit of words or tokens"),
        Parameter(name="ban", kind="tokens", help="words or tokens that may not be written"),
        Parameter(name="stop_tokens", kind="tokens", help="tokens that end the answer, beside its end token"),
        Parameter(
            name="diverse_groups",
            kind="int",
            low=0,
            high=256,
            help="groups of beams that keep away from one another; 0 is off",
        ),
        Parameter(
            name="diverse_strength",
            kind="float",
            low=0,
            high=1000,
            help="taken off a token's score for each earlier group that chose it",
        ),
        Parameter(
            name="diversity_rate",
            kind="float",
            low=0,
            high=1000,
            help="taken off a beam's continuations by their rank among their siblings; 0 is off",
        ),
        Parameter(
            name="match_source_len",
            kind="choice",
            choices=("off", "on"),
            help="an answer has as many tokens as its prompt",
        ),
        Parameter(
            name="max_new_ratio",
            kind="float",
            low=0,
            high=1000,
            help="times the prompt's tokens, added to max_new",
        ),
        Parameter(name="constraints", kind="strings", help="phrases the answer must hold"),
        Parameter(
            name="constraint_order",
            kind="choice",
            choices=("unordered", "ordered"),
            help="whether they must come as they are given",
        ),
        Parameter(
            name="replace_unk",
            kind="choice",
            choices=("off", "on"),
            help="put the word an unknown token attends to in its place",
        ),
        Parameter(
            name="source_lang",
            kind="text",
            optional=True,
            help="language of the prompt, for a model of several; none is the model's own",
        ),
        Parameter(
            name="target_lang",
            kind="text",
            optional=True,
            help="language of the answer, for a model of several; none is the model's own",
        ),
    )
}


def token_id(word: str) -> int | None:
    """The id that ``#50256`` stands for; None for a word."""
    digits = word.removeprefix("#")
    return int(digits) if digits != word and digits.isascii() and digits.isdigit() else None


def bias(item: str) -> tuple[str, float]:
    """The word and the number of ``word=2.5``; ``ValueError`` for anything else."""
    word, _, amount = item.rpartition("=")
    value = float(amount)
    if not word or value != value or abs(value) == float("inf"):
        raise ValueError(item)
    return word, value


def _is_bias(item: str) -> bool:
    try:
        bias(item)
    except ValueError:
        return False
    return True


_WELL_FORMED: Mapping[str, Callable[[str], bool]] = {
    "strings": bool,
    "tokens": lambda item: item != "#" and (not item.startswith("#") or token_id(item) is not None),
    "biases": _is_bias,
}
TEXTS = tuple(_WELL_FORMED)
"""The kinds that hold several texts."""


class ParamError(ValueError):
    """A name or a value outside the vocabulary; the message says what is allowed."""


def parameter(name: str) -> Parameter:
    """The named parameter; ``ParamError`` names the nearest one."""
    key = name.strip().lower().replace("-", "_")
    if key in PARAMETERS:
        return PARAMETERS[key]
    near = nearest(key, PARAMETERS)
    hint = f"did you mean '{near}'?" if near else "known are " + ", ".join(PARAMETERS)
    raise ParamError(f"unknown parameter '{name}': {hint}")


def check(name: str, value: object) -> Value:
    """``value`` as the type and in the range of ``name``; accepts what YAML or a caller holds."""
    p = parameter(name)
    if value is None and p.optional:
        return None
    fault = ParamError(f"{p.name} = {value!r} is not allowed: it must be {p.allowed()}")
    if p.kind in TEXTS:
        if p.kind == "biases" and isinstance(value, dict):
            value = [f"{word}={amount}" for word, amount in value.items()]
        items = [value] if isinstance(value, str) else value
        if not isinstance(items, list | tuple) or not all(isinstance(s, str) and s for s in items):
            raise fault
        if not all(_WELL_FORMED[p.kind](item) for item in items):
            raise fault
        return tuple(items)
    if p.kind == "choice":
        text = str(value)
        if isinstance(value, bool):  # which YAML reads out of a bare `off` or `on`
            text = "on" if value else "off"
        if text not in p.choices:
            raise fault
        return text
    if p.kind == "text":
        if not isinstance(value, str) or not value.strip():
            raise fault
        return value.strip()
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise fault
    if p.kind == "int":
        if value != value // 1:
            raise fault
        value = int(value)
    else:
        value = float(value)
    below = p.low is not None and (value < p.low or (p.low_open and value == p.low))
    if value != value or below or (p.high is not None and value > p.high):
        raise fault
    return value


def parse(name: str, text: str) -> Value:
    """The value of ``name`` as typed by a user."""
    p = parameter(name)
    text = text.strip()
    if p.kind == "choice":
        return check(name, text.lower())
    if text.lower() == "none" and (p.optional or p.kind in TEXTS):
        return None if p.optional else ()
    if p.kind == "text":
        return check(name, text)
    if p.kind in TEXTS:
        parts = [part.replace("\\n", "\n").replace("\\t", "\t") for part in text.split(",")]
        return check(name, [part for part in parts if part])
    try:
        number: float = int(text) if p.kind == "int" else float(text)
    except ValueError:
        raise ParamError(f"{p.name} = '{text}' is not allowed: it must be {p.allowed()}") from None
    return check(name, number)


def resolve(*layers: Mapping[str, Value]) -> Params:
    """Built-in defaults overlaid by each layer in turn (model defaults, then the user's settings)."""
    merged: dict[str, object] = {}
    for layer in layers:
        merged.update({k: check(k, v) for k, v in layer.items()})
    return Params(**merged)  # type: ignore[arg-type]


def changed(params: Params) -> dict[str, Value]:
    """The parameters whose value is not the built-in default."""
    defaults = Params()
    return {n: getattr(params, n) for n in PARAMETERS if getattr(params, n) != getattr(defaults, n)}


class Support(msgspec.Struct, frozen=True):
    """How a backend honours one parameter."""

    level: Literal["exact", "differs", "none"]
    native: str = ""
    """The backend's own name and rule."""
    note: str = ""
    """Where the meaning differs."""


SupportTable = Mapping[str, Support]


def unsupported(params: Params, table: SupportTable) -> list[str]:
    """Names set away from their default that a backend cannot honour."""
    return [n for n in changed(params) if table.get(n, Support("none")).level == "none"]


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The closest of ``known`` to ``word``, else the only one that begins with it; None without either."""
    names = list(known)
    if close := difflib.get_close_matches(word, names, n=1):
        return close[0]
    begun = [name for name in names if word and name.startswith(word)]
    return begun[0] if len(begun) == 1 else None
