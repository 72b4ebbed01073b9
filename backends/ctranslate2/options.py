"""The ``options`` of a CTranslate2 model in a configuration: its own, and those of what it is made from."""

import msgspec

from backends.base import BackendError
from repl.messages import ModelSpec


class Options(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """All may be left out."""

    revision: str = "main"
    """Of a model on the Hugging Face hub: a branch, a tag or a commit."""
    token_scores: bool = False
    """Read every beam's answer once more for what the search does not tell: the score of each token."""


def of(model: ModelSpec) -> tuple[Options, ModelSpec]:
    """The options of this backend, and the model with those that are left, which are fairseq's.

    ``BackendError`` names the one that is wrong.
    """
    own = {name: value for name, value in model.options.items() if name in Options.__struct_fields__}
    left = {name: value for name, value in model.options.items() if name not in own}
    try:
        return msgspec.convert(own, Options), msgspec.structs.replace(model, options=left)
    except msgspec.ValidationError as error:
        raise BackendError(
            "bad_parameter",
            f"options of {model.name}: {error}",
            f"known are {', '.join(Options.__struct_fields__)} and those of backend fairseq",
        ) from None
