"""An exported graph in ONNX Runtime, called as transformers' network is."""

import re
from typing import Any, NamedTuple

import torch
from onnxruntime import InferenceSession
from torch import Tensor

GRAPH = "model.onnx"
WEIGHTS = "model.onnx.data"
"""The files of an exported graph."""
_STATE = re.compile(r"(?:input|output)\.past_key_values\.layers\.(\d+)\.(keys|values)")
_PLAIN = ("input_ids", "attention_mask", "position_ids", "logits_to_keep")
# Not numpy's types: it has no bfloat16. The numbers are those of ``onnx.TensorProto``.
_ELEMENTS = {torch.float32: 1, torch.int64: 7, torch.float16: 10, torch.float64: 11, torch.bfloat16: 16}
_NAMES = {
    "tensor(float)": torch.float32,
    "tensor(float16)": torch.float16,
    "tensor(double)": torch.float64,
    "tensor(bfloat16)": torch.bfloat16,
}


class State(NamedTuple):
    """The keys or the values of one layer."""

    layer: int
    part: str
    """``keys`` or ``values``."""
    heads: int
    size: int
    """Of each head."""
    taken: str
    """The input's name."""
    given: str
    """The output's."""


class Output(NamedTuple):
    """What a forward pass returns beside the cache."""

    logits: Tensor
    """``[rows, kept, vocab]``."""


class Graph:
    """Stands where the network did, which is left without its weights.

    Keys and values go in and come out where they lie: a pass copies none of them between devices.
    """

    def __init__(self, session: InferenceSession, network: Any, device: str) -> None:
        """Raises ``ValueError`` where the graph is not one that ``export`` makes of such a network."""
        self.device = torch.device(device)
        self.provider = str(session.get_providers()[0])
        """Runs it, all or most of it."""
        self.config, self.generation_config = network.config, network.generation_config
        self.dtype: torch.dtype = network.dtype
        self._session, self._network = session, network
        self._inputs = {entry.name: entry for entry in session.get_inputs()}
        self._outputs = {entry.name: entry for entry in session.get_outputs()}
        if "input_ids" not in self._inputs or "logits" not in self._outputs:
            raise ValueError("it has no input_ids or no logits")
        self._states = _states(self._inputs, self._outputs)
        if any(_NAMES[self._inputs[state.taken].type] != self.dtype for state in self._states):
            raise ValueError(f"its keys and values are not {self.dtype}")
        self._vocab = _fixed(self._outputs["logits"].shape[2])
        self._logits = _NAMES[self._outputs["logits"].type]

    def parameters(self) -> Any:
        """The network's, by their shapes alone."""
        return self._network.parameters()

    def get_input_embeddings(self) -> Any:
        """Likewise."""
        return self._network.get_input_embeddings()

    def release(self) -> None:
        """Let go of the network's weights; what can be told of it stays."""
        self._network.to("meta").tie_weights()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        past_key_values: Any = None,
        use_cache: bool = True,
        position_ids: Tensor | None = None,
        logits_to_keep: int = 1,
    ) -> Output:
        """Read ``input_ids`` ``[rows, new]`` on from the cache, which is given what was read.

        ``use_cache`` is there for those who call a network. Raises ``MemoryError``, and whatever ONNX Runtime
        does; the cache is then as it was.
        """
        rows, new = input_ids.shape
        past = _past(past_key_values, self._states)
        held = past[0].shape[2] if past[0] is not None else 0
        if attention_mask is None:
            attention_mask = torch.ones(rows, held + new, dtype=torch.int64)
        # A graph without that input gives the logits of all positions.
        keep = logits_to_keep if "logits_to_keep" in self._inputs else new
        kept = torch.arange(new - keep, new)
        plain = dict(zip(_PLAIN, (input_ids, attention_mask, position_ids, kept), strict=True))
        logits = torch.empty(rows, keep, self._vocab, dtype=self._logits, device=self.device)
        states = [
            torch.empty(rows, state.heads, held + new, state.size, dtype=self.dtype, device=self.device)
            for state in self._states
        ]
        self._run(plain, past, logits, states)
        for state, tensor in zip(self._states, states, strict=True):
            _put(past_key_values, state, tensor)
        return Output(logits)

    __call__ = forward

    def _run(
        self, plain: dict[str, Tensor | None], past: list[Tensor | None], logits: Tensor, states: list[Tensor]
    ) -> None:
        """Fill ``logits`` and ``states``."""
        binding = self._session.io_binding()
        bound = []  # they have to live until the pass is over
        for name, whole in plain.items():
            if name in self._inputs and whole is not None:
                # ONNX Runtime reads shapes and positions on the host.
                tensor = whole.to("cpu").contiguous()
                bound.append(tensor)
                _bind(binding.bind_input, name, tensor)
        rows = logits.shape[0]
        for state, tensor in zip(self._states, past, strict=True):
            shape = (rows, state.heads, 0, state.size)
            # Of nothing there is no address, which it wants all the same.
            held = states[0].new_empty(1) if tensor is None else tensor.contiguous()
            bound.append(held)
            _bind(binding.bind_input, state.taken, held, shape if tensor is None else None)
        _bind(binding.bind_output, "logits", logits)
        for state, tensor in zip(self._states, states, strict=True):
            _bind(binding.bind_output, state.given, tensor)
        cuda = self.device.type == "cuda"
        if cuda:  # it has a stream of its own
            torch.cuda.current_stream(self.device).synchronize()
        try:
            self._session.run_with_iobinding(binding)
        except Exception as error:  # its own classes, derived from nothing but this
            if "allocate memory" in str(error):
                raise MemoryError(str(error)) from error
            raise
        if cuda:
            binding.synchronize_outputs()


def _bind(to: Any, name: str, tensor: Tensor, shape: tuple[int, ...] | None = None) -> None:
    device = tensor.device
    to(
        name,
        device.type,
        device.index or 0,
        _ELEMENTS[tensor.dtype],
        tuple(tensor.shape) if shape is None else shape,
        tensor.data_ptr(),
    )


def _states(inputs: dict[str, Any], outputs: dict[str, Any]) -> list[State]:
    """Of all layers that hold something, in their order."""
    given = {match.groups(): name for name in outputs if (match := _STATE.fullmatch(name))}
    found = []
    for name, entry in inputs.items():
        if match := _STATE.fullmatch(name):
            heads, size = (_fixed(entry.shape[at]) for at in (1, 3))
            layer, part = match.groups()
            found.append(State(int(layer), part, heads, size, name, given.pop((layer, part), "")))
        elif name not in _PLAIN:
            raise ValueError(f"its input {name} is unknown")
    if given or not found or not all(state.given for state in found):
        raise ValueError("its keys and values do not come out as they go in")
    return found


def _fixed(size: Any) -> int:
    """A dimension that does not vary, which may be written as a name."""
    return int(size)


def _past(cache: Any, states: list[State]) -> list[Tensor | None]:
    """What the cache holds for each of ``states``; None where it has nothing yet."""
    layers = cache.layers
    return [
        getattr(layers[state.layer], state.part)
        if state.layer < len(layers) and layers[state.layer].is_initialized
        else None
        for state in states
    ]


def _put(cache: Any, state: State, tensor: Tensor) -> None:
    layers = cache.layers
    while state.layer >= len(layers):
        layers.append(cache.layer_class_to_replicate())
    layer = layers[state.layer]
    if not layer.is_initialized:
        layer.lazy_initialization(tensor, tensor)
    setattr(layer, state.part, tensor)
