"""Weights in fewer bits: checkpoints that hold them so, GGUF files, and the option that makes them so."""

import importlib.util
from typing import Any, Literal, NamedTuple

import torch
import transformers

from backends.base import BackendError
from backends.faults import first_line
from repl.messages import ModelSpec

Bits = Literal["int8", "int4"]

_MAKES: dict[Bits, str] = {"int8": "torchao", "int4": "bitsandbytes"}
_EXTRA = "pip install 'multigpu-repl[quantised]'"
_NEEDS = {
    "aqlm": ("aqlm", "pip install 'aqlm[gpu]'"),
    "awq": ("gptqmodel", "pip install gptqmodel"),
    "bitsandbytes": ("bitsandbytes", _EXTRA),
    "compressed-tensors": ("compressed_tensors", "pip install compressed-tensors"),
    "eetq": ("eetq", "pip install eetq"),
    "gguf": ("gguf", "pip install 'multigpu-repl[gguf]'"),
    "gptq": ("gptqmodel", "pip install gptqmodel"),
    "hqq": ("hqq", "pip install hqq"),
    "quanto": ("optimum.quanto", "pip install optimum-quanto"),
    "torchao": ("torchao", _EXTRA),
}
"""The package that runs each method, and how to get it."""


class Form(NamedTuple):
    """How a model's weights are held."""

    method: str = ""
    """What quantised them, as transformers names it; ``gguf`` for such a file, empty for plain weights."""
    bits: Bits | None = None
    """What they are made at load; None where they stay as they are."""

    @property
    def packed(self) -> bool:
        """Whether they stay in fewer bits once loaded; those of a GGUF file are unpacked."""
        return bool(self.method) and self.method != "gguf"

    def dtype(self, computed: torch.dtype) -> str:
        """What the model runs in, for the eye."""
        name = str(computed).removeprefix("torch.")
        return f"{self.bits or self.method}/{name}" if self.packed else name

    def notes(self, computed: torch.dtype) -> list[str]:
        """What of it is worth saying."""
        name = str(computed).removeprefix("torch.")
        if self.method == "gguf":
            return [f"a GGUF file, its weights unpacked to {name}"]
        if not self.packed:
            return []
        held = (
            f"in {self.bits} (made at load by {self.method})" if self.bits else f"quantised by {self.method}"
        )
        return [f"weights {held}, computed in {name}"]


def form(spec: ModelSpec, config: Any, gguf: bool, bits: Bits | None, engine: str) -> Form:
    """How the weights of a checkpoint will be held; raises ``BackendError`` for what does not go together."""
    own = "gguf" if gguf else _method(config)
    if bits is not None and own:
        what = "a GGUF file" if gguf else f"quantised by {own} already"
        raise _refused(spec, f"options: quantise: {bits}: its checkpoint is {what}", "take quantise out")
    method = _MAKES[bits] if bits is not None else own
    if not method:
        return Form()
    if spec.gpus > 1 and (gguf or bits):
        kind = "a GGUF file" if gguf else f"quantise: {bits}"
        raise _refused(spec, f"{kind} goes on one device", "take gpus_per_replica out")
    if engine != "eager" and method != "gguf":
        raise _refused(
            spec, f"engine: {engine} runs weights that are not quantised", "take one of the two out"
        )
    needed(spec, method)
    return Form(method, bits)


def needed(spec: ModelSpec, method: str) -> None:
    """Refuse to go on without the package that runs ``method``; one that is not known here is left to it."""
    module, install = _NEEDS.get(method, ("", ""))
    if module and importlib.util.find_spec(module.partition(".")[0]) is None:
        what = "a GGUF file" if method == "gguf" else f"quantised by {method}"
        raise BackendError(
            "missing_package", f"model '{spec.name}' is {what}, which needs the package {module}", install
        )


def arguments(spec: ModelSpec, held: Form, computed: torch.dtype, device: str) -> dict[str, Any]:
    """What ``from_pretrained`` is told besides."""
    if held.method == "gguf":
        # Keeping it packed would fetch compiled code from the hub.
        own = getattr(transformers, "GgufConfig", None)
        return {"dtype": computed} | ({"quantization_config": own(dequantize=True)} if own else {})
    placed: dict[str, Any] = {"device_map": {"": device}}
    if held.bits is None:
        return placed if spec.dtype == "auto" else placed | {"dtype": computed}
    return placed | {"dtype": computed, "quantization_config": _made(held.bits, computed)}


def unfit(spec: ModelSpec, held: Form, device: str, error: Exception) -> BackendError:
    """The package that quantises cannot do it here."""
    return BackendError(
        "unsupported",
        f"model '{spec.name}': {held.method} cannot load its weights on {device}: {first_line(error)}",
        "take a checkpoint that is not quantised" if held.bits is None else "take quantise out",
        str(error),
    )


def _made(bits: Bits, computed: torch.dtype) -> Any:
    if bits == "int8":
        from torchao.quantization import Int8WeightOnlyConfig

        return transformers.TorchAoConfig(Int8WeightOnlyConfig())
    return transformers.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=computed
    )


def _method(config: Any) -> str:
    """What quantised a checkpoint; empty for plain weights."""
    own = getattr(config, "quantization_config", None)
    if own is None:
        return ""
    said = own if isinstance(own, dict) else own.to_dict()
    method = said.get("quant_method", "bitsandbytes")  # which was the first and did not say
    return str(getattr(method, "value", method))


def _refused(spec: ModelSpec, why: str, hint: str) -> BackendError:
    return BackendError("unsupported", f"model '{spec.name}': {why}", hint)
