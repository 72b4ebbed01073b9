"""Words a user names in a parameter, as the tokens a model may write them in."""

from collections.abc import Sequence

from backends.base import BackendError
from backends.fairseq.text import Codec
from repl.params import Params, bias, token_id

Sequences = dict[tuple[int, ...], float]
"""What is added to the log-probability of a sequence's last token, after the others."""


def biases(codec: Codec, params: Params) -> Sequences:
    """``logit_bias`` and ``ban``; raises ``BackendError`` for words the model has not."""
    found: Sequences = {}
    for item in params.logit_bias:
        word, amount = bias(item)
        for tokens in _spellings(codec, "logit_bias", word):
            found[tokens] = found.get(tokens, 0.0) + amount / (params.temperature or 1.0)
    for word in params.ban:
        for tokens in _spellings(codec, "ban", word):
            if tokens == (codec.eos,):
                raise BackendError(
                    "bad_parameter", "ban: an answer without its end token would never end", "/set min_new 20"
                )
            found[tokens] = float("-inf")
    return found


def ends(codec: Codec, params: Params) -> frozenset[int]:
    """``stop_tokens``; raises ``BackendError`` for what is not one token of the model."""
    found: set[int] = set()
    for word in params.stop_tokens:
        single = {tokens[0] for tokens in _spellings(codec, "stop_tokens", word) if len(tokens) == 1}
        if not single:
            raise BackendError(
                "bad_parameter",
                f"stop_tokens: '{word}' is not one token of this model",
                f"/set stop {word} ends an answer at a text of any length",
            )
        found |= single
    return frozenset(found - {codec.eos})


def _spellings(codec: Codec, name: str, word: str) -> Sequence[tuple[int, ...]]:
    """A word at the beginning of a text and after a space; a ``#id`` is itself."""
    number = token_id(word)
    if number is not None:
        if number >= len(codec.pieces):
            raise BackendError(
                "bad_parameter",
                f"{name}: there is no token #{number}; this model has {len(codec.pieces):,}",
                f"/set {name} none, or a smaller id",
            )
        return [(number,)]
    forms = [codec.encode_answer(text) for text in (word, f" {word}")]
    if forms[0].unknown:
        raise BackendError(
            "bad_parameter",
            f"{name}: '{word}' is not in the dictionary",
            "name words of the model, see /tok, or tokens as #ID",
        )
    return [tokens for tokens in dict.fromkeys(tuple(form.ids) for form in forms) if tokens]
