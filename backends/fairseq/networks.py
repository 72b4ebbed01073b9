"""Reads checkpoint files and builds the networks in them, each failure in words for the user."""

import copy
from argparse import Namespace
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from fairseq.models.transformer import TransformerDecoderBase
from fairseq.modules import SinusoidalPositionalEmbedding
from torch.overrides import TorchFunctionMode

from backends.base import BackendError
from backends.fairseq import safe_load
from backends.faults import first_line, is_out_of_memory
from repl.messages import ModelSpec

_SLACK = 1 << 28
"""Numbers that a network may hold beside its weights, such as tables of positions."""

ARCHITECTURES = (
    "transformer",
    "transformer_align",
    "fconv",
    "lstm",
    "lightconv",
    "bart",
    "transformer_lm",
    "fconv_lm",
)
"""Model families the tests cover; others are tried."""


def read(spec: ModelSpec, path: Path, overrides: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """The state of one checkpoint file and its configuration."""
    from fairseq.checkpoint_utils import load_checkpoint_to_cpu

    try:
        state = load_checkpoint_to_cpu(str(path), overrides)
        return state, state["cfg"]
    except safe_load.UnsafeGlobal as error:
        raise _untrusted(
            spec, path, f"it asks for '{error.name}', which no fairseq checkpoint needs"
        ) from None
    except OSError as error:
        raise BackendError(
            "missing_file",
            f"{path} cannot be read: {error.strerror or first_line(error)}",
            "check its permissions",
        ) from None
    except Exception as error:
        if is_out_of_memory(error):
            raise _out_of_memory(spec, "the machine", error) from None
        raise BackendError(
            "not_a_checkpoint",
            f"{path} is not a fairseq checkpoint that can be read: {first_line(error)}",
            "check that the file is complete and was written by fairseq-train",
            str(error),
        ) from None


def _untrusted(spec: ModelSpec, path: Path, reason: str) -> BackendError:
    """Refusal of a file that wants to run code."""
    return BackendError(
        "untrusted",
        f"{path} was not loaded: {reason}; loading it could run any code, and none of it was run",
        f"if you trust this one file, put 'trust: [\"{safe_load.sha256(path)}\"]' into the configuration of "
        f"model '{spec.name}'",
    )


def name_of(node: Any) -> str:
    """Of a task or a model; older checkpoints have the architecture's alone."""
    return str(getattr(node, "_name", None) or getattr(node, "arch", None))


def build(
    spec: ModelSpec, path: Path, state: dict[str, Any], config: Any, task: Any, *, hollow: bool = False
) -> tuple[Any, Any]:
    """The network with its weights, and the task; a ``hollow`` one may lack the weights."""
    from fairseq import tasks
    from fairseq.checkpoint_utils import load_model_ensemble_and_task

    try:
        if task is None:
            task = tasks.setup_task(config.task)
        network = _outline(path, config, task, state["model"])
        if network is None or not hollow:
            (network,), _, _ = load_model_ensemble_and_task([str(path)], task=task, state=state)
        # Of a model with a network for each pair of languages only that of the pair in use was built.
        return next(iter(network.models.values())) if hasattr(network, "models") else network, task
    except BackendError:
        raise
    except safe_load.NotALiteral as error:
        raise _untrusted(spec, path, f"in its arguments stands code, {error}") from None
    except Exception as error:
        if is_out_of_memory(error):
            raise _out_of_memory(spec, "the machine", error) from None
        if "size mismatch" in str(error) and "embed_tokens" in str(error):
            raise BackendError(
                "not_a_checkpoint",
                f"the dictionaries of model '{spec.name}' are not those {path} was trained with: their sizes "
                "differ",
                "set 'data' to the folder with the right ones",
                str(error),
            ) from None
        reason = f"{type(error).__name__}: {first_line(error)}"
        raise BackendError(
            "unsupported",
            f"{path} cannot be built as '{name_of(config.model)}': {reason}",
            f"architectures known to work are {', '.join(ARCHITECTURES)}",
            str(error),
        ) from None


def _outline(path: Path, config: Any, task: Any, weights: dict[str, Any]) -> Any | None:
    """The network without memory for its weights; None where only the real one can be, or tells why not.

    Refuses one far larger than its weights, before it takes the machine's memory. Each of its layers has at
    least one weight, so there is no need to begin with more of them.
    """
    overgrown = BackendError(
        "not_a_checkpoint",
        f"{path} describes a network far larger than the weights it holds",
        "check that the file is complete; nothing was built",
    )
    layers = [value for name, value in dict(_items(config.model)).items() if name.endswith("_layers")]
    if any(isinstance(value, int) and value > len(weights) for value in layers):
        raise overgrown
    try:
        with torch.device("meta"), _Undrawn(), _waves_left_out():
            network = task.build_model(copy.deepcopy(config.model))
    except Exception:
        return None
    held = [tensor for module in network.modules() for tensor in _tensors(module)]
    size = sum(tensor.numel() for tensor in {id(tensor): tensor for tensor in held}.values())
    if size > 2 * sum(weight.numel() for weight in weights.values()) + _SLACK:
        raise overgrown
    return network


class _Undrawn(TorchFunctionMode):  # type: ignore[misc]
    """No weights are drawn: there is nothing to put them into, and torch would import its compiler for it."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        named = kwargs or {}
        if getattr(func, "__name__", "") in ("normal_", "uniform_", "cpu"):  # where BART draws
            return args[0] if args else named["tensor"]
        return func(*args, **named)


@contextmanager
def _waves_left_out() -> Iterator[None]:
    """Tables of positions are not computed, for the same reasons."""
    compute = SinusoidalPositionalEmbedding.get_embedding

    def shape(count: int, width: int, padding_idx: int | None = None) -> torch.Tensor:
        return torch.empty(count, width)

    SinusoidalPositionalEmbedding.get_embedding = staticmethod(shape)
    try:
        yield
    finally:
        SinusoidalPositionalEmbedding.get_embedding = staticmethod(compute)


def _items(config: Any) -> Iterable[tuple[str, Any]]:
    """Names and values of a configuration in either style."""
    return vars(config).items() if isinstance(config, Namespace) else config.items()


def _tensors(module: torch.nn.Module) -> list[torch.Tensor]:
    """Of a module itself, plain attributes such as tables of positions included."""
    own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
    return own + [value for value in vars(module).values() if isinstance(value, torch.Tensor)]


def prepared(network: Any, device: str, dtype: str, dropout: tuple[str, ...] | bool = False) -> Any:
    """Ready for inference, in its dtype and on its device; ``dropout`` names modules where it stays on.

    On the device ``meta`` nothing is asked of it but its shapes.
    """
    network.eval()
    # Of the settings that were saved none counts but these: the fast path supposes one beam width for good,
    # and all but a transformer tell what they attend to only when asked at this time.
    asked = not isinstance(network.decoder, TransformerDecoderBase)
    settings = Namespace(no_beamable_mm=True, print_alignment=asked, retain_dropout=bool(dropout))
    settings.retain_dropout_modules = None if isinstance(dropout, bool) else dropout
    network.prepare_for_inference_(Namespace(generation=settings))
    for module in network.modules():
        _release_copies(module)
    if device == "meta":
        return network
    try:
        return network.to(device=device, dtype=getattr(torch, dtype))
    except Exception as error:
        if is_out_of_memory(error):
            raise BackendError(
                "out_of_memory",
                f"the model does not fit into the memory of {device}",
                "choose dtype float16, fewer replicas on this device, or a smaller model",
                str(error),
            ) from None
        raise


def _release_copies(module: Any) -> None:
    """Free the second copy of an encoder layer's weights, which only the path switched off would read."""
    if hasattr(module, "in_proj_weight") and hasattr(module, "fc1_weight"):
        for part in ("in_proj", "out_proj", "fc1", "fc2"):
            for kind in ("weight", "bias"):
                module.register_parameter(f"{part}_{kind}", None)


def _out_of_memory(spec: ModelSpec, where: str, error: Exception) -> BackendError:
    return BackendError(
        "out_of_memory",
        f"model '{spec.name}' does not fit into the memory of {where}",
        "choose fewer replicas or a smaller model",
        str(error),
    )
