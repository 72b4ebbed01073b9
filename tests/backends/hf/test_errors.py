"""What torch raises, in words, and what it means for the process."""

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from backends import faults
from backends.hf import errors, selftest
from tests.backends.hf.support import refused

CUBLAS = "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
        torch.AcceleratorError("CUDA error: out of memory"),
        RuntimeError(CUBLAS),
    ],
)
def test_want_of_memory_is_told_as_such(error):
    assert faults.is_out_of_memory(error)
    assert errors.while_generating(error, 3, 40).kind == "out_of_memory"


@pytest.fixture
def left(monkeypatch):
    """With a GPU in use; the statuses with which the process would have been left."""
    statuses = []

    def leave(status):
        statuses.append(status)
        raise SystemExit

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(faults.os, "_exit", leave)
    return statuses


def test_a_process_whose_gpu_refuses_everything_ends(left, monkeypatch, capfd):
    def refuse():
        raise torch.AcceleratorError(
            "CUDA error: an illegal memory access was encountered\nCUDA kernel errors"
        )

    monkeypatch.setattr(torch.cuda, "synchronize", refuse)
    with pytest.raises(SystemExit):
        errors.while_generating(RuntimeError("CUDA error: an illegal memory access was encountered"), 1, 9)
    assert left == [faults.BROKEN]
    assert "CUDA error: an illegal memory access" in capfd.readouterr().err


def test_any_other_fault_costs_its_request_alone(left, monkeypatch):
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    assert errors.while_generating(ValueError("no such mask"), 1, 9).kind == "internal"
    assert not left


@pytest.mark.parametrize("test", ["deviation", "_prompt"])
def test_a_self_test_without_memory_says_nothing_of_the_model(test, load, checkpoint, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(selftest, test, full)
    assert refused(load, checkpoint("llama")).kind == "out_of_memory"
