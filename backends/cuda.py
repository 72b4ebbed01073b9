"""What the backends that compute with torch have in common on a GPU. Import it where torch is loaded."""

import torch

from backends.faults import end, first_line


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
