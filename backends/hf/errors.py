"""Turns what torch and transformers raise into errors a user can act on."""

from pathlib import Path

from backends.base import BackendError
from backends.cuda import end_if_lost
from backends.faults import first_line, is_out_of_memory
from repl.messages import Error


def while_loading(error: Exception, name: str, path: str, device: str) -> BackendError:
    """What went wrong while model ``name`` was loaded from ``path``."""
    if isinstance(error, BackendError):
        return error
    text = first_line(error)
    if is_out_of_memory(error):
        return BackendError(
            "out_of_memory",
            f"model '{name}' does not fit into the memory of {device}",
            "choose a smaller dtype (dtype: bfloat16), fewer replicas on this device, or a smaller model",
            str(error),
        )
    if isinstance(error, ImportError):
        module = getattr(error, "name", None)
        return BackendError(
            "missing_package",
            f"model '{name}' needs a package that is not installed: {module or text}",
            f"pip install {module}" if module else "install the package named in the details",
            str(error),
        )
    if "trust_remote_code" in str(error):
        return BackendError(
            "untrusted",
            f"model '{name}' brings Python code of its own ({path}), which is not run unless you trust it",
            "read that code; to run it put 'trust: [remote-code]' in the model's configuration",
        )
    if isinstance(error, OSError) and not Path(path).expanduser().exists():
        return BackendError(
            "missing_file",
            f"model '{name}': '{path}' is not a folder here and cannot be fetched from the hub: {text}",
            "check the name and the network; for a gated model log in with 'hf auth login'",
            str(error),
        )
    if isinstance(error, PermissionError):
        return BackendError(
            "missing_file",
            f"model '{name}' cannot be read: {error.filename or path}: {error.strerror or text}",
            "check the permissions of the file and of the folders it lies in",
        )
    if isinstance(error, OSError):
        message = f"model '{name}' cannot be read from {path}: {text}"
        return BackendError("not_a_checkpoint", message, detail=str(error))
    return BackendError(
        "not_a_checkpoint",
        f"model '{name}' cannot be loaded from {path}: {type(error).__name__}: {text}",
        "check that the folder is a complete checkpoint saved with save_pretrained",
        str(error),
    )


def while_generating(error: Exception, rows: int, length: int) -> Error:
    """What ended a request that shared ``rows`` rows of ``length`` tokens."""
    if isinstance(error, BackendError):
        return error.error
    if is_out_of_memory(error):
        return Error(
            kind="out_of_memory",
            message=f"the device ran out of memory at {rows} rows of {length} tokens",
            hint="lower max_new, n, beam or the model's slots, or shorten the prompt",
            detail=str(error),
        )
    end_if_lost()
    return Error(
        kind="internal",
        message=f"the model failed: {type(error).__name__}: {first_line(error)}",
        hint="/retry tries once more; if it happens again, /restart loads the replica anew",
        detail=str(error),
    )
