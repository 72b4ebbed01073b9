"""The same Hugging Face checkpoint on both engines gives the same answers."""

import json
import warnings
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

transformers = pytest.importorskip("transformers")

from backends.hf import HuggingFace
from repl.demo import model_path
from repl.messages import ModelSpec
from tests.backends.ctranslate2.conftest import Load
from tests.backends.ctranslate2.support import Told, ask, request, together
from tests.backends.hf import support as hf

SEQ2SEQ = {
    "d_model": 32,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
    "eos_token_id": 2,
    "forced_eos_token_id": None,
}
LINES = ["the cat", "a model reads a prompt", "the"]


def gpt2(size: int) -> Any:
    config = transformers.GPT2Config(
        n_embd=32, n_layer=2, n_head=4, n_positions=64, vocab_size=size, bos_token_id=1, eos_token_id=2
    )
    return transformers.GPT2LMHeadModel(config)


def llama(size: int) -> Any:
    config = transformers.LlamaConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        vocab_size=size,
        bos_token_id=1,
        eos_token_id=2,
    )
    return transformers.LlamaForCausalLM(config)


def bart(size: int) -> Any:
    config = transformers.BartConfig(
        **SEQ2SEQ,
        vocab_size=size,
        bos_token_id=1,
        pad_token_id=0,
        decoder_start_token_id=2,
        forced_bos_token_id=None,
    )
    return transformers.BartForConditionalGeneration(config)


def t5(size: int) -> Any:
    config = transformers.T5Config(
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        vocab_size=size,
        decoder_start_token_id=0,
        pad_token_id=0,
        eos_token_id=2,
    )
    return transformers.T5ForConditionalGeneration(config)


def marian_tokenizer(folder: Path) -> Any:
    """Of SentencePiece and a vocabulary with the padding last, as the models of OPUS-MT have it."""
    import sentencepiece

    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(hf.TEXT[:2] * 20),
        model_prefix=str(folder / "both"),
        vocab_size=60,
        hard_vocab_limit=False,
        minloglevel=2,
    )
    model = str(folder / "both.model")
    known = sentencepiece.SentencePieceProcessor(model_file=model)
    pieces = [known.id_to_piece(token) for token in range(3, known.vocab_size())]
    names = ["<s>", "<unk>", "</s>", *pieces, "<pad>"]
    vocabulary = folder / "vocab.json"
    vocabulary.write_text(json.dumps({name: token for token, name in enumerate(names)}), encoding="utf-8")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would like sacremoses
        return transformers.MarianTokenizer(model, model, str(vocabulary), source_lang="en", target_lang="de")


def marian(size: int) -> Any:
    config = transformers.MarianConfig(
        **SEQ2SEQ, vocab_size=size, pad_token_id=size - 1, decoder_start_token_id=size - 1
    )
    return transformers.MarianMTModel(config)


KINDS = {"gpt2": gpt2, "llama": llama, "bart": bart, "t5": t5, "marian": marian}


@pytest.fixture(scope="module", params=KINDS)
def both(request: pytest.FixtureRequest, load: Load, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The engines of a random model."""
    folder = tmp_path_factory.mktemp(request.param)
    tokenizer = marian_tokenizer(folder) if request.param == "marian" else hf.byte_level()
    transformers.set_seed(3)
    network = KINDS[request.param](len(tokenizer))
    for weight in network.parameters():
        weight.data.mul_(3 if weight.dim() > 1 else 1)  # so that it has something to say
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load(folder), original(folder)


def original(folder: Path) -> Any:
    spec = ModelSpec(name="tiny", backend="hf", path=str(folder))
    return HuggingFace.load(spec, "cpu", 1, lambda *_: None)


def pairs(engines: Any, **settings: Any) -> list[tuple[Told, Told]]:
    asked = [request(line, number, **settings) for number, line in enumerate(LINES, 1)]
    ours, theirs = (list(map(Told, together(engine, asked))) for engine in engines)
    return list(zip(ours, theirs, strict=True))


class TestRandomModels:
    def test_greedy_answers_are_equal_and_so_are_their_scores(self, both: Any):
        for ours, theirs in pairs(both):
            assert ours.tokens == theirs.tokens
            assert ours.text == theirs.text
            assert ours.finished.reason == theirs.finished.reason
            if both[0]._library.size == both[0].capabilities.vocab_size:
                assert [step.raw_lp for step in ours.steps] == pytest.approx(
                    [step.raw_lp for step in theirs.steps], rel=2e-5, abs=1e-4
                )

    @pytest.mark.parametrize(
        "settings",
        [
            {"temperature": 0.9, "seed": 4, "top_k": 20, "top_p": 0.9},
            {"temperature": 1.5, "seed": 6, "min_p": 0.05},
            {"repetition_penalty": 1.4},
            {"temperature": 1.1, "seed": 9, "top_k": 9, "unkpen": 4.0},
            {"presence_penalty": 2.0, "frequency_penalty": 0.5, "repetition_penalty": 1.2},
            {"logit_bias": ("the=3", "cat=-2", "#7=1.5"), "repetition_penalty": 1.1},
            {"ban": ("the", "at"), "stop_tokens": ("#9", "#30"), "min_new": 3},
            {"no_repeat_ngram": 2, "min_new": 5},
            {"prefix": " and", "logprobs": 3},
        ],
    )
    def test_so_are_samples_and_punished_answers(self, both: Any, settings: dict[str, Any]):
        for ours, theirs in pairs(both, **settings):
            assert ours.tokens == theirs.tokens
            assert ours.text == theirs.text

    def test_so_are_typical_samples_where_no_token_was_left_out(self, both: Any):
        ours = both[0]
        if ours._library.size < ours.capabilities.vocab_size:
            pytest.skip("without a token the entropy is another, by which tokens are typical")
        for mine, other in pairs(both, temperature=1.1, seed=9, typical_p=0.6):
            assert mine.tokens == other.tokens

    def test_what_is_said_of_the_model_is_equal(self, both: Any):
        ours, theirs = (engine.capabilities for engine in both)
        facts = ("kind", "max_prompt", "vocab_size", "vocab_fingerprint", "checkpoint_hash", "parameters")
        for fact in facts:
            assert getattr(ours, fact) == getattr(theirs, fact)

    def test_a_scored_text_has_the_log_probabilities_of_the_network(self, both: Any):
        import torch

        ours, theirs = both
        network, tokenizer = theirs._model.network, theirs._model.codec.tokenizer
        source, target = "the cat", " and that"
        told = ask(ours, request(source, task="score", target=target))
        before = tokenizer(source, return_tensors="pt")["input_ids"]
        after = torch.tensor([told.tokens])
        with torch.no_grad():
            if ours.capabilities.kind == "seq2seq":
                logits = network(input_ids=before, labels=after).logits[0]
            else:
                logits = network(input_ids=torch.cat([before, after], 1)).logits[0, before.shape[1] - 1 : -1]
        # What a conversion leaves out has no part in the distribution.
        known = logits[:, : ours._library.size].log_softmax(-1)
        expected = known.gather(1, after.T)[:, 0].tolist()
        assert [step.raw_lp for step in told.steps] == pytest.approx(expected, abs=1e-4)

    def test_it_is_said_where_a_conversion_leaves_tokens_out(self, both: Any):
        ours = both[0]
        left_out = ours._library.size < ours.capabilities.vocab_size
        assert any("left out" in note for note in ours.capabilities.notes) == left_out

    def test_known_tokens_come_without_distributions(self, both: Any):
        asked = request("the cat", distributions=True, max_new=3)
        whole = ask(both[0], asked)
        given = tuple(step.token for step in whole.steps[:2])
        told = ask(both[0], msgspec.structs.replace(asked, prefix_ids=given, known=2))
        assert [bool(step.distribution) for step in told.steps] == [False, False, True]
        assert told.steps[2].token == whole.steps[2].token

    def test_distributions_sum_to_one(self, both: Any):
        told = ask(both[0], request("the cat", distributions=True, max_new=3))
        for step in told.steps:
            known = np.frombuffer(step.distribution, "<f4")
            assert len(known) == both[0].capabilities.vocab_size
            assert np.exp(known.astype(float)).sum() == pytest.approx(1.0, abs=1e-5)
            assert known[step.token] == pytest.approx(step.raw_lp, abs=1e-6)


class TestDemo:
    @pytest.fixture(scope="class")
    def engines(self, load: Load) -> Any:
        return load(model_path("lm-late")), original(model_path("lm-late"))

    def test_the_same_seed_gives_the_same_answer(self, engines: Any):
        asked = request("The with statement", temperature=0.7, top_p=0.9, seed=1, max_new=32)
        ours, theirs = (ask(engine, asked) for engine in engines)
        assert ours.text == theirs.text
        assert [step.text for step in ours.steps] == [step.text for step in theirs.steps]

    def test_a_long_answer_goes_on_over_many_calls(self, engines: Any):
        asked = request("The with statement", logprobs=1, max_new=100, min_new=100)
        ours, theirs = (ask(engine, asked) for engine in engines)
        assert len(ours.tokens) == 100
        assert ours.tokens == theirs.tokens

    def test_a_text_is_scored_after_nothing(self, engines: Any):
        for opening, first in (("auto", True), ("none", False)):
            told = ask(engines[0], request("", task="score", target="The", opening=opening))
            assert (told.steps[0].raw_lp is not None) == first
            assert told.finished.reason == "done"

    def test_its_tokens_are_told(self, engines: Any):
        told = ask(engines[0], request("", task="tokenize", target="The with statement"))
        assert told.finished.reading is not None
        assert b"".join(told.finished.reading.pieces) == b"The with statement"
