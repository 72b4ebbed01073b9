"""What the backends that compute with torch have in common on a GPU. Import it where torch is loaded."""

import torch

from backends.base import BackendError
from backends.faults import end, first_line


def require(model: str, device: str) -> None:
    """Raise ``BackendError`` if torch cannot use the GPU that model ``model`` is to run on."""
    if not device.startswith("cuda"):
        return
    try:
        torch.cuda.init()
    except Exception as error:  # an assertion where it was built for the CPU, else a RuntimeError
        raise BackendError(
            "unsupported",
            f"model '{model}' cannot run on {device}: {first_line(error)}",
            "multigpu-repl doctor tells which torch fits the driver; --devices cpu runs it on the CPU",
            str(error),
        ) from None


def end_if_lost() -> None:
    """End the process if its GPU is of no use to it any more.

    After some faults, a bad address or an error of its memory, CUDA refuses a process whatever it asks.
    """
    if not torch.cuda.is_initialized():
        return
    try:
        torch.cuda.synchronize()
    except RuntimeError as error:
        end(f"the GPU does nothing more for this process: {first_line(error)}")
