"""Steps of fixed shapes over keys and values that stay where they are: ``engine: compiled``.

Prompts are read as ever. The rows that requests share then move into one buffer of a fixed size, where a step
for so many rows always does the same to the same addresses: it can be compiled once, or captured as a CUDA
graph. What does not fit goes on eagerly, and so does all until the steps are made, which is after the replica
has begun to serve.
"""

from typing import Any

from backends.base import BackendError
from backends.hf.kinds import divisible, reads_only
from repl.messages import ModelSpec


def check(spec: ModelSpec, config: Any) -> None:
    """Refuse what is known not to go before any weight is loaded."""
    if spec.gpus > 1:
        raise refused(spec, "only a model on one device is")
    if config.is_encoder_decoder:
        raise refused(spec, "only decoder-only models are")
    if reads_only(config):
        raise refused(spec, "only models that write text are")
    if not divisible(config):
        raise refused(spec, "its rotary embedding depends on the length of a text")


def refused(spec: ModelSpec, why: str, error: Exception | None = None, or_else: str = "") -> BackendError:
    """Says why this model does not run that way, and what to do."""
    return BackendError(
        "unsupported",
        f"the steps of model '{spec.name}' cannot be compiled: {why}",
        f"take 'engine: compiled' out of its options{or_else}",
        str(error or ""),
    )
