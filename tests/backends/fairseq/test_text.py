"""Between text and symbols: splitting, joining, and what may be shown before the answer is complete."""

from tests.backends.fairseq.support import Told, events, load, request, spec, write_model

# isort: split
import json
import sys
from pathlib import Path

import msgspec
import pytest
import torch
from fairseq.data import Dictionary
from fairseq.data.encoders.gpt2_bpe_utils import bytes_to_unicode

from backends.base import BackendError
from backends.fairseq import Fairseq, splitting
from backends.fairseq.options import Options
from backends.fairseq.rules import repeats
from backends.fairseq.text import Codec, marks
from repl.messages import Error, Finished
from repl.readings import Tokenized


def codec(*symbols: str, remove: str | None = None, bpe: object = None, tokenizer: object = None) -> Codec:
    dictionary = Dictionary()
    for symbol in symbols:
        dictionary.add_symbol(symbol)
    return Codec(dictionary, dictionary, bpe, tokenizer, remove)


def growing(model: Codec, text: str) -> list[str]:
    """What is settled after each token."""
    ids = model.encode_answer(text).ids
    return [model.settled(ids[: size + 1]) for size in range(len(ids))]


def test_words_of_the_dictionary() -> None:
    model = codec("a", "b")
    assert model.encode(" a\t b\n c a") == ([4, 5, 3, 4], ["c"], ["a", "b", "c", "a"])
    assert model.text([4, 5, 2]) == "a b"
    assert model.raw([4, 3, 2]) == "a <unk>"
    assert model.pieces[:5] == [b"<s>", b"<pad>", b"</s>", b"<unk>", b"a"]
    assert not model.unsplit


def test_bpe_marks_are_told_from_the_dictionary_and_taken_off() -> None:
    model = codec("Hel@@", "lo", "wor@@", "ld", "x")
    assert marks(["Hel@@", "lo"]) == "@@ "
    assert model.unsplit
    assert growing(model, "Hel@@ lo wor@@ ld") == ["Hel", "Hello", "Hello wor", "Hello world"]
    assert model.raw([4, 5, 2]) == "Hel@@ lo"
    assert codec("Hel@@", "lo", remove="none").text([4, 5]) == "Hel@@ lo"


def test_sentencepiece_marks_are_told_from_the_dictionary() -> None:
    model = codec("▁Hel", "lo", "▁", "▁world")
    assert growing(model, "▁Hel lo ▁ ▁world") == ["Hel", "Hello", "Hello", "Hello  world"]
    assert model.prompt([4, 5, 7]) == "Hello world"


def test_text_that_is_no_unicode_is_still_read() -> None:
    assert codec("a").encode("a \udc80 \ud800").unknown == ["?", "?"]


def gpt2_files(folder: Path) -> list[str]:
    """A byte-level vocabulary with two merges, in the files of GPT-2."""
    letters = list(bytes_to_unicode().values())
    encoder = {letter: number for number, letter in enumerate([*letters, "he", "Ġhe"])}
    (folder / "encoder.json").write_text(json.dumps(encoder))
    (folder / "vocab.bpe").write_text("#version: 0.2\nh e\nĠ he\n")
    return [str(number) for number in encoder.values()]


def test_gpt2_symbols_write_their_bytes_and_half_a_character_waits(tmp_path: Path) -> None:
    symbols = gpt2_files(tmp_path)
    bpe = splitting.bpe(Options(bpe="gpt2"), None, tmp_path)
    model = codec(*symbols, "madeupword0001", bpe=bpe)
    ids = model.encode("he he é").ids
    assert b"".join(model.pieces[i] for i in ids) == "he he é".encode()
    assert [model.pieces[i] for i in ids[:2]] == [b"he", b" he"]
    assert [model.settled(ids[:size]) for size in range(1, 6)] == ["he", "he he", "he he", "he he", "he he é"]
    assert not model.unsplit
    assert model.text([*ids[:1], len(symbols) + 4]) == f"{symbols[-2]} madeupword0001"


def test_a_model_with_bpe_answers_in_plain_text(tmp_path: Path) -> None:
    symbols = gpt2_files(tmp_path)
    engine = load(write_model(tmp_path, symbols=symbols), options={"bpe": "gpt2"})
    told = Told(engine, request("he he", beam=3, logprobs=2))
    assert told.started.prompt_text == "he he"
    assert (
        b"".join(step.piece for step in told.steps if step.token != 2).decode(errors="replace") == told.text
    )
    assert told.finished.hypotheses[0].raw_text.split()[0].isdigit()


def refused(path: Path, **options: str) -> Error:
    with pytest.raises(BackendError) as caught:
        Fairseq.load(spec(path, options=options), "cpu", 1, lambda stage, fraction: None)
    return caught.value.error


def test_splitters_come_from_files_of_this_machine(
    translation: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = refused(translation, bpe="gpt2")
    assert (error.kind, "gpt2_encoder_json" in error.message) == ("missing_file", True)
    assert "never downloaded" in error.hint
    error = refused(translation, bpe="sentencepiece", sentencepiece_model="there/spm.model")
    assert "there/spm.model" in error.message
    assert refused(translation, bpe="hf_byte_bpe").kind == "unsupported"
    assert refused(translation, tokenizer="mine").kind == "unsupported"
    monkeypatch.setitem(sys.modules, "sacremoses", None)
    error = refused(translation, tokenizer="moses")
    assert (error.kind, error.hint) == ("missing_package", "pip install sacremoses")


def test_a_checkpoints_own_splitter_is_looked_for_beside_it(tmp_path: Path) -> None:
    """Its path is the training machine's, so only the name counts; an address is not followed."""
    path = write_model(tmp_path, symbols=gpt2_files(tmp_path))
    state = torch.load(path, weights_only=False)
    address = "https://example.invalid/{}"
    state["cfg"]["bpe"] = {
        "_name": "gpt2",
        "gpt2_encoder_json": address.format("encoder.json"),
        "gpt2_vocab_bpe": address.format("vocab.bpe"),
    }
    torch.save(state, path)
    assert Told(load(path), request("he he")).started.notes == ()
    (tmp_path / "vocab.bpe").unlink()
    assert "gpt2_vocab_bpe" in refused(path).message
    assert load(path, options={"bpe": "none"}).capabilities.notes == ()


class Quotes:
    """A detokeniser that takes back what it wrote: a second quotation mark moves the first."""

    def encode(self, text: str) -> str:
        return text

    def decode(self, text: str) -> str:
        return text.replace('" ', '"') if text.count('"') > 1 else text


def test_text_that_is_taken_back_is_rewound(tmp_path: Path) -> None:
    engine = load(write_model(tmp_path, symbols=['"', "a"]))
    engine._model.codec._tokenizer = Quotes()
    told = Told(engine, request("a", prefix='" a " a', max_new=6))
    assert told.rewound
    assert told.text == told.finished.text


def test_repeated_n_grams() -> None:
    assert repeats([5, 6, 5], 2) == {6}
    assert repeats([5, 6, 7, 5, 6], 3) == {7}
    assert repeats([5, 6], 1) == {5, 6}
    assert repeats([5], 3) == repeats([], 1) == set()


def test_sentencepiece_there_and_back(tmp_path: Path) -> None:
    """A model with pieces for its symbols: plain text in, plain text out, pieces for who looks closer."""
    sentencepiece = pytest.importorskip("sentencepiece")
    text = ["the house is red", "a red house and a blue car", "the cars are blue", "houses and cars"]
    (tmp_path / "text").write_text("\n".join(text))
    sentencepiece.SentencePieceTrainer.train(
        input=str(tmp_path / "text"), model_prefix=str(tmp_path / "spm"), vocab_size=24, minloglevel=2
    )
    splitter = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "spm.model"))
    pieces = [splitter.id_to_piece(i) for i in range(3, splitter.get_piece_size())]
    engine = load(write_model(tmp_path, symbols=pieces), options={"bpe": "sentencepiece"})
    told = Told(engine, request(text[0], beam=2))
    assert told.started.raw_prompt.split() == splitter.encode(text[0], out_type=str)
    assert told.started.prompt_text == text[0]
    symbols = told.finished.hypotheses[0].raw_text
    assert told.finished.text == splitter.decode(symbols.split())
    for side in ("prompt", "target"):
        asked = msgspec.structs.replace(request(""), task="tokenize", **{side: "a blue house"})
        *_, last = events(engine, asked)
        assert isinstance(last, Finished) and isinstance(last.reading, Tokenized)
        assert last.reading.decoded == "a blue house" == b"".join(last.reading.pieces).decode()
        assert len(last.reading.ids) == len(splitter.encode("a blue house")) and not any(last.reading.unknown)
    scored = Told(engine, msgspec.structs.replace(request(text[0]), task="score", target="blue cars"))
    assert "".join(step.text for step in scored.steps) == "blue cars"
