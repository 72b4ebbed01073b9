"""cuBLAS, which CTranslate2 opens by its name when it first computes on a GPU.

It wants the one of CUDA 12, whatever CUDA torch was built for. The system's loader does not find what pip
installs; but what a process has loaded already it finds by name.
"""

import ctypes
from importlib.util import find_spec
from pathlib import Path

INSTALL = "pip install nvidia-cublas-cu12"
NAMES = ("libcublasLt.so.12", "libcublas.so.12")
"""The first is what the second needs."""


def load() -> None:
    """Load it from where the system or else pip has it; without either CTranslate2 will say what it lacks."""
    for name in NAMES:
        for place in (Path(name), *(folder / name for folder in _folders())):
            try:
                ctypes.CDLL(str(place))
                break
            except OSError:
                continue


def _folders() -> list[Path]:
    """Where NVIDIA's packages of CUDA 12 put their libraries."""
    spec = find_spec("nvidia")
    return [Path(place) / "cublas/lib" for place in (spec.submodule_search_locations or () if spec else ())]
