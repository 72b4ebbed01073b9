"""Loading: what is recognised, what is refused and in which words, and what the engine says of itself."""

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from backends import fingerprint, registry
from backends.hf import HuggingFace, kinds, selftest
from backends.hf import load as loading
from backends.hf.state.causal import CausalRows
from backends.hf.state.recurrent import RecomputedRows, RecurrentRows
from repl.messages import ModelSpec
from repl.params import BY_COORDINATOR, PARAMETERS
from tests.backends.hf.support import ask, build, reference, refused, request, run


@pytest.fixture
def copy(checkpoint, tmp_path):
    """A copy of the GPT-2 checkpoint that a test may damage."""
    return Path(shutil.copytree(checkpoint("gpt2"), tmp_path / "copy"))


# -- the description -------------------------------------------------------------------------------------


def test_the_backend_is_registered_and_describes_every_parameter():
    assert registry.find("hf") is HuggingFace
    assert set(HuggingFace.parameters) == set(PARAMETERS) - set(BY_COORDINATOR)


def test_importing_the_backend_imports_no_torch():
    code = "import sys, backends.hf; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_recognises_folders_with_a_model_type(checkpoint, tmp_path):
    assert HuggingFace.recognises(checkpoint("t5"))
    assert not HuggingFace.recognises(tmp_path)
    (tmp_path / "config.json").write_text("[1")
    assert not HuggingFace.recognises(tmp_path)
    (tmp_path / "config.json").write_text('{"arch": "transformer"}')
    assert not HuggingFace.recognises(tmp_path)
    assert not HuggingFace.recognises(tmp_path / "config.json")


def test_capabilities(engine, network, tokenizer):
    for kind, name in (("gpt2", "causal"), ("t5", "seq2seq")):
        about = engine(kind).capabilities
        assert (about.kind, about.dtype, about.slots, about.chat) == (name, "float32", 4, False)
        assert about.vocab_size == len(tokenizer) and about.resumes
        assert about.parameters == sum(w.numel() for w in network(kind).parameters())
        assert about.checkpoint_hash.startswith("sha256:")
    assert engine("gpt2").capabilities.vocab_fingerprint == engine("t5").capabilities.vocab_fingerprint
    assert engine("gpt2").capabilities.checkpoint_hash != engine("t5").capabilities.checkpoint_hash
    assert engine("gpt2").capabilities.max_prompt == 128


def test_progress_names_the_stages(checkpoint):
    stages = []
    spec = ModelSpec(name="tiny", backend="hf", path=str(checkpoint("gpt2")))
    HuggingFace.load(spec, "cpu", 1, lambda stage, fraction: stages.append(stage))
    assert stages == ["libraries", "configuration", "tokenizer", "weights", "self-test"]


def test_slots_and_dtype_of_the_configuration(checkpoint, load):
    engine = load(checkpoint("gpt2"), slots=2, dtype="bfloat16")
    assert engine.capabilities.slots == 2 and engine.capabilities.dtype == "bfloat16"
    heard = run(engine, *(request(i, "the cat") for i in range(3)))
    assert heard[0].end.batch == 2 and all(one.tokens for one in heard)


def test_a_checkpoint_in_half_precision_is_computed_in_float32_on_a_cpu(copy, load):
    build("gpt2", 340).to(torch.bfloat16).save_pretrained(copy)
    about = load(copy).capabilities
    assert about.dtype == "float32"
    assert about.notes == ("computes in float32 on this device; the checkpoint is stored in bfloat16",)


@pytest.mark.parametrize(
    ("stored", "bf16", "chosen"),
    [
        (torch.bfloat16, True, torch.bfloat16),
        (torch.float16, True, torch.float16),
        (torch.float32, True, torch.bfloat16),
        (torch.float32, False, torch.float16),
        (torch.bfloat16, False, torch.float16),
        (None, True, torch.bfloat16),
    ],
)
def test_dtype_for_a_gpu(stored, bf16, chosen, monkeypatch):
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: bf16 or including_emulation
    )
    config = transformers.GPT2Config(dtype=stored)
    spec = ModelSpec(name="tiny", backend="hf", path="x")
    assert loading.choose_dtype(spec, config, "cuda:0")[0] == chosen


# -- ways to keep rows -----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["gpt2", "mamba"])
def test_recomputing_everything_is_right(kind, network, checkpoint, load, monkeypatch, tokenizer):
    monkeypatch.setattr(selftest, "passes", lambda network, make, together: make.func is RecomputedRows)
    engine = load(checkpoint(kind))
    assert engine.capabilities.slots == 1
    assert any("reads the whole text again" in note for note in engine.capabilities.notes)
    ids = tokenizer("that was")["input_ids"]
    assert [ask(engine, "that was").tokens] == reference(network(kind), ids)
    samples = ask(engine, "that was", n=2, temperature=1.0, seed=1)
    assert len(samples.end.hypotheses) == 2
    assert ask(engine, "that was", resume=tuple(samples.tokens[:3])).tokens[:3] == samples.tokens[:3]


def test_a_model_whose_batches_differ_is_served_one_at_a_time(network, monkeypatch):
    positions = CausalRows.join

    def misplaced(self, other):
        positions(self, other)
        self._pads = [gap + 1 for gap in self._pads]

    assert selftest.passes(network("gpt2"), lambda: CausalRows(network("gpt2")), together=True)
    monkeypatch.setattr(CausalRows, "join", misplaced)
    choice = kinds.choose_rows(network("gpt2"), None, "cpu")
    assert (choice.slots, choice.ragged) == (1, False)
    assert choice.notes == ("one request at a time: batched answers would differ",)


@pytest.mark.parametrize("kind", ["t5", "bart"])
@pytest.mark.parametrize(("strange", "used", "batch"), [((), {4}, 2), ((4,), {2}, 2), ((2, 4), set(), 1)])
def test_padding_is_masked_as_the_network_takes_it(
    strange, used, batch, kind, checkpoint, load, engine, network, monkeypatch
):
    """By ready-made masks where they go, else by the common ones; where neither does nothing is padded."""
    taken = set()
    inner = type(network(kind)).forward

    def choosy(self, *args, attention_mask=None, **kwargs):
        if attention_mask is not None and not attention_mask.all():
            taken.add(attention_mask.dim())
            if attention_mask.dim() in strange:
                raise ValueError("what is this?")
        return inner(self, *args, attention_mask=attention_mask, **kwargs)

    asked = [request(i, prompt) for i, prompt in enumerate(["the cat", "that was that and the hat"])]
    wanted = run(engine(kind), *asked)
    monkeypatch.setattr(type(network(kind)), "forward", choosy)
    made = load(checkpoint(kind))
    taken.clear()
    found = run(made, *asked)
    assert (taken, {one.end.batch for one in found}) == (used, {batch})
    assert [one.tokens for one in found] == [one.tokens for one in wanted]
    assert made.capabilities.notes == ((kinds._APART,) if batch == 1 else ())


def test_a_loop_that_never_agrees_is_told(network, monkeypatch):
    monkeypatch.setattr(selftest, "passes", lambda *_, **__: False)
    for kind in ("gpt2", "t5"):
        assert any("self-test failed" in note for note in kinds.choose_rows(network(kind), None, "cpu").notes)


def test_the_self_test_notices_small_faults(network):
    """The wrong position for one token is enough, even where positions hardly matter."""

    class Shifted(CausalRows):
        def decode(self, tokens):
            self._pads = [gap - 1 for gap in self._pads]
            logits = super().decode(tokens)
            self._pads = [gap + 1 for gap in self._pads]
            return logits

    model = network("gpt2")
    assert selftest.deviation(model, lambda: CausalRows(model), together=True) < 1e-4
    assert selftest.deviation(model, lambda: Shifted(model), together=False) > 0.02


def test_recurrent_models_take_turns_when_asked_for_more_slots(checkpoint, load):
    engine = load(checkpoint("mamba"), slots=3)
    alone = [ask(engine, p).tokens for p in ("the cat", "that was")]
    heard = run(engine, request(1, "the cat"), request(2, "that was"), gap=2)
    assert [one.tokens for one in heard] == alone and heard[0].end.batch == 1
    assert RecurrentRows.__doc__


# -- refusals --------------------------------------------------------------------------------------------


def test_missing_folder(load, tmp_path):
    error = refused(load, tmp_path / "nowhere")
    assert error.kind == "missing_file" and str(tmp_path / "nowhere") in error.message


def test_a_file_instead_of_a_folder(load, copy):
    error = refused(load, copy / "model.safetensors")
    assert error.kind == "not_a_checkpoint" and "folder" in error.hint


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "no config.json"), ("{", "unreadable config.json"), ("{}", "without model_type")],
)
def test_a_folder_without_a_usable_configuration(load, copy, content, words):
    (copy / "config.json").unlink()
    if content is not None:
        (copy / "config.json").write_text(content)
    error = refused(load, copy)
    assert error.kind == "not_a_checkpoint" and words in error.message


def test_a_folder_without_weights(load, copy):
    (copy / "model.safetensors").unlink()
    error = refused(load, copy)
    assert error.kind == "not_a_checkpoint" and "no weights" in error.message


@dataclass
class Damage:
    words: str

    def __call__(self, file):
        data = file.read_bytes()
        match self.words:
            case "header says":
                data = data[:-100]
            case "cut short":
                data = data[:6]
            case "LFS pointer":
                data = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n"
            case "damaged header":
                data = data[:9] + b"\xff\xfe" + data[11:]
        file.write_bytes(data)


@pytest.mark.parametrize("words", ["header says", "cut short", "LFS pointer", "damaged header"])
def test_damaged_weights_are_named(load, copy, words):
    Damage(words)(copy / "model.safetensors")
    error = refused(load, copy)
    assert error.kind == "not_a_checkpoint"
    assert "model.safetensors" in error.message and words in error.message


def test_weights_that_are_not_all_there(load, copy):
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    gone = sorted(weights)[3]
    del weights[gone]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    error = refused(load, copy)
    assert error.kind == "not_a_checkpoint" and "1 weights are not in the checkpoint" in error.message
    assert gone in error.message


def test_no_tokenizer(load, copy):
    for file in copy.glob("*token*"):
        file.unlink()
    assert "tokenizer" in refused(load, copy).message


def test_kinds_that_do_not_write_text(load, copy):
    config = transformers.BertConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, vocab_size=340
    )
    transformers.BertForTokenClassification(config).save_pretrained(copy)
    error = refused(load, copy)
    assert error.kind == "unsupported"
    assert "BertForTokenClassification" in error.message and "encoder-decoder" in error.hint


def test_code_of_the_checkpoint_is_not_run(load, copy):
    config = json.loads((copy / "config.json").read_text())
    config |= {
        "model_type": "homemade",
        "auto_map": {"AutoConfig": "own.Config", "AutoModelForCausalLM": "own.Model"},
    }
    (copy / "config.json").write_text(json.dumps(config))
    (copy / "own.py").write_text("raise SystemExit('this code ran')")
    error = refused(load, copy)
    assert error.kind == "untrusted" and "remote-code" in error.hint


def test_pickled_weights_are_read_as_data(load, copy):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (copy / "ran",))

    network = build("gpt2", 340)
    (copy / "model.safetensors").unlink()
    torch.save(network.state_dict(), copy / "pytorch_model.bin")
    assert ask(load(copy)).end.reason
    torch.save(network.state_dict() | {"x": Evil()}, copy / "pytorch_model.bin")
    assert refused(load, copy).kind in ("not_a_checkpoint", "untrusted")
    assert not (copy / "ran").exists()


def test_a_name_of_the_hub_that_cannot_be_fetched(load):
    error = refused(load, "nobody/has-this-model")
    assert error.kind == "missing_file"
    assert "nobody/has-this-model" in error.message and "hub" in error.message


def test_dtypes_that_do_not_exist(load, checkpoint):
    error = refused(load, checkpoint("gpt2"), dtype="float13")
    assert error.kind == "bad_parameter" and "float13" in error.message and "bfloat16" in error.hint


def test_options_that_do_not_exist(load, checkpoint):
    error = refused(load, checkpoint("gpt2"), options={"atention": "eager"})
    assert error.kind == "bad_parameter" and "atention" in error.message and "attention" in error.hint


def test_out_of_memory_while_loading(load, checkpoint, monkeypatch):
    def full(*args, **kwargs):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried ...")

    monkeypatch.setattr(transformers.AutoModelForCausalLM, "from_pretrained", full)
    error = refused(load, checkpoint("gpt2"))
    assert error.kind == "out_of_memory" and "cpu" in error.message and "dtype" in error.hint


def test_a_package_that_is_missing(load, checkpoint, monkeypatch):
    def needs(*args, **kwargs):
        raise ModuleNotFoundError("No module named 'sentencepiece'", name="sentencepiece")

    monkeypatch.setattr(transformers.AutoTokenizer, "from_pretrained", needs)
    error = refused(load, checkpoint("gpt2"))
    assert error.kind == "missing_package" and error.hint == "pip install sentencepiece"


# -- fingerprints ----------------------------------------------------------------------------------------


def test_the_hash_of_a_checkpoint_follows_its_contents(copy, monkeypatch):
    files = [copy / "config.json", copy / "model.safetensors"]
    first = fingerprint.files(files)
    assert fingerprint.files(files[::-1]) == first
    monkeypatch.setattr(fingerprint, "SMALL", 1000)
    monkeypatch.setattr(fingerprint, "SAMPLE", 100)
    sampled = fingerprint.files(files)
    assert sampled != first and fingerprint.files(files) == sampled
    (copy / "model.safetensors").write_bytes((copy / "model.safetensors").read_bytes()[:-1] + b"\x7f")
    assert fingerprint.files(files) != sampled
