"""Every way in which a model can fail to load ends in words that say what to do."""

from tests.backends.fairseq.support import SYMBOLS, Told, load, request, spec, write_dictionary, write_model

# isort: split
import errno
import logging
import os
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from backends import fingerprint, registry
from backends.base import Backend, BackendError
from backends.fairseq import Fairseq
from backends.fairseq.engine import FairseqEngine
from backends.fairseq.files import languages
from repl.messages import Error
from repl.params import BY_COORDINATOR, PARAMETERS


def refused(path: Path | str, device: str = "cpu", **more: Any) -> Error:
    with pytest.raises(BackendError) as caught:
        Fairseq.load(spec(path, **more), device, 1, lambda stage, fraction: None)
    assert caught.value.error.hint or caught.value.error.kind == "missing_file"
    return caught.value.error


def state_of(path: Path) -> Any:
    return torch.load(path, weights_only=False)


def test_the_description_is_complete() -> None:
    backend: type[Backend] = Fairseq
    assert registry.find("fairseq") is backend
    assert set(Fairseq.parameters) == set(PARAMETERS) - set(BY_COORDINATOR)
    assert all(support.note for support in Fairseq.parameters.values() if support.level == "differs")
    assert registry.missing("fairseq") == []
    assert {r.install for r in Fairseq.requires} == {"multigpu-repl install fairseq"}


def test_what_a_loaded_model_says_of_itself(translation: Path, language_model: Path) -> None:
    seen = load(translation).capabilities
    assert (seen.kind, seen.slots, seen.vocab_size, seen.dtype) == ("seq2seq", 16, 24, "float32")
    pieces = [s.encode() for s in ["<s>", "<pad>", "</s>", "<unk>", *SYMBOLS]]
    assert seen.vocab_fingerprint == fingerprint.vocabulary(pieces)
    assert seen.checkpoint_hash == fingerprint.files([translation])
    causal = load(language_model).capabilities
    assert causal.kind == "causal"
    weights = state_of(language_model)["model"]
    tables = ("decoder.version", "decoder.embed_positions._float_tensor")
    assert causal.parameters == sum(w.numel() for name, w in weights.items() if name not in tables)


def test_progress_is_told(translation: Path) -> None:
    stages: list[str] = []
    Fairseq.load(spec(translation), "cpu", 1, lambda stage, fraction: stages.append(stage))
    assert stages == ["libraries", "checkpoint", "weights", "warm-up"]


def test_nothing_is_written_and_logging_is_left_alone(
    translation: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    handlers = logging.getLogger().handlers[:]
    Told(load(translation), request("w1"))
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger().handlers == handlers


# -- paths -------------------------------------------------------------------------------------------------


def test_a_folder_stands_for_the_checkpoint_in_it(translation: Path, tmp_path: Path) -> None:
    folder = write_model(tmp_path / "one", name="epoch7.pt").parent
    assert load(folder).capabilities.parameters
    write_model(folder, name="epoch8.pt")
    assert "epoch7.pt, epoch8.pt" in refused(folder).message
    write_model(folder, name="checkpoint_best.pt", seed=9)
    expected = fingerprint.files([folder / "checkpoint_best.pt"])
    assert load(folder).capabilities.checkpoint_hash == expected


def test_recognises_by_name(translation: Path, tmp_path: Path) -> None:
    folder = translation.parent
    assert Fairseq.recognises(translation)
    assert Fairseq.recognises(folder)
    assert Fairseq.recognises(Path(f"{translation}:{folder / 'other.pt'}"))
    assert not Fairseq.recognises(Path(f"{translation}:{folder / 'none.pt'}"))
    assert not Fairseq.recognises(tmp_path)
    (tmp_path / "weights.pt").touch()
    assert not Fairseq.recognises(tmp_path)
    assert not Fairseq.recognises(tmp_path / "dict.txt")
    assert registry.recognise(folder) == "fairseq"


@pytest.mark.parametrize("path", ["none.pt", "empty", "model.pt:none.pt"])
def test_a_missing_checkpoint_is_named(tmp_path: Path, path: str) -> None:
    write_model(tmp_path)
    (tmp_path / "empty").mkdir()
    name = ":".join(str(tmp_path / part) for part in path.split(":"))
    error = refused(name)
    assert error.kind == "missing_file"
    assert path.split(":")[-1] in error.message


@pytest.mark.parametrize("text", [b"hi\n", b"hello\n", b"not a pickle\n", b"[1]", b"\x80\x02}."])
def test_a_file_that_is_no_checkpoint_is_told_in_words(tmp_path: Path, text: bytes) -> None:
    path = write_model(tmp_path)
    path.write_bytes(text)
    error = refused(path)
    assert error.kind == "not_a_checkpoint"
    reason = error.message.partition("can be read: ")[2]
    assert len(reason.split()) > 2 and error.detail not in error.message.split("\n")


def test_a_file_that_may_not_be_read_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_model(tmp_path)

    def denied(*_args: Any) -> Any:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr("fairseq.checkpoint_utils.load_checkpoint_to_cpu", denied)
    error = refused(path)
    assert (error.message, error.hint) == (
        f"{path} cannot be read: Permission denied",
        "check its permissions",
    )


def test_dictionaries_elsewhere_and_nowhere(tmp_path: Path, translation: Path) -> None:
    bare = tmp_path / "bare" / "model.pt"
    bare.parent.mkdir()
    bare.write_bytes(translation.read_bytes())
    error = refused(bare)
    assert error.kind == "missing_file"
    assert "dict.src.txt and dict.tgt.txt" in error.message and "'data'" in error.hint
    engine = load(bare, data=str(translation.parent))
    assert Told(engine, request("w1 w2")).text == Told(load(translation), request("w1 w2")).text
    error = refused(bare, data=str(tmp_path / "nowhere"))
    assert (error.kind, "nowhere" in error.message) == ("missing_file", True)


def test_a_checkpoint_that_knows_no_languages(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    state = state_of(path)
    state["cfg"]["task"]["source_lang"] = state["cfg"]["task"]["target_lang"] = None
    torch.save(state, path)
    error = refused(path)
    assert "which languages" in error.message and "source_lang" in error.hint
    assert load(path, options={"source_lang": "src"}).capabilities.kind == "seq2seq"
    assert "dict.fr.txt" in refused(path, options={"source_lang": "src", "target_lang": "fr"}).message


def test_the_names_in_a_data_folder_tell_the_languages(tmp_path: Path) -> None:
    """fairseq-train leaves them out of the checkpoint when it was not given them."""
    names = ["dict.de.txt", "dict.en.txt", "train.en-de.en.bin", "notes.x-y-z.txt", "checkpoint-1.pt"]
    for name in names:
        (tmp_path / name).touch()
    assert languages(tmp_path, None, None) == ("en", "de")
    assert languages(tmp_path, "en", None) == languages(tmp_path, None, "de") == ("en", "de")
    assert languages(tmp_path, "de", None) == ("de", "en")
    assert languages(tmp_path, "fr", None) is None
    assert languages(tmp_path, "fr", "it") == ("fr", "it")
    (tmp_path / "train.en-de.en.bin").unlink()
    assert languages(tmp_path, None, None) is None
    assert languages(tmp_path, None, "en") == ("de", "en")


def test_the_wrong_dictionary_is_told_from_its_size(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    write_dictionary(tmp_path / "dict.tgt.txt", SYMBOLS[:5])
    error = refused(path)
    assert "dictionaries" in error.message and "'data'" in error.hint


def test_a_damaged_dictionary_is_named(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    (tmp_path / "dict.src.txt").write_text("a b c d\n")
    assert "dictionary format" in refused(path).message


# -- contents ----------------------------------------------------------------------------------------------


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:1500])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\n")


def weights_only(path: Path) -> None:
    torch.save(state_of(path)["model"], path)


def no_configuration(path: Path) -> None:
    torch.save({"model": state_of(path)["model"], "args": None}, path)


def a_tensor(path: Path) -> None:
    torch.save(torch.zeros(3), path)


@pytest.mark.parametrize("damage", [truncated, empty, text, weights_only, no_configuration, a_tensor])
def test_what_is_no_checkpoint_is_said_to_be_none(tmp_path: Path, damage: Any) -> None:
    path = write_model(tmp_path)
    damage(path)
    error = refused(path)
    assert error.kind == "not_a_checkpoint"
    assert str(path) in error.message and "weights_only" not in error.message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    path.chmod(0)
    assert refused(path).kind == "missing_file"


def test_weights_that_do_not_fit_the_arguments(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    state = state_of(path)
    del state["model"]["decoder.layers.0.fc1.weight"]
    torch.save(state, path)
    assert "transformer" in refused(path).message


def test_tasks_and_architectures_that_are_not_supported(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    state = state_of(path)
    state["cfg"]["task"]["_name"] = "masked_lm"
    torch.save(state, path)
    error = refused(path)
    assert (error.kind, "'masked_lm'" in error.message) == ("unsupported", True)
    assert "translation, language_modeling" in error.hint
    path = write_model(tmp_path)
    state = state_of(path)
    state["cfg"]["model"].arch = state["cfg"]["model"]._name = "my_plug_in"
    torch.save(state, path)
    error = refused(path)
    assert (error.kind, "'my_plug_in'" in error.message) == ("unsupported", True)
    assert "transformer_lm" in error.hint and "--user-dir" in error.hint


def test_paths_of_the_machine_it_was_trained_on_do_not_matter(tmp_path: Path) -> None:
    path = write_model(tmp_path)
    state = state_of(path)
    state["cfg"]["task"] |= {"data": "/nowhere", "eval_bleu": True, "eval_bleu_detok": "moses"}
    state["cfg"]["model"].encoder_embed_path = "/nowhere/glove.txt"
    torch.save(state, path)
    assert load(path).capabilities.kind == "seq2seq"


# -- settings ----------------------------------------------------------------------------------------------


def test_options_are_checked(translation: Path) -> None:
    error = refused(translation, options={"bpee": "x"})
    assert (error.kind, "bpee" in error.message) == ("bad_parameter", True)
    assert "sentencepiece_model" in error.hint
    assert "`str" in refused(translation, options={"bpe": 3}).message


def test_dtypes(translation: Path) -> None:
    assert refused(translation, dtype="float16").kind == "unsupported"
    assert refused(translation, dtype="int3").kind == "bad_parameter"
    engine = load(translation, dtype="bfloat16")
    assert engine.capabilities.dtype == "bfloat16"
    assert Told(engine, request("w1 w2", beam=2)).steps


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("dtype", ["auto", "float16", "bfloat16"])
def test_on_a_gpu(translation: Path, dtype: str) -> None:
    engine = Fairseq.load(spec(translation, dtype=dtype), "cuda:0", 1, lambda stage, fraction: None)
    assert isinstance(engine, FairseqEngine)
    for params in (
        {"beam": 3, "n": 3},
        {"temperature": 1.0, "seed": 1, "top_p": 0.9},
        {"no_repeat_ngram": 2},
    ):
        assert Told(engine, request("w1 w2", logprobs=2, **params)).steps
    on_cpu = Told(load(translation), request("w1 w2", temperature=1.0, seed=1))
    on_gpu = Told(engine, request("w1 w2", temperature=1.0, seed=1))
    if dtype == "auto":
        assert on_gpu.tokens == on_cpu.tokens


def test_a_missing_package_says_how_to_install_it(translation: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "backends.fairseq.engine")
    monkeypatch.setitem(sys.modules, "backends.fairseq.batch", None)
    error = refused(translation)
    assert (error.kind, error.hint) == ("missing_package", "multigpu-repl install fairseq")


def test_a_template_is_put_round_the_prompt(translation: Path) -> None:
    engine = load(translation, prompt_template="w3 {prompt} w4")
    assert Told(engine, request("w1")).started.prompt_text == "w3 w1 w4"
