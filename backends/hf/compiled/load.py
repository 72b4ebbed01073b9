"""From a network to rows whose steps are eager until compiled or captured ones can take their place."""

from functools import partial
from itertools import count, takewhile
from typing import Any

from transformers import DynamicCache

from backends.base import BackendError, Progress
from backends.hf.checkpoint.network import Checkpoint
from backends.hf.compiled import refused
from backends.hf.compiled.buffer import Buffer
from backends.hf.compiled.making import Capturing, Compiling
from backends.hf.compiled.rows import Place, StaticRows
from backends.hf.compiled.steps import Pass, Size, Step, Steps
from backends.hf.compiled.warming import Source, Warming
from backends.hf.kinds import RowsChoice, choose_rows, keeps_nothing, limits, plain_cache
from backends.hf.state.memory import capacity
from backends.hf.state.rows import accepted
from repl.messages import ModelSpec

CPU_ROWS = 4
"""Most rows of a compiled step on a CPU."""
CPU_TOKENS = 256
GPU_TOKENS = 4096
"""Of each row, unless the options or the model say otherwise."""
GPU_LEAST = 256
"""Of each row of the shortest steps on a GPU."""
LEAST_TOKENS = 16
"""The self-test's rows have to fit in."""
_SHARE = 0.5
"""Of the room for keys and values that the buffer may take."""


def prepare(
    checkpoint: Checkpoint, network: Any, device: str, threads: int, progress: Progress
) -> RowsChoice:
    """How the model's sequences are kept, eagerly at first; refuses what is known not to go."""
    spec = checkpoint.spec
    length = _length(checkpoint, network, device)
    _check(spec, network, length)
    progress("self-test", None)
    eager = choose_rows(network, spec.slots, device)
    if not (eager.ragged and eager.divisible):
        raise refused(spec, "answers that share a batch would differ")
    sizes = [Size(rows, most) for rows in buckets(eager.slots, device) for most in lengths(length, device)]
    room = capacity(eager.make, share=spec.share)
    assert room is not None  # of keys and values it is always known
    if sizes[-1].rows * length > room * _SHARE:
        raise BackendError(
            "out_of_memory",
            f"model '{spec.name}': there is no memory for {sizes[-1].rows} compiled rows of {length} tokens",
            "lower static_tokens or slots, or take 'engine: compiled' out of its options",
        )
    buffer, step = Buffer(network, sizes[-1].rows, length), Pass(network, length)
    ready, place, made = Steps(step, buffer), Place(), [Step(step, buffer, *size) for size in sizes]
    source: Source = Capturing(made) if device.startswith("cuda") else Compiling(made, threads)
    make = partial(StaticRows, network, ready, place)
    return eager._replace(make=make, background=Warming(ready, place, source, sizes))


def buckets(slots: int, device: str) -> list[int]:
    """Numbers of rows that steps are made for.

    On a CPU these are few: each takes a while to compile, and rows that nobody has cost as much as others.
    """
    if device == "cpu":
        return sorted({1, min(slots, CPU_ROWS)})
    sizes = [1]
    while sizes[-1] < slots:
        sizes.append(min(2 * sizes[-1], slots))
    return sizes


def lengths(most: int, device: str) -> list[int]:
    """Of the texts that steps are made for: a step looks at all that it has room for.

    On a CPU there is one; see ``buckets``.
    """
    if device == "cpu":
        return [most]
    return [*takewhile(lambda length: length < most, (GPU_LEAST << power for power in count())), most]


def _length(checkpoint: Checkpoint, network: Any, device: str) -> int:
    wanted = checkpoint.options.static_tokens or (CPU_TOKENS if device == "cpu" else GPU_TOKENS)
    context, _ = limits(network.config)
    return min(wanted, context or wanted)


def _check(spec: ModelSpec, network: Any, length: int) -> None:
    """Refuse what cannot be told a row's position, or does not look at all there is of it."""
    if length < LEAST_TOKENS:
        raise refused(spec, f"it reads no more than {length} tokens")
    if not plain_cache(network):
        raise refused(spec, "its state is more than keys and values")
    if "position_ids" not in accepted(network):
        raise refused(spec, "it cannot be told the position of a token")
    kind = network.config._attn_implementation
    if kind not in ("sdpa", "eager"):
        raise refused(spec, f"attention: {kind} takes no mask of one's own", None, ", or attention")
    for layer in DynamicCache(config=network.config).layers:
        window = getattr(layer, "sliding_window", None)
        if window is not None and window < length:
            more = f", or set static_tokens to {window}"
            raise refused(spec, f"some layers look at {window} tokens only", None, more)
        if keeps_nothing(layer):
            raise refused(spec, "some layers have the keys and values of others")
