"""The names of the vocabulary: what each holds, its range and its built-in value."""

from collections.abc import Mapping
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
    max_time: float | None = None


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
        value: Value = getattr(Params(), self.name)
        return value

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
            what += f" above {self.low:,}" if self.low_open else f" of at least {self.low:,}"
        if self.high is not None:
            what += f" and at most {self.high:,}" if self.low is not None else f" of at most {self.high:,}"
        return what + (" or 'none'" if self.optional else "")


PARAMETERS: Mapping[str, Parameter] = {
    p.name: p
    for p in (
        Parameter(
            name="temperature", kind="float", low=0, high=100, help="0 is greedy; higher is more varied"
        ),
        Parameter(
            name="top_k",
            kind="int",
            low=0,
            high=1_000_000,
            help="draw from the k most likely tokens; 0 is off",
        ),
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
        Parameter(
            name="no_repeat_ngram",
            kind="int",
            low=0,
            high=1_000_000,
            help="no n-gram of this size twice; 0 is off",
        ),
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
        Parameter(
            name="max_time",
            kind="float",
            low=0,
            high=1_000_000_000,
            low_open=True,
            optional=True,
            help="most seconds an answer may take once a replica has begun; none is no limit",
        ),
    )
}
