"""One random model in two backends: a GPT-2 is fairseq's language model with other names for its weights."""

from tests.backends.fairseq import ready  # noqa: F401

# isort: split
import pytest

transformers = pytest.importorskip("transformers")

from tests.backends.fairseq import support as fairseq_support

# isort: split
import torch
from tokenizers import Tokenizer, models, pre_tokenizers

from backends.hf import HuggingFace
from repl.messages import Failed, Finished, ModelSpec, Request, Step
from repl.params import Params
from repl.probe.parity import compare, parity

GPT2 = (
    "--decoder-normalize-before --decoder-learned-pos --share-decoder-input-output-embed"
    " --activation-fn gelu_accurate --no-scale-embedding --decoder-input-dim 16 --decoder-output-dim 16"
)
TEXTS = ["w1 w2 w3 w17", "w7 w7", "w4 w19 w0 w11 w3 w3"]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """The fairseq one."""
    folder = tmp_path_factory.mktemp("parity")
    return fairseq_support.write_model(folder, "transformer_lm", more=GPT2, scale=1.7)


@pytest.fixture(scope="module")
def fairseq_engine(checkpoint):
    return fairseq_support.load(checkpoint)


def port(checkpoint, folder, symbols=fairseq_support.SYMBOLS):
    """The same weights as a Hugging Face folder; ``symbols`` are the words in the order of their ids."""
    weights = torch.load(checkpoint, weights_only=False)["model"]
    words = ["<s>", "<pad>", "</s>", "<unk>", *symbols]
    config = transformers.GPT2Config(
        vocab_size=len(words),
        n_positions=24,
        n_embd=16,
        n_layer=1,
        n_head=2,
        n_inner=32,
        activation_function="gelu_new",
        bos_token_id=2,
        eos_token_id=2,
        pad_token_id=1,
    )
    network = transformers.GPT2LMHeadModel(config).eval()
    network.load_state_dict(renamed(weights), strict=False)
    network.save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    wrapped = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="</s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )
    wrapped.save_pretrained(folder)
    return HuggingFace.load(
        ModelSpec(name="port", backend="hf", path=str(folder)), "cpu", 1, lambda stage, fraction: None
    )


def renamed(weights):
    """fairseq's weights under GPT-2's names; its matrices are transposed, its positions begin after two."""
    layer = "decoder.layers.0."
    attention = [f"{layer}self_attn.{name}_proj." for name in "qkv"]
    found = {
        "transformer.wte.weight": weights["decoder.embed_tokens.weight"],
        "transformer.wpe.weight": weights["decoder.embed_positions.weight"][2:],
        "transformer.h.0.attn.c_attn.weight": torch.cat([weights[n + "weight"].T for n in attention], dim=1),
        "transformer.h.0.attn.c_attn.bias": torch.cat([weights[n + "bias"] for n in attention]),
    }
    for theirs, ours in {
        "attn.c_proj": "self_attn.out_proj",
        "mlp.c_fc": "fc1",
        "mlp.c_proj": "fc2",
    }.items():
        found[f"transformer.h.0.{theirs}.weight"] = weights[f"{layer}{ours}.weight"].T
        found[f"transformer.h.0.{theirs}.bias"] = weights[f"{layer}{ours}.bias"]
    norms = {"h.0.ln_1": "layers.0.self_attn_layer_norm", "h.0.ln_2": "layers.0.final_layer_norm"}
    for theirs, ours in {**norms, "ln_f": "layer_norm"}.items():
        for part in ("weight", "bias"):
            found[f"transformer.{theirs}.{part}"] = weights[f"decoder.{ours}.{part}"]
    found["lm_head.weight"] = found["transformer.wte.weight"]
    return {name: weight.contiguous() for name, weight in found.items()}


@pytest.fixture(scope="module")
def hf_engine(checkpoint, tmp_path_factory):
    return port(checkpoint, tmp_path_factory.mktemp("port"))


def scored(engine, text, **fields):
    asked = Request(
        id=1,
        model="m",
        prompt="",
        task="score",
        target=text,
        params=Params(logprobs=100),
        lane="exact",
        **fields,
    )
    engine.admit(asked)
    heard = []
    while not (heard and isinstance(heard[-1], Finished | Failed)):
        heard += engine.step()
    assert isinstance(heard[-1], Finished), heard[-1]
    return [event for event in heard if isinstance(event, Step)]


def verdict(hf, fs, *, one_vocabulary, **fields):
    texts = [
        compare(
            at,
            scored(hf, text, **fields),
            scored(fs, text, **fields),
            one_vocabulary=one_vocabulary,
            allowed=1e-4,
        )
        for at, text in enumerate(TEXTS, 1)
    ]
    return parity("hf", "fs", texts, one_vocabulary=one_vocabulary, allowed=1e-4)


def test_one_model_in_two_backends_passes(hf_engine, fairseq_engine):
    found = verdict(hf_engine, fairseq_engine, one_vocabulary=False)
    assert found.passed, found
    assert found.positions == 12
    assert found.compared >= 12 * 20
    assert found.largest < 1e-4
    assert found.first_choices == 12


def test_over_whole_distributions_too(hf_engine, fairseq_engine):
    found = verdict(hf_engine, fairseq_engine, one_vocabulary=True, distributions=True)
    assert found.largest < 1e-4 and found.mean_kl < 1e-6


def test_a_permuted_vocabulary_fails(checkpoint, fairseq_engine, tmp_path):
    words = list(fairseq_support.SYMBOLS)
    found = verdict(port(checkpoint, tmp_path, words[::-1]), fairseq_engine, one_vocabulary=False)
    assert not found.passed
    assert found.failure.cause == "numbers"
    assert found.largest > 0.1


def test_other_weights_fail(checkpoint, fairseq_engine, tmp_path):
    other = fairseq_support.write_model(tmp_path / "other", "transformer_lm", more=GPT2, scale=1.7, seed=5)
    found = verdict(port(other, tmp_path / "port"), fairseq_engine, one_vocabulary=False)
    assert not found.passed
