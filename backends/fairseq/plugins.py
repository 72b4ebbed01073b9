"""A folder of the user's own tasks and architectures (``--user-dir``): code, so only where it is trusted."""

from argparse import Namespace
from pathlib import Path

from backends import fingerprint
from backends.base import BackendError
from backends.faults import first_line
from repl.messages import ModelSpec


def load(spec: ModelSpec, folder: str) -> None:
    """Import what is in ``folder``; raises ``BackendError``, also where the model does not trust it."""
    path = Path(folder).expanduser().resolve()
    if not path.is_dir():
        raise BackendError(
            "missing_file",
            f"user_dir of model '{spec.name}' is not a folder: {path}",
            "name the folder with its __init__.py",
        )
    if (mark := fingerprint.code(path)) not in spec.trust:
        raise BackendError(
            "untrusted",
            f"user_dir of model '{spec.name}' was not loaded: {path} holds code, and none of it was run",
            f"if you trust it as it is now, put 'trust: [\"{mark}\"]' into the configuration of the model",
        )
    from fairseq.utils import import_user_module

    try:
        import_user_module(Namespace(user_dir=str(path)))
    except Exception as error:
        raise BackendError(
            "not_a_checkpoint",
            f"user_dir {path} cannot be imported: {type(error).__name__}: {first_line(error)}",
            "it has to fit fairseq 0.12.2",
            str(error),
        ) from None
