"""Values of the vocabulary, from what a user types or YAML holds; an error says what is allowed."""

from collections.abc import Callable, Mapping

import msgspec

from repl.params.vocabulary import PARAMETERS, Parameter, Params, Value
from repl.spelling import is_unicode, nearest


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
    """``value`` as the type and in the range of ``name``; accepts what YAML or a caller holds.

    ``ParamError`` says what is allowed.
    """
    p = parameter(name)
    if value is None and p.optional:
        return None
    checked = (_texts if p.kind in TEXTS else _SINGLE[p.kind])(p, value)
    if checked is None:
        raise ParamError(f"{p.name} = {value!r} is not allowed: it must be {p.allowed()}")
    return checked


# Each gives the value as its parameter holds it; None where it is not allowed.


def _texts(p: Parameter, value: object) -> Value:
    if p.kind == "biases" and isinstance(value, dict):
        value = [f"{word}={amount}" for word, amount in value.items()]
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        return None
    if not all(isinstance(item, str) and item and is_unicode(item) for item in items):
        return None
    return tuple(items) if all(_WELL_FORMED[p.kind](item) for item in items) else None


def _choice(p: Parameter, value: object) -> Value:
    if isinstance(value, bool):  # which YAML reads out of a bare `off` or `on`
        value = "on" if value else "off"
    text = str(value)
    return text if text in p.choices else None


def _text(p: Parameter, value: object) -> Value:
    return (value.strip() or None) if isinstance(value, str) and is_unicode(value) else None


def _number(p: Parameter, value: object) -> Value:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    below = p.low is not None and (value < p.low or (p.low_open and value == p.low))
    if value != value or below or (p.high is not None and value > p.high):
        return None
    if p.kind == "float":
        return float(value)
    return int(value) if value == value // 1 else None


_SINGLE: Mapping[str, Callable[[Parameter, object], Value]] = {
    "choice": _choice,
    "text": _text,
    "int": _number,
    "float": _number,
}


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
    params = Params()
    for layer in layers:
        params = msgspec.structs.replace(
            params, **{name: check(name, value) for name, value in layer.items()}
        )
    return params


def changed(params: Params) -> dict[str, Value]:
    """The parameters whose value is not the built-in default."""
    defaults = Params()
    return {n: getattr(params, n) for n in PARAMETERS if getattr(params, n) != getattr(defaults, n)}
