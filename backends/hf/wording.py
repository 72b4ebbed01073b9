"""Words a user names in a parameter, as the tokens a model may write them in."""

from collections.abc import Sequence

from backends.base import BackendError
from backends.hf.text import Codec
from repl.params import Params, bias, token_id


class Wording:
    """Reads the parameters that name words or tokens; raises ``BackendError`` for those a model has not."""

    def __init__(self, codec: Codec, vocab_size: int) -> None:
        self._codec = codec
        self._size = vocab_size

    def biases(self, params: Params) -> dict[tuple[int, ...], float]:
        """``logit_bias`` by token sequence; a bias applies to a sequence's last token, after the others."""
        found: dict[tuple[int, ...], float] = {}
        for item in params.logit_bias:
            word, amount = bias(item)
            for tokens in self._spellings("logit_bias", word):
                found[tokens] = found.get(tokens, 0.0) + amount
        return found

    def banned(self, params: Params) -> list[list[int]]:
        """``ban`` as token sequences."""
        return [list(tokens) for word in params.ban for tokens in self._spellings("ban", word)]

    def ends(self, params: Params) -> tuple[int, ...]:
        """``stop_tokens`` as ids."""
        found: list[int] = []
        for word in params.stop_tokens:
            single = [tokens[0] for tokens in self._spellings("stop_tokens", word) if len(tokens) == 1]
            if not single:
                raise BackendError(
                    "bad_parameter",
                    f"stop_tokens: '{word}' is not one token of this model",
                    f"/set stop {word} ends an answer at a text of any length",
                )
            found += single
        return tuple(dict.fromkeys(found))

    def _spellings(self, name: str, word: str) -> Sequence[tuple[int, ...]]:
        """A word at the beginning of a text and after a space; a ``#id`` is itself."""
        number = token_id(word)
        if number is not None:
            if number >= self._size:
                raise BackendError(
                    "bad_parameter",
                    f"{name}: there is no token #{number}; this model has {self._size:,}",
                    f"/set {name} none, or a smaller id",
                )
            return [(number,)]
        encode = self._codec.tokenizer.encode
        forms = (encode(text, add_special_tokens=False) for text in (word, f" {word}"))
        return [tokens for tokens in dict.fromkeys(map(tuple, forms)) if tokens]
