"""The bytes each token of a vocabulary writes.

A piece is a token's own share of the text, which may be part of a character. How it is written in the
vocabulary depends on the tokenizer: the GPT-2 byte alphabet, SentencePiece's ``▁`` and ``<0x0A>``,
WordPiece's ``##`` or a ``</w>`` at the end of words. The scheme is read from the tokenizer's decoder.
"""

import json
import re
from functools import cache
from typing import Any, Literal

Scheme = Literal["byte-level", "metaspace", "wordpiece", "suffix"]

_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


@cache
def byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-in for each byte (Radford et al. 2019, ``bytes_to_unicode``), inverted."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(b): b for b in printable} | {chr(0x100 + i): b for i, b in enumerate(others)}


def scheme(tokenizer: Any) -> tuple[Scheme, str]:
    """How the tokenizer writes its pieces, and the mark that goes with it."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    decoder = getattr(backend, "decoder", None)
    if decoder is None:
        return "metaspace", "▁"
    parts = json.loads(decoder.__getstate__())
    for part in parts.get("decoders", [parts]):
        match part["type"]:
            case "ByteLevel":
                return "byte-level", ""
            case "WordPiece":
                return "wordpiece", part["prefix"]
            case "BPEDecoder":
                return "suffix", part["suffix"]
    return "metaspace", "▁"


def pieces(tokenizer: Any) -> list[bytes]:
    """``pieces(tokenizer)[i]`` is what token ``i`` writes; ids without a token write nothing."""
    kind, mark = scheme(tokenizer)
    added = {token: str(entry) for token, entry in tokenizer.added_tokens_decoder.items()}
    vocabulary = {token: text for text, token in tokenizer.get_vocab().items()}
    table = [b""] * (max(vocabulary, default=-1) + 1)
    for token, text in vocabulary.items():
        if token in added and kind != "byte-level":
            table[token] = added[token].encode()
        else:
            table[token] = _bytes(text, kind, mark)
    return table


def _bytes(text: str, kind: Scheme, mark: str) -> bytes:
    match kind:
        case "byte-level":
            return from_byte_alphabet(text)
        case "wordpiece":
            return text.removeprefix(mark).encode() if text.startswith(mark) else b" " + text.encode()
        case "suffix":
            return (text.removesuffix(mark) + " ").encode() if text.endswith(mark) else text.encode()
    single = _BYTE.fullmatch(text)
    return bytes([int(single[1], 16)]) if single else text.replace(mark, " ").encode("utf-8", "replace")


def from_byte_alphabet(text: str) -> bytes:
    """The bytes a byte-level token stands for; a token with other characters stands for itself."""
    alphabet = byte_alphabet()
    if all(char in alphabet for char in text):
        return bytes(alphabet[char] for char in text)
    return text.encode("utf-8", "replace")
