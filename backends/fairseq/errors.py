"""Turns what torch and fairseq raise into errors a user can act on."""

import torch

from backends.base import BackendError

_OUT_OF_MEMORY = ("can't allocate memory", "not enough memory", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the machine ran out of memory; on a CPU torch says so in a plain RuntimeError."""
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _OUT_OF_MEMORY)


def first_line(error: BaseException) -> str:
    """What an exception says, in one line."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def while_generating(error: Exception, rows: int, length: int) -> BackendError:
    """What ended a request of ``rows`` hypotheses of up to ``length`` tokens."""
    if isinstance(error, BackendError):
        return error
    if is_out_of_memory(error):
        return BackendError(
            "out_of_memory",
            f"the device ran out of memory at {rows} hypotheses of up to {length} tokens",
            "lower beam, n or max_new, or shorten the prompt",
            str(error),
        )
    return BackendError(
        "internal",
        f"fairseq failed: {type(error).__name__}: {first_line(error)}",
        "/retry tries once more; if it happens again, /restart loads the replica anew",
        str(error),
    )


def not_a_number(index: int) -> BackendError:
    """The model's output for token ``index`` cannot be used."""
    return BackendError(
        "nan_logits",
        f"the model's output is not a number at token {index}",
        "try dtype float32; if it stays, the checkpoint is damaged",
    )


def nothing_left(index: int) -> BackendError:
    """No token may follow."""
    return BackendError(
        "bad_parameter",
        f"the settings forbid every token at token {index}",
        "lower no_repeat_ngram or min_new, or raise max_new where there are constraints",
    )
