"""Turns what CTranslate2 raises into errors a user can act on."""

from backends.base import BackendError

_OUT_OF_MEMORY = ("out of memory", "bad_alloc", "can't allocate memory", "not enough memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device or the machine ran out of memory; CTranslate2 says so in a plain RuntimeError."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _OUT_OF_MEMORY)


def first_line(error: BaseException) -> str:
    """What an exception says, in one line."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def while_generating(error: Exception, rows: int, length: int) -> BackendError:
    """What ended a request that was decoded among ``rows`` hypotheses of up to ``length`` tokens."""
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
        f"CTranslate2 failed: {type(error).__name__}: {first_line(error)}",
        "/retry tries once more; if it happens again, /restart loads the replica anew",
        str(error),
    )


def not_a_number(index: int) -> BackendError:
    """The model computed NaN before token ``index``."""
    return BackendError(
        "nan_logits",
        f"the model's output is not a number at token {index}",
        "try dtype float32; if it stays, the checkpoint is damaged",
    )
