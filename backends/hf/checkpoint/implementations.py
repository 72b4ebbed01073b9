"""Which of transformers' attention implementations a model runs with."""

import importlib.util

from backends.base import BackendError
from repl.messages import ModelSpec
from repl.spelling import nearest

_FLASH = {"flash_attention_2": "flash_attn", "flash_attention_3": "flash_attn_interface"}
_INSTALL = {
    "flash_attention_2": "pip install flash-attn --no-build-isolation",
    "flash_attention_3": "build it from the folder hopper of github.com/Dao-AILab/flash-attention",
}
KNOWN = ("eager", "sdpa", *_FLASH, "flex_attention")


def check(spec: ModelSpec, attention: str | None, device: str) -> None:
    """Refuse an ``attention`` that does not exist or cannot run here; None is transformers' choice."""
    if attention is None or attention in ("eager", "sdpa", "flex_attention"):
        return
    if attention not in KNOWN:
        near = nearest(attention, KNOWN)
        raise BackendError(
            "bad_parameter",
            f"model '{spec.name}': options: attention '{attention}' does not exist",
            f"did you mean '{near}'?" if near else f"it can be {', '.join(KNOWN)}",
        )
    if device == "cpu":
        raise BackendError(
            "unsupported",
            f"model '{spec.name}': {attention} runs on GPUs, and this replica is on the CPU",
            "take attention out of its options, or say sdpa",
        )
    if importlib.util.find_spec(_FLASH[attention]) is None:
        raise BackendError(
            "missing_package",
            f"model '{spec.name}': {attention} needs the package {_FLASH[attention]}, which is not installed",
            f"{_INSTALL[attention]}; or say sdpa, which comes with torch",
        )


def unfit(spec: ModelSpec, attention: str, error: Exception) -> BackendError:
    """The network has not got it."""
    return BackendError(
        "unsupported",
        f"model '{spec.name}' has no attention of the kind {attention}",
        "take attention out of its options, or say eager",
        str(error),
    )
