"""The embedded models are complete, small, and load the way their users load them."""

import json
from typing import Any

import pytest

from repl.demo import MODELS, model_path, number_words

FILES = {
    "lm-early": {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"},
    "lm-late": {
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "training.json",
    },
    "num2digits": {"model.pt", "dict.words.txt", "dict.digits.txt"},
    "numlm": {"model.pt", "dict.txt"},
    "numcloze": {"config.json", "model.safetensors", "tokenizer.json"},
    "numkind": {"config.json", "model.safetensors", "tokenizer.json"},
}
LANGUAGE_MODELS = ["lm-early", "lm-late"]
SPECIAL = {"pad": "pad", "bos": "begin", "eos": "end"}


@pytest.mark.parametrize("name", MODELS)
def test_every_model_has_its_files(name: str) -> None:
    assert {path.name for path in model_path(name).iterdir()} >= FILES[name]


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(KeyError, match="lm-early, lm-late, num2digits, numlm, numcloze, numkind"):
        model_path("gpt2")


def test_all_models_together_stay_within_ten_megabytes() -> None:
    folders = [model_path(name) for name in MODELS]
    assert sum(path.stat().st_size for folder in folders for path in folder.rglob("*")) <= 10_000_000


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_the_special_tokens_agree_everywhere(name: str) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    folder = model_path(name)
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    config = json.loads((folder / "config.json").read_text())
    generation = json.loads((folder / "generation_config.json").read_text())
    ids = {f"{kind}_token_id": tokenizer.token_to_id(f"<|{word}|>") for kind, word in SPECIAL.items()}
    assert ids.items() <= config.items()
    assert ids.items() <= generation.items()
    assert config["vocab_size"] == tokenizer.get_vocab_size()


def test_both_checkpoints_share_one_tokenizer() -> None:
    early, late = (model_path(name) / "tokenizer.json" for name in LANGUAGE_MODELS)
    assert early.read_bytes() == late.read_bytes()


@pytest.mark.parametrize("text", ["The with statement", " two  spaces\n\tand a tab", "naïve café, 東京 🙂"])
def test_the_tokenizer_loses_nothing(text: str) -> None:
    tokenizers = pytest.importorskip("tokenizers")
    tokenizer = tokenizers.Tokenizer.from_file(str(model_path("lm-late") / "tokenizer.json"))
    ids = tokenizer.encode(text).ids
    assert ids[0] == tokenizer.token_to_id("<|begin|>")
    assert tokenizer.decode(ids) == text


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_the_weights_are_finite_and_small(name: str) -> None:
    torch = pytest.importorskip("torch")
    safetensors = pytest.importorskip("safetensors.torch")
    weights = safetensors.load_file(model_path(name) / "model.safetensors")
    assert 1_000_000 <= sum(weight.numel() for weight in weights.values()) <= 2_000_000
    assert all(torch.isfinite(weight).all() for weight in weights.values())


@pytest.mark.parametrize("name", ["num2digits", "numlm"])
def test_a_fairseq_checkpoint_holds_plain_data_and_no_path(name: str) -> None:
    torch = pytest.importorskip("torch")
    from argparse import Namespace

    with torch.serialization.safe_globals([Namespace]):
        state = torch.load(model_path(name) / "model.pt", weights_only=True)
    assert state["cfg"]["task"]["data"] == "."
    model = state["cfg"]["model"]
    arguments = vars(model) if isinstance(model, Namespace) else model
    assert {arguments.get("data", "."), arguments.get("save_dir", ".")} == {"."}
    assert "last_optimizer_state" not in state
    assert all(torch.isfinite(weight).all() for weight in state["model"].values())


def read(kind: str, name: str, texts: list[str]) -> tuple[Any, Any, Any]:
    """A demo encoder's first choices for each text, what they were read as, and its tokenizer."""
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    model = getattr(transformers, kind).from_pretrained(model_path(name), dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_path(name))
    assert model.num_parameters() < 200_000
    batch = tokenizer(texts, padding=True, return_tensors="pt")
    with torch.no_grad():
        return model(**batch).logits.argmax(-1), batch["input_ids"], tokenizer


def test_the_masked_model_fills_gaps_in_lines_it_has_never_seen() -> None:
    lines = [number_words.sentence(number) for number in number_words.split().test[:50]]
    best, ids, tokenizer = read("AutoModelForMaskedLM", "numcloze", [f"{line[:-1]}[MASK]" for line in lines])
    filled = tokenizer.convert_ids_to_tokens(best[ids == tokenizer.mask_token_id].tolist())
    assert filled == [line[-1] for line in lines]


def test_the_classifier_knows_numbers_it_has_never_seen() -> None:
    numbers = number_words.split().test[:50]
    best, _, _ = read(
        "AutoModelForSequenceClassification", "numkind", [number_words.to_words(n) for n in numbers]
    )
    assert [number_words.KINDS[int(at)] for at in best] == [number_words.kind(n) for n in numbers]


def test_the_held_out_pairs_lie_beside_the_model() -> None:
    folder = model_path("num2digits")
    words = (folder / "test.words-digits.words").read_text().splitlines()
    digits = (folder / "test.words-digits.digits").read_text().splitlines()
    pairs = [number_words.pair(number) for number in number_words.split().test]
    assert list(zip(words, digits, strict=True)) == pairs
