"""Streaming text: what is shown equals ``decode``, wherever tokens cut characters, spaces and stops."""

import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("torch")

from backends import fingerprint
from backends.hf.pieces import byte_alphabet
from backends.hf.text import Codec, StopScanner, Writer
from tests.backends.hf import support

TOKENIZERS = {
    "byte-level": support.byte_level,
    "byte-fallback": support.byte_fallback,
    "metaspace": support.metaspace,
    "wordpiece": support.wordpiece,
    "suffix": support.suffix,
}
codecs = {}
ADVERSARIAL = st.one_of(
    st.text(),
    st.text(alphabet="ab \n\t▁#Ġ<>0xE9\ufffd\u200d👋🏽é早\u0301\u202e\x00\x1b"),
    st.lists(st.sampled_from([*support.TEXT, "</s>", "<|im_end|>", "<0xE2>", "  "])).map("".join),
)


@pytest.fixture(params=TOKENIZERS, scope="module")
def codec(request):
    if request.param not in codecs:
        codecs[request.param] = Codec(TOKENIZERS[request.param]())
    return codecs[request.param]


def streamed(codec, tokens, context=()):
    stream = codec.stream(context)
    parts = [stream.push(token) for token in tokens]
    return "".join([*parts, stream.flush()])


@settings(max_examples=150, deadline=None)
@given(text=ADVERSARIAL)
def test_streamed_text_equals_decode(codec, text):
    tokens = codec.tokenizer(text, add_special_tokens=False)["input_ids"]
    assert streamed(codec, tokens) == codec.decode(tokens)


@settings(max_examples=150, deadline=None)
@given(prompt=ADVERSARIAL, answer=ADVERSARIAL)
def test_an_answer_continues_its_prompt(codec, prompt, answer):
    before = codec.tokenizer(prompt, add_special_tokens=False)["input_ids"]
    tokens = codec.tokenizer(answer, add_special_tokens=False)["input_ids"]
    # Prompts whose last token is a byte are left out: what follows may still change how it is read.
    if before and codec.piece(before[-1])[-1:].isascii():
        assert codec.decode(before) + streamed(codec, tokens, before) == codec.decode([*before, *tokens])


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_tokens_at_all(codec, data):
    known = range(len(codec.pieces))
    if codec is codecs.get("byte-fallback"):  # whose decoder takes back a character when a bad byte follows
        known = [
            token for token in known if not codec.tokenizer.convert_ids_to_tokens(token).startswith("<0x")
        ]
    tokens = data.draw(st.lists(st.sampled_from(known), max_size=40))
    assert streamed(codec, tokens) == codec.decode(tokens)


def test_a_prompt_that_ends_in_silent_tokens_is_still_a_prompt(codec):
    before = codec.tokenizer("the cat", add_special_tokens=False)["input_ids"]
    before += [codec.tokenizer.eos_token_id] * 20
    tokens = codec.tokenizer("hat", add_special_tokens=False)["input_ids"]
    assert codec.decode(before) + streamed(codec, tokens, before) == codec.decode([*before, *tokens])


def test_text_appears_as_soon_as_a_character_is_complete(codec):
    tokens = codec.tokenizer("that hat", add_special_tokens=False)["input_ids"]
    stream = codec.stream()
    assert all(stream.push(token) for token in tokens)


def test_a_character_of_several_tokens_waits_for_its_last():
    codec = codecs.setdefault("byte-level", Codec(support.byte_level()))
    inverse = {byte: char for char, byte in byte_alphabet().items()}
    tokens = [codec.tokenizer.convert_tokens_to_ids(inverse[byte]) for byte in "👋".encode()]
    stream = codec.stream()
    assert [stream.push(token) for token in tokens] == ["", "", "", "👋"]
    assert stream.push(tokens[0]) == "" and stream.flush() == "\ufffd"


def test_pieces_of_each_scheme(codec):
    text = "the cat writes"
    tokens = codec.tokenizer(text, add_special_tokens=False)["input_ids"]
    joined = b"".join(codec.piece(token) for token in tokens).decode()
    assert joined.removeprefix(" ").removesuffix(" ") == text
    assert codec.piece(codec.tokenizer.eos_token_id) == b"</s>" or joined.startswith(" ")
    assert codec.piece(len(codec.pieces) + 5) == b""


def test_byte_pieces():
    byte_level, fallback = Codec(support.byte_level()), Codec(support.byte_fallback())
    for codec in (byte_level, fallback):
        tokens = codec.tokenizer("早👋", add_special_tokens=False)["input_ids"]
        assert b"".join(codec.piece(token) for token in tokens).decode().strip() == "早👋"


def test_byte_alphabet_is_that_of_the_tokenizers_library():
    from tokenizers import decoders

    alphabet = byte_alphabet()
    assert sorted(alphabet.values()) == list(range(256))
    for char, byte in alphabet.items():
        if byte < 128:
            assert decoders.ByteLevel().decode([char]) == chr(byte)


def test_fingerprint_follows_ids_and_bytes():
    pieces = [b"a", b"bc", b""]
    assert fingerprint.vocabulary(pieces) == fingerprint.vocabulary(list(pieces))
    assert (
        len({fingerprint.vocabulary(p) for p in ([b"a", b"bc"], [b"bc", b"a"], [b"ab", b"c"], pieces)}) == 4
    )
    assert Codec(support.byte_level()).fingerprint == Codec(support.byte_level()).fingerprint


# -- stop strings ----------------------------------------------------------------------------------------


def cut(text, stops):
    """What is left of the text by definition: up to the stop that is complete first."""
    ends = [(m.end(), m.start()) for stop in stops for m in re.finditer(f"(?={re.escape(stop)})", text)]
    ends = [(start + len(stop), start) for stop in stops for _, start in ends if text.startswith(stop, start)]
    return text[: min(ends)[1]] if ends else text


@settings(max_examples=300, deadline=None)
@given(
    parts=st.lists(st.text(alphabet="abc", max_size=4), max_size=12),
    stops=st.lists(st.text(alphabet="abc", min_size=1, max_size=4), max_size=3),
)
def test_stops_cut_at_the_same_place_however_the_text_is_split(parts, stops):
    scanner = StopScanner(stops)
    shown = ""
    for i, part in enumerate(parts):
        text, hit = scanner.push(part, last=i == len(parts) - 1)
        shown += text
        if hit:
            break
    assert shown == cut("".join(parts), stops)


def test_no_more_is_held_back_than_can_be_a_stop():
    scanner = StopScanner(["\n\nQ:"])
    assert scanner.push("yes\n") == ("yes", False)
    assert scanner.push("\n") == ("", False)
    assert scanner.push("\n") == ("\n", False)
    assert scanner.push("Q") == ("", False)
    assert scanner.push("!") == ("\n\nQ!", False)
    assert scanner.push("\n\nQ: more") == ("", True)


def test_a_fork_goes_its_own_way(codec):
    first, other = (codec.tokenizer(t, add_special_tokens=False)["input_ids"] for t in ("the cat", " hat"))
    writer = Writer(codec.stream(), ["zz"])
    for token in first:
        writer.push(token, last=False)
    twin = writer.fork()
    for token in other:
        twin.push(token, last=False)
    assert writer.text == codec.decode(first) and twin.text == codec.decode([*first, *other])


def test_the_decoder_state_is_json():
    """How the scheme is told; a change in the tokenizers library shows here first."""
    decoder = support.byte_fallback().backend_tokenizer.decoder
    assert json.loads(decoder.__getstate__())["type"] == "Sequence"
