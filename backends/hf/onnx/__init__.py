"""ONNX Runtime in the place of transformers' network: ``engine: onnx``.

transformers' own exporter makes a graph of the network once; it is kept in the user's cache. The graph then
runs the forward passes of the same rows, so that all else stays as it is. onnxruntime comes with ``load``,
not with this module.
"""

from typing import Any

from backends.base import BackendError
from backends.hf.kinds import divisible, reads_only
from repl.messages import ModelSpec

INSTALL = "pip install 'multigpu-repl[onnx]'"


def check(spec: ModelSpec, config: Any) -> None:
    """Refuse what is known not to go before any weight is loaded."""
    if spec.gpus > 1:
        raise refused(spec, "one graph does not run on several devices")
    if config.is_encoder_decoder:
        raise refused(spec, "only decoder-only models do; 'backend: ctranslate2' serves most others")
    if reads_only(config):
        raise refused(spec, "only models that write text do")
    if not divisible(config):
        raise refused(spec, "its rotary embedding depends on the length of a text, which a graph would fix")


def refused(spec: ModelSpec, why: str, error: Exception | None = None, or_else: str = "") -> BackendError:
    """Says why this model does not run that way, and what to do."""
    return BackendError(
        "unsupported",
        f"model '{spec.name}' cannot run on ONNX Runtime: {why}",
        f"take 'engine: onnx' out of its options{or_else}",
        str(error or ""),
    )
