"""What the backends that compute with torch have in common on a GPU. Import it where torch is loaded."""

import torch

from backends.base import BackendError
from backends.faults import end, first_line


def begin(model: str, device: str) -> None:
    """Make torch ready for model ``model`` on ``device``; ``BackendError`` if that is a GPU it cannot use.

    What is float32 is computed as such, on a GPU as on a CPU: by itself torch has convolutions and recurrent
    layers computed with ten bits of a number's 23.
    """
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
    torch.backends.cudnn.allow_tf32 = False


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
