"""What the backends have in common when something fails. Imports no library."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from backends.base import BackendError

BROKEN = 70
"""Exit status of a replica that cannot go on."""
_OUT_OF_MEMORY = (
    "out of memory",
    "bad_alloc",
    "can't allocate memory",
    "not enough memory",
    "status_alloc_failed",
)


@contextmanager
def package_needed(model: str, install: str) -> Iterator[None]:
    """Says of an import that fails which command installs what ``model`` needs."""
    try:
        yield
    except ImportError as error:
        raise BackendError(
            "missing_package",
            f"model '{model}' needs a package that is not installed: {error.name or error}",
            install,
            str(error),
        ) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device or the machine ran out of memory; a CPU build says so in a plain RuntimeError."""
    # torch's own class is known by name, since torch is not imported here.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _OUT_OF_MEMORY)


def end(why: str) -> NoReturn:
    """Leave this process at once: the coordinator shows the last words, starts anew, and asks again."""
    print(why, file=sys.stderr, flush=True)
    os._exit(BROKEN)


def first_line(error: BaseException) -> str:
    """What an exception says, in one line."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def while_generating(error: Exception, library: str, rows: int, length: int) -> BackendError:
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
        f"{library} failed: {type(error).__name__}: {first_line(error)}",
        "/retry tries once more; if it happens again, /restart loads the replica anew",
        str(error),
    )
