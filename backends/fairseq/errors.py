"""What a fairseq model cannot go on from."""

from backends.base import BackendError


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
