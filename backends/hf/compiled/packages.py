"""Compiled steps for a CPU: made by a process of their own, kept in the user's cache, opened by the engine.

Of the network they hold the computation alone, no weights, so that models of one architecture share them.
"""

import json
import os
import pickle
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import torch
import transformers
from torch import Tensor

from backends import cache
from backends.base import BackendError
from backends.hf.compiled import outline
from backends.hf.compiled.steps import Step
from backends.hf.compiler import CODE, CONSTANTS, DONE, Job
from repl.paths import cache_dir

REVISION = 1
"""Of the way a step is compiled here; a new one leaves the old ones unused."""
_COMPILER = (sys.executable, "-P", "-m", "backends.hf.compiler")


class Package:
    """The compiled form of a step, which may have to be made first."""

    def __init__(self, step: Step, threads: int) -> None:
        self._name = _name(step, threads)
        self._outline = outline.dumped(step)
        self._threads = threads

    def folder(self) -> Path:
        """Where it lies, once it is there, which may take minutes; for any thread but the engine's.

        Raises ``BackendError``, and ``RuntimeError`` where it cannot be compiled.
        """
        return cache.folder(cache_dir() / "steps", self._name, self._make, lambda stage, fraction: None)

    def _make(self, folder: Path) -> None:
        wanted = os.environ.get("CXX", "g++" if sys.platform == "linux" else "clang++")
        if shutil.which(wanted) is None:
            raise RuntimeError(f"there is no C++ compiler {wanted}: install one, then /restart")
        compile_into(folder, self._outline, self._threads)


def compile_into(folder: Path, outlined: bytes, threads: int) -> None:
    """Have a process write the compiled form of a step into the new ``folder``."""
    folder.mkdir()
    process = subprocess.Popen(
        _COMPILER,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ
        | {
            "OMP_NUM_THREADS": "1",
            "CUDA_VISIBLE_DEVICES": "",
            # What lies there is run: not in a folder of a known name that all can write to, the default.
            "TORCHINDUCTOR_CACHE_DIR": str(cache_dir() / "inductor"),
        },
        process_group=0,
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        with suppress(BrokenPipeError):
            process.stdin.write(pickle.dumps(Job(sys.path, str(folder), threads, outlined)))
            process.stdin.flush()
        said = process.stdout.read()
    finally:
        with suppress(ProcessLookupError):  # it may have left a compiler behind
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    if said != DONE:
        raise RuntimeError(said.decode("utf-8", "replace") or "the process that compiles was ended")


def opened(folder: Path, step: Step) -> Callable[[], Tensor]:
    """What computes ``step`` as it was compiled, on the network's own weights; raises what torch does."""
    runner = torch._C._aoti.AOTIModelContainerRunnerCpu(str(folder / CODE), 1)
    weights = dict(step.eager.named_parameters(remove_duplicate=False))
    numbers = (
        weights
        | dict(step.eager.named_buffers(remove_duplicate=False))
        | torch.load(folder / CONSTANTS, weights_only=True)
    )
    wanted = {name: numbers[own] for name, own in runner.get_constant_names_to_original_fqns().items()}
    in_place, whole, not_copied = False, True, True
    runner.update_constant_buffer(wanted, in_place, whole, not_copied)
    inputs = _flat(step)

    def compute() -> Tensor:
        logits: Tensor = runner.run(inputs)[0]
        return logits

    return compute


def discard(folder: Path) -> None:
    """Have it made anew the next time; somebody else may have done so."""
    with suppress(OSError, BackendError):
        cache.discard(folder)


def _name(step: Step, threads: int) -> str:
    """All that a compiled step depends on: the network's make, few of its numbers, and the machine."""
    network = step.eager.network
    settings = network.config.to_dict()
    settings.pop("_name_or_path", None)
    parts = [*step.eager.named_parameters(), *step.eager.named_buffers()]
    return cache.key(
        (),
        f"steps {REVISION}",
        f"{type(network).__module__}.{type(network).__qualname__}",
        json.dumps(settings, sort_keys=True, default=repr),
        str(network.config._attn_implementation),
        *(f"{name} {_form(part)} {outline.looked_at(part)}" for name, part in parts),
        *map(_form, _flat(step)),
        f"{threads} threads",
        f"torch {torch.__version__} transformers {transformers.__version__}",
        _processor(),
    )


def _form(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} {tensor.stride()} {tensor.dtype}"


def _flat(step: Step) -> list[Tensor]:
    tokens, places, held = step.inputs
    return [tokens, places, *(part for layer in held for part in layer)]


def _processor() -> str:
    """What this machine's processor can do: code is compiled for no other."""
    with suppress(OSError):
        lines = Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
        return "\n".join(line for line in lines if line.startswith(("model", "flags", "Features", "CPU ")))
    return f"{platform.machine()} {platform.processor()}"
