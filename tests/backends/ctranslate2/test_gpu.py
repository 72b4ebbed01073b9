"""What is decided for a GPU, and what is said of one that does not do its work."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ctranslate2 = pytest.importorskip("ctranslate2")
torch = pytest.importorskip("torch")
save_file = pytest.importorskip("safetensors.torch").save_file

from backends import faults
from backends.base import BackendError
from backends.ctranslate2 import CTranslate2, cublas
from backends.ctranslate2 import load as loading
from backends.ctranslate2.engine import CTranslate2Engine
from backends.ctranslate2.library import Library
from backends.ctranslate2.options import Options
from repl.demo import model_path
from repl.messages import ModelSpec
from tests.backends.ctranslate2.conftest import Load
from tests.backends.ctranslate2.support import fault, request
from tests.conftest import require_tool

AMPERE = {"float32", "float16", "bfloat16", "int8", "int8_float32", "int8_float16", "int8_bfloat16"}
VOLTA = AMPERE - {"bfloat16", "int8_bfloat16"}
PASCAL = {"float32", "int8", "int8_float32"}


def spec(path: Path, dtype: str = "auto") -> ModelSpec:
    return ModelSpec(name="m", backend="ctranslate2", path=str(path), dtype=dtype)


@pytest.mark.parametrize(
    ("possible", "written", "chosen"),
    [
        (AMPERE, "bfloat16", "bfloat16"),
        (AMPERE, "float16", "float16"),
        (AMPERE, "float32", "float16"),
        (VOLTA, "bfloat16", "float16"),
        (PASCAL, "bfloat16", "float32"),
    ],
)
def test_the_type_is_one_that_the_gpu_has_and_the_weights_fit_into(
    possible: set[str], written: str, chosen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctranslate2, "get_supported_compute_types", lambda device, index: possible)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "llama", "dtype": written}))
    save_file({"weight": torch.zeros(1)}, tmp_path / "model.safetensors")
    assert loading._compute_type(spec(tmp_path), Options(), "cuda:0") == chosen


def test_a_fairseq_checkpoint_goes_into_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctranslate2, "get_supported_compute_types", lambda device, index: AMPERE)
    assert loading._compute_type(spec(model_path("num2digits")), Options(), "cuda:0") == "float16"


def test_a_type_that_the_gpu_lacks_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctranslate2, "get_supported_compute_types", lambda device, index: VOLTA)
    with pytest.raises(BackendError, match="not possible on cuda:0"):
        loading._compute_type(spec(model_path("lm-late"), "bfloat16"), Options(), "cuda:0")


@pytest.mark.parametrize(
    "said",
    [
        "CUDA failed with error CUDA driver version is insufficient for CUDA runtime version",
        "This CTranslate2 package was not compiled with CUDA support",
    ],
)
def test_a_gpu_that_cannot_be_used_is_told_as_that(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(device: str, index: int) -> set[str]:
        raise RuntimeError(said)

    monkeypatch.setattr(ctranslate2, "get_supported_compute_types", refuse)
    with pytest.raises(BackendError) as caught:
        CTranslate2.load(spec(model_path("lm-late")), "cuda:0", 1, lambda *_: None)
    assert caught.value.error.kind == "unsupported" and said in caught.value.error.message
    assert "doctor" in caught.value.error.hint


@pytest.mark.parametrize(
    ("said", "kind", "hint"),
    [
        ("Library libcublas.so.12 is not found or cannot be loaded", "missing_package", "nvidia-cublas-cu12"),
        ("CUDA failed with error out of memory", "out_of_memory", "int8"),
    ],
)
def test_what_a_first_answer_lacks_is_said(
    said: str, kind: str, hint: str, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    load(model_path("lm-late"))  # converted before anything fails

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError(said)

    monkeypatch.setattr(Library, "decode", refuse)
    with pytest.raises(BackendError) as caught:
        load(model_path("lm-late"))
    assert caught.value.error.kind == kind
    assert hint in caught.value.error.hint


@pytest.fixture
def lost(load: Load, monkeypatch: pytest.MonkeyPatch) -> tuple[CTranslate2Engine, list[int]]:
    """An engine that takes its device for a GPU, and the statuses with which the process would be left."""
    here = load(model_path("lm-late"))
    left: list[int] = []
    monkeypatch.setattr(faults.os, "_exit", left.append)
    return CTranslate2Engine(here._library, here._reader, here.capabilities, "cuda:0"), left


def test_a_process_whose_gpu_refuses_everything_ends(
    lost: tuple[CTranslate2Engine, list[int]],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    engine, left = lost

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("CUDA failed with error an illegal memory access was encountered")

    monkeypatch.setattr(Library, "decode", refuse)
    fault(engine, request("the"))
    assert left == [faults.BROKEN]
    assert "illegal memory access" in capfd.readouterr().err


def test_any_other_fault_costs_its_request_alone(
    lost: tuple[CTranslate2Engine, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, left = lost
    decode, failed = Library.decode, []

    def once(self: Library, *arguments: Any, **named: Any) -> Any:
        if not failed:
            failed.append(True)
            raise RuntimeError("CUDA failed with error invalid configuration argument")
        return decode(self, *arguments, **named)

    monkeypatch.setattr(Library, "decode", once)
    assert fault(engine, request("the")).error.kind == "internal"
    assert not left


def test_cublas_is_found_where_pip_puts_it(tmp_path: Path) -> None:
    folder = tmp_path / "nvidia/cublas/lib"
    folder.mkdir(parents=True)
    for name in cublas.NAMES:
        command = [
            require_tool("cc"),
            "-shared",
            "-o",
            str(folder / name),
            f"-Wl,-soname,{name}",
            "-xc",
            "/dev/null",
        ]
        subprocess.run(command, check=True)
    ask = "from backends.ctranslate2.cublas import *; load(); ctypes.CDLL(NAMES[1])"
    env = {"PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-c", ask], check=True, env=env)
    bare = subprocess.run([sys.executable, "-c", ask], env={}, capture_output=True, text=True, check=False)
    assert bare.returncode and "libcublas.so.12" in bare.stderr
