"""What is said where there is no GPU that torch can use."""

import pytest

torch = pytest.importorskip("torch")

from backends import cuda, registry
from backends.base import BackendError
from repl.demo import model_path
from repl.messages import ModelSpec

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


@pytest.mark.parametrize(("backend", "model"), [("hf", "lm-late"), ("fairseq", "num2digits")])
def test_a_model_for_a_gpu_is_refused_with_torchs_reason(backend: str, model: str) -> None:
    if registry.missing(backend):
        pytest.skip(f"{backend} is not installed")
    spec = ModelSpec(name="m", backend=backend, path=str(model_path(model)))
    with pytest.raises(BackendError) as caught:
        registry.find(backend).load(spec, "cuda:0", 1, lambda stage, fraction: None)
    error = caught.value.error
    assert error.kind == "unsupported" and error.message.startswith("model 'm' cannot run on cuda:0: ")
    assert "CUDA" in error.message or "NVIDIA" in error.message
    assert "doctor" in error.hint


def test_a_cpu_needs_nothing() -> None:
    cuda.begin("m", "cpu")


def test_float32_is_not_shortened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "init", lambda: None)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    cuda.begin("m", "cuda:0")
    assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32
