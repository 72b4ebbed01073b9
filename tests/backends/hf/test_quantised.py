"""Weights in fewer bits: GGUF files, checkpoints that were quantised, and the option that does it at load."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
gguf = pytest.importorskip("gguf")

from backends import fingerprint
from backends.base import BackendError
from backends.hf import HuggingFace
from backends.hf.checkpoint import quantised
from tests.backends.hf import gguf_writer
from tests.backends.hf.support import TEXT, ask, reference, refused, request, run

PROMPTS = TEXT[:2]


@pytest.fixture(scope="module")
def files(checkpoint, network, tokenizer, tmp_path_factory):
    """A folder with the Llama as a GGUF file, in float32 and in eight bits."""
    folder = tmp_path_factory.mktemp("gguf")
    gguf_writer.write(folder / "plain.gguf", network("llama"), tokenizer)
    gguf_writer.write(folder / "small.gguf", network("llama"), tokenizer, gguf.GGMLQuantizationType.Q8_0)
    return folder


@pytest.fixture
def copy(checkpoint, tmp_path):
    return Path(shutil.copytree(checkpoint("llama"), tmp_path / "copy"))


# -- GGUF ------------------------------------------------------------------------------------------------


def test_a_gguf_file_is_the_model_it_was_made_from(files, load, network, tokenizer):
    engine = load(files / "plain.gguf")
    about = engine.capabilities
    assert HuggingFace.recognises(files / "plain.gguf") and not HuggingFace.recognises(files / "none.gguf")
    assert about.notes == ("a GGUF file, its weights unpacked to float32",) and about.dtype == "float32"
    assert about.checkpoint_hash == fingerprint.files([files / "plain.gguf"])
    assert about.parameters == sum(weight.numel() for weight in network("llama").parameters())
    for heard, text in zip(run(engine, *map(request, range(2), PROMPTS), gap=3), PROMPTS, strict=True):
        ids = tokenizer(text)["input_ids"]
        assert [heard.tokens] == reference(network("llama"), ids)
        assert heard.started.prompt_ids == tuple(ids)
        assert heard.text == tokenizer.decode(heard.tokens, skip_special_tokens=True)


def test_a_quantised_gguf_file_in_a_folder_is_nearly_so(files, load, engine):
    small = load(files, options={"gguf_file": "small.gguf"})
    plain = engine("llama")
    forced = ask(plain, PROMPTS[0]).tokens
    exact, near = (ask(one, PROMPTS[0], prefix_ids=tuple(forced)) for one in (plain, small))
    lps = [[step.raw_lp for step in one.steps] for one in (exact, near)]
    assert lps[1] == pytest.approx(lps[0], abs=0.2) and lps[0] != lps[1]


def test_gguf_files_that_are_not_there_or_not_such(files, load, tmp_path):
    error = refused(load, files, options={"gguf_file": "other.gguf"})
    assert error.kind == "missing_file" and "plain.gguf, small.gguf" in error.hint
    assert "plain.gguf" in refused(load, files).hint  # a folder without config.json
    for data, words in (
        (b"version https://git-lfs.github.com/spec/v1", "LFS"),
        (b"PK\x03\x04", "not a GGUF"),
    ):
        (tmp_path / "bad.gguf").write_bytes(data)
        for error in (
            refused(load, tmp_path / "bad.gguf"),
            refused(load, tmp_path, options={"gguf_file": "bad.gguf"}),
        ):
            assert error.kind == "not_a_checkpoint" and words in error.message
            assert error.message.count("bad.gguf") == 1


def test_a_gguf_file_that_was_cut_short(files, load, tmp_path):
    whole = (files / "plain.gguf").read_bytes()
    for size in (20, 3000, len(whole) - 500):
        (tmp_path / "cut.gguf").write_bytes(whole[:size])
        error = refused(load, tmp_path / "cut.gguf")
        assert error.kind == "not_a_checkpoint" and "cut.gguf" in error.message


def test_a_gguf_file_of_a_kind_that_transformers_cannot_read(load, tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "strange.gguf", "strange")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    error = refused(load, tmp_path / "strange.gguf")
    assert error.kind == "unsupported" and "strange" in error.message and "made from" in error.hint


def test_gguf_without_its_package(files, load, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    error = refused(load, files / "plain.gguf")
    assert error.kind == "missing_package" and error.hint == "pip install 'multigpu-repl[gguf]'"


# -- quantised -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("bits", "package", "apart"), [("int8", "torchao", 0.2), ("int4", "bitsandbytes", 3.0)]
)
def test_weights_are_quantised_at_load(bits, package, apart, checkpoint, load, network, engine, tokenizer):
    pytest.importorskip(package)
    small = load(checkpoint("llama"), options={"quantise": bits})
    about = small.capabilities
    assert about.dtype == f"{bits}/float32"
    assert about.notes == (f"weights in {bits} (made at load by {package}), computed in float32",)
    assert about.slots == 4 and about.parameters == engine("llama").capabilities.parameters
    forced = tuple(ask(engine("llama"), PROMPTS[0]).tokens)
    exact, near = (ask(one, PROMPTS[0], prefix_ids=forced) for one in (engine("llama"), small))
    lps = [[step.raw_lp for step in one.steps] for one in (exact, near)]
    assert lps[0] != lps[1] and lps[1] == pytest.approx(lps[0], abs=apart)
    # Together as alone, and as transformers' generate gives them.
    alone = [ask(small, text).tokens for text in PROMPTS]
    assert [one.tokens for one in run(small, *map(request, range(2), PROMPTS), gap=2)] == alone
    own = small._model.network
    assert alone == [reference(own, tokenizer(text)["input_ids"])[0] for text in PROMPTS]


def test_a_checkpoint_that_was_quantised(checkpoint, load, tmp_path, tokenizer):
    pytest.importorskip("bitsandbytes")
    how = transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_compute_dtype=torch.float32)
    network = transformers.AutoModelForCausalLM.from_pretrained(
        checkpoint("llama"), quantization_config=how, device_map={"": "cpu"}
    )
    network.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    small = load(tmp_path)
    assert small.capabilities.dtype == "bitsandbytes/float32"
    assert small.capabilities.notes == ("weights quantised by bitsandbytes, computed in float32",)
    assert [ask(small, PROMPTS[0]).tokens] == reference(network, tokenizer(PROMPTS[0])["input_ids"])


@pytest.mark.parametrize(
    ("method", "install"),
    [("gptq", "pip install gptqmodel"), ("hqq", "pip install hqq"), ("torchao", "multigpu-repl[quantised]")],
)
def test_the_package_of_a_quantised_checkpoint_is_named(copy, load, monkeypatch, method, install):
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": method}}))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    error = refused(load, copy)
    assert error.kind == "missing_package" and f"quantised by {method}" in error.message
    assert install in error.hint


@pytest.mark.parametrize(("bits", "package"), [("int8", "torchao"), ("int4", "bitsandbytes")])
def test_the_package_that_quantises_is_named(checkpoint, load, monkeypatch, bits, package):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    error = refused(load, checkpoint("llama"), options={"quantise": bits})
    assert error.kind == "missing_package" and package in error.message and "[quantised]" in error.hint


def test_what_does_not_go_together(files, copy, load, monkeypatch):
    monkeypatch.setattr(quantised, "needed", lambda spec, method: None)
    for folder, spec, words in (
        (files / "plain.gguf", {"options": {"quantise": "int8"}}, "is a GGUF file"),
        (files / "plain.gguf", {"gpus": 2}, "one device"),
        (copy, {"options": {"quantise": "int4"}, "gpus": 2}, "one device"),
        (copy, {"options": {"quantise": "int4", "engine": "onnx"}}, "not quantised"),
    ):
        error = refused(load, folder, **spec)
        assert error.kind == "unsupported" and words in error.message and "take" in error.hint
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"quantization_config": {"quant_method": "awq"}}))
    assert "awq already" in refused(load, copy, options={"quantise": "int8"}).message
    assert refused(load, copy, options={"quantise": "int3"}).kind == "bad_parameter"


# -- attention -------------------------------------------------------------------------------------------


def test_attention_that_does_not_exist_or_cannot_run(checkpoint, load, monkeypatch):
    from backends.hf.checkpoint import implementations
    from repl.messages import ModelSpec

    error = refused(load, checkpoint("llama"), options={"attention": "flash_atention_2"})
    assert error.kind == "bad_parameter" and error.hint == "did you mean 'flash_attention_2'?"
    error = refused(load, checkpoint("llama"), options={"attention": "kernels-community/flash-attn"})
    assert error.kind == "bad_parameter" and "sdpa" in error.hint
    error = refused(load, checkpoint("llama"), options={"attention": "flash_attention_2"})
    assert error.kind == "unsupported" and "CPU" in error.message
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(BackendError) as caught:
        implementations.check(ModelSpec(name="tiny", backend="hf", path="x"), "flash_attention_2", "cuda:0")
    assert (
        caught.value.error.kind == "missing_package" and "pip install flash-attn" in caught.value.error.hint
    )


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_each_attention_gives_the_same_tokens(attention, checkpoint, load, engine):
    other = load(checkpoint("llama"), options={"attention": attention})
    assert other._model.network.config._attn_implementation == attention
    assert ask(other, PROMPTS[1]).tokens == ask(engine("llama"), PROMPTS[1]).tokens


def test_a_kind_that_has_not_got_the_attention(checkpoint, load):
    error = refused(load, checkpoint("bloom"), options={"attention": "sdpa"})
    assert error.kind == "unsupported" and "no attention of the kind sdpa" in error.message
