"""Between text and the symbols of a fairseq dictionary.

Encoding is that of ``fairseq-interactive``: tokenizer, then BPE, then the dictionary. Decoding runs back, and
what a partial answer shows is held back as far as later tokens may still change it.
"""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple

from fairseq.data.data_utils import post_process

from backends import fingerprint

_REPLACEMENT = "\ufffd"


Known = Mapping[int, str]
"""Words in the place of unknown symbols, by their places."""
_NOTHING: Known = MappingProxyType({})


class Encoded(NamedTuple):
    """Token ids without an end token."""

    ids: list[int]
    unknown: list[str]
    """The words or parts of words the dictionary does not hold."""
    words: list[str]
    """What was looked up in the dictionary."""


class Codec:
    """The dictionaries of a model with their splitters. ``source`` encodes prompts, ``target`` the rest.

    ``silent`` are tokens of an answer that are no text.
    """

    def __init__(
        self,
        source: Any,
        target: Any,
        bpe: Any,
        tokenizer: Any,
        remove: str | None,
        silent: frozenset[int] = frozenset(),
    ) -> None:
        self._source, self._target = source, target
        self._bpe, self._tokenizer = bpe, tokenizer
        if bpe is None and remove is None:
            remove = marks(target.symbols)
        self._remove = None if bpe is not None or remove == "none" else remove
        self._symbols: list[str] = target.symbols
        self.pieces = [self._piece(symbol) for symbol in target.symbols]
        self.fingerprint = fingerprint.vocabulary(self.pieces)
        self.eos: int = target.eos()
        self._silent = silent | {target.bos(), target.eos()}
        self.source_eos: int = source.eos()

    @property
    def unsplit(self) -> bool:
        """The dictionary holds parts of words, but nothing splits a prompt into them."""
        return self._bpe is None and marks(self._source.symbols) is not None

    def encode(self, text: str) -> Encoded:
        """A prompt for the encoder, or for the decoder of a language model."""
        return self._encode(self._source, text)

    def encode_answer(self, text: str) -> Encoded:
        """The beginning of an answer."""
        return self._encode(self._target, text)

    def raw(self, tokens: Sequence[int], known: Known = _NOTHING) -> str:
        """The symbols with a space between them, as in fairseq's ``H-`` lines, without the end token.

        ``known`` has words to put in the place of the unknown symbol, by its place among the tokens.
        """
        symbols, silent = self._symbols, self._silent
        if not known:  # each token of an answer that is shown comes this way
            return " ".join([symbols[token] for token in tokens if token not in silent])
        words = [known.get(place, symbols[token]) for place, token in enumerate(tokens)]
        return " ".join(word for word, token in zip(words, tokens, strict=True) if token not in silent)

    def text(self, tokens: Sequence[int], known: Known = _NOTHING) -> str:
        """Without subword marks and detokenised, as in fairseq's ``D-`` lines; ``known`` as for ``raw``."""
        raw = self.raw(tokens, known)
        try:
            text: str = post_process(raw, self._remove)
            if self._bpe is not None:
                text = self._bpe.decode(text)
            if self._tokenizer is not None:
                text = self._tokenizer.decode(text)
        except (ValueError, KeyError):  # symbols that are not of the BPE, such as fairseq's padding words
            return raw
        return text

    def settled(self, tokens: Sequence[int]) -> str:
        """What further tokens will not take back: no half a character, no space at the end."""
        return self.text(tokens).rstrip(_REPLACEMENT).rstrip()

    def shares(self, tokens: Sequence[int]) -> list[str]:
        """What each token of a whole answer adds to its text."""
        return _shares(self.text(tokens), [self.settled(tokens[:end]) for end in range(1, len(tokens))])

    def answer_pieces(self, tokens: Sequence[int]) -> list[bytes]:
        """The bytes that each token of an answer stands for; joined they are its text."""
        return self._spoken(self._target, tokens, self.text)

    def prompt_pieces(self, tokens: Sequence[int]) -> list[bytes]:
        """The same for a prompt; a token without text has its symbol's."""
        return self._spoken(self._source, tokens, self.prompt)

    def raw_prompt(self, tokens: Sequence[int]) -> str:
        """Encoded prompt tokens as symbols, without the marks that ``text`` removes, too."""
        symbols: str = self._source.string(list(tokens), self._remove)
        return symbols

    def raw_answer(self, tokens: Sequence[int]) -> str:
        """Tokens of an answer as symbols, as ``raw_prompt`` has those of a prompt."""
        symbols: str = self._target.string(list(tokens), self._remove)
        return symbols

    def prompt(self, tokens: Sequence[int]) -> str:
        """The text of encoded prompt tokens."""
        symbols = self._source.string(list(tokens), self._remove)
        return self._bpe.decode(symbols) if self._bpe is not None else str(symbols)

    def _spoken(
        self, dictionary: Any, tokens: Sequence[int], decode: Callable[[Sequence[int]], str]
    ) -> list[bytes]:
        if not tokens:
            return []
        if hasattr(getattr(self._bpe, "bpe", None), "byte_decoder"):  # a token may be part of a character
            return [self._piece(dictionary[token]) for token in tokens]
        begun = [decode(tokens[:end]).rstrip(_REPLACEMENT).rstrip() for end in range(1, len(tokens))]
        silent = (dictionary.bos(), dictionary.eos(), dictionary.pad())
        return [
            (dictionary[token] if token in silent else share).encode("utf-8", "replace")
            for token, share in zip(tokens, _shares(decode(tokens), begun), strict=True)
        ]

    def _encode(self, dictionary: Any, text: str) -> Encoded:
        text = text.encode("utf-8", "replace").decode()
        if self._tokenizer is not None:
            text = self._tokenizer.encode(text)
        if self._bpe is not None:
            text = self._bpe.encode(text)
        words = text.split()
        ids = [dictionary.index(word) for word in words]
        unknown = [word for word, token in zip(words, ids, strict=True) if token == dictionary.unk()]
        return Encoded(ids, unknown, words)

    def _piece(self, symbol: str) -> bytes:
        """What a symbol writes; GPT-2's symbols are numbers, which mean nothing to a reader."""
        if symbol.isascii() and symbol.isdigit() and hasattr(self._bpe, "bpe"):
            inner = self._bpe.bpe
            letters = getattr(inner, "decoder", {}).get(int(symbol))
            if letters is not None:
                return bytes(inner.byte_decoder[letter] for letter in letters)
        return symbol.encode("utf-8", "replace")


def _shares(whole: str, begun: Sequence[str]) -> list[str]:
    """The parts of a text; ``begun`` is what is known of it after each part but the last."""
    shares, known = [], ""
    for visible in (*begun, whole):
        if not (whole.startswith(visible) and visible.startswith(known)):
            visible = known
        shares.append(visible[len(known) :])
        known = visible
    return shares


def marks(symbols: Sequence[str]) -> str | None:
    """How the subwords of a dictionary are marked, by fairseq's names for it; None if they are not."""
    if sum(symbol.endswith("@@") for symbol in symbols) * 100 > len(symbols):
        return "@@ "
    if any(symbol.startswith("▁") and len(symbol) > 1 for symbol in symbols):
        return "sentencepiece"
    return None
