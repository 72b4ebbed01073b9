"""From a configuration to an engine: what is taken, and what is refused with which words."""

from tests.backends.fairseq import ready  # noqa: F401

# isort: split
import os
import pickle
import shutil
import sys
from pathlib import Path

import pytest

from backends import registry
from backends.base import BackendError
from backends.ctranslate2 import CTranslate2, folders
from repl.demo import model_path
from repl.messages import ModelSpec
from repl.params import BY_COORDINATOR, PARAMETERS
from tests.backends.ctranslate2.conftest import Load
from tests.backends.ctranslate2.support import ask, request
from tests.backends.fairseq import support as fairseq

DEMO = model_path("num2digits")


class Evil:
    def __reduce__(self):
        return os.mkdir, (os.environ["EVIL"],)


class TestConversion:
    def test_it_is_told_of_and_happens_once(self, load: Load, tmp_path: Path):
        stages: list[str] = []

        def progress(stage: str, fraction: float | None) -> None:
            stages.append(stage)

        for _ in range(2):
            load(DEMO / "model.pt", cache=tmp_path, progress=progress)
        assert stages.count("converting") == 1

    @pytest.mark.parametrize("architecture", ["transformer", "transformer_lm", "bart_base"])
    @pytest.mark.parametrize("archived", [True, False])
    def test_what_is_converted_starts_without_reading_the_weights_again(
        self, architecture: str, archived: bool, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        import torch
        from fairseq import checkpoint_utils

        path = fairseq.write_model(tmp_path / "model", architecture)
        state = torch.load(path, weights_only=False)
        torch.save(state, path, _use_new_zipfile_serialization=archived)
        first = load(path, cache=tmp_path)

        def read(*_: object, **__: object) -> None:
            raise AssertionError("the weights are read")

        monkeypatch.setattr(checkpoint_utils, "load_model_ensemble_and_task", read)
        second = load(path, cache=tmp_path)
        assert second.capabilities == first.capabilities
        assert ask(second, request("w1 w2")).tokens == ask(first, request("w1 w2")).tokens

    def test_another_type_is_another_conversion(self, load: Load, tmp_path: Path):
        sizes = {}
        for dtype in ("float32", "int8"):
            engine = load(DEMO / "model.pt", cache=tmp_path / dtype, dtype=dtype)
            (made,) = (tmp_path / dtype).rglob("model.bin")
            sizes[dtype] = made.stat().st_size
            assert engine.capabilities.dtype.startswith(dtype)
            assert ask(engine, request("forty two")).text == "4 2"
        assert sizes["int8"] < sizes["float32"] / 2

    def test_one_that_the_library_cannot_open_is_made_anew(
        self, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        from backends import cache

        load(DEMO / "model.pt", cache=tmp_path)
        (made,) = tmp_path.rglob("model.bin")
        made.write_bytes(made.read_bytes()[:1000])
        monkeypatch.setattr(cache, "_is_whole", lambda done: done.exists())  # as if nothing had shown it
        assert ask(load(DEMO / "model.pt", cache=tmp_path), request("forty two")).text == "4 2"

    def test_a_malicious_checkpoint_is_refused_before_anything_is_made(
        self, load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ):
        import torch

        folder, harm = tmp_path / "model", tmp_path / "harm"
        monkeypatch.setenv("EVIL", str(harm))
        path = fairseq.write_model(folder)
        state = torch.load(path, weights_only=False)
        torch.save({**state, "extra_state": Evil()}, path, pickle_module=pickle)
        with pytest.raises(BackendError) as caught:
            load(path, cache=tmp_path / "cache")
        assert caught.value.error.kind == "untrusted"
        assert not harm.exists()
        assert not list((tmp_path / "cache").rglob("*"))


class TestFolders:
    @pytest.fixture
    def converted(self, load: Load, tmp_path: Path) -> Path:
        """A folder as CTranslate2's own tools leave it, with the tokenizer's files."""
        folder = tmp_path / "lm"
        load(model_path("lm-late"), cache=tmp_path / "cache")
        (made,) = (tmp_path / "cache").rglob("model.bin")
        shutil.copytree(made.parent, folder)
        for name in ("tokenizer.json", "tokenizer_config.json"):
            shutil.copy(model_path("lm-late") / name, folder)
        return folder

    def test_it_is_recognised_and_answers_as_its_original(self, load: Load, converted: Path):
        assert registry.recognise(converted) == "ctranslate2"
        ours, original = load(converted), load(model_path("lm-late"))
        asked = request("The with statement", max_new=8)
        assert ask(ours, asked).text == ask(original, asked).text

    def test_without_a_tokenizer_it_is_refused(self, load: Load, converted: Path):
        (converted / "tokenizer.json").unlink()
        (converted / "tokenizer_config.json").unlink()
        with pytest.raises(BackendError) as caught:
            load(converted)
        assert caught.value.error.kind == "missing_file"
        assert "data" in caught.value.error.hint

    def test_a_model_of_another_kind_is_refused_by_name(self, tmp_path: Path):
        (tmp_path / "model.bin").write_bytes(b"\x06\0\0\0\x0c\0WhisperSpec\0rest")
        with pytest.raises(BackendError, match="WhisperSpec"):
            folders.is_causal(tmp_path)

    @pytest.mark.parametrize("content", [b"", b"\x06\0\0\0\xff\xff", b"\x06\0\0\0\x04\0\x1b[2J"])
    def test_what_is_no_model_is_said_to_be_none(self, tmp_path: Path, content: bytes):
        (tmp_path / "model.bin").write_bytes(content)
        with pytest.raises(BackendError) as caught:
            folders.is_causal(tmp_path)
        assert caught.value.error.kind == "not_a_checkpoint"

    def test_other_checkpoints_are_left_to_their_own_backends(self):
        assert registry.recognise(DEMO) == "fairseq"
        assert registry.recognise(model_path("lm-late")) == "hf"


def test_each_parameter_is_honoured_or_said_not_to_be():
    assert set(CTranslate2.parameters) == set(PARAMETERS) - set(BY_COORDINATOR)
    told = [support for support in CTranslate2.parameters.values() if support.level != "exact"]
    assert all(support.note for support in told)


class TestRefusals:
    def test_a_type_that_the_device_lacks_is_refused_with_the_list(self, load: Load):
        with pytest.raises(BackendError, match="not possible on cpu") as caught:
            load(DEMO / "model.pt", dtype="int4")
        assert "int8" in caught.value.error.hint

    def test_an_unknown_option_is_named(self, load: Load):
        with pytest.raises(BackendError, match="tokenscores"):
            load(DEMO / "model.pt", options={"tokenscores": True})
        with pytest.raises(BackendError, match="bpe"):
            load(model_path("lm-late"), options={"bpe": "gpt2"})

    def test_without_the_library_the_command_that_installs_it_is_said(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.delitem(sys.modules, "backends.ctranslate2.load", raising=False)
        monkeypatch.setitem(sys.modules, "ctranslate2", None)
        with pytest.raises(BackendError) as caught:
            CTranslate2.load(
                ModelSpec(name="tiny", backend="ctranslate2", path=str(DEMO)), "cpu", 1, lambda *_: None
            )
        assert caught.value.error.kind == "missing_package"
        assert caught.value.error.hint == "pip install 'multigpu-repl[ctranslate2]'"

    def test_what_transformers_knows_and_the_library_does_not_is_refused(self, load: Load, tmp_path: Path):
        import transformers

        config = transformers.MambaConfig(hidden_size=16, num_hidden_layers=1, vocab_size=32, state_size=4)
        transformers.MambaForCausalLM(config).save_pretrained(tmp_path)
        with pytest.raises(BackendError, match="cannot convert") as caught:
            load(tmp_path)
        assert "GPT2" in caught.value.error.hint
