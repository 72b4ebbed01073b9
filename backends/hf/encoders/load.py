"""From a loaded classifier or masked network to an engine that is ready to answer."""

from typing import Any, Literal

import torch

from backends.base import BackendError
from backends.hf.encoders import classifier, masked
from backends.hf.encoders.engine import Encoder, EncoderEngine, Maker
from backends.hf.kinds import CPU_SLOTS, GPU_SLOTS, reads_only
from backends.hf.text import Codec
from repl.messages import Capabilities, ModelSpec, Task

_PROBE = (3, 7)
"""Lengths of two rows that are read alone and together."""
_TOLERANCE = 0.02
"""Allowed difference in standard deviations of the logits."""
_HALF_TOLERANCE = 0.3


def check(spec: ModelSpec, config: Any) -> None:
    """Refuse what cannot be asked anything."""
    if spec.gpus > 1:
        raise BackendError(
            "unsupported",
            f"model '{spec.name}' reads and does not write: it runs on one device",
            "take gpus_per_replica out",
        )
    if reads_only(config) == "classifier":
        classifier.check(spec.name, config)


def engine(
    spec: ModelSpec, network: Any, codec: Codec, device: str, pass_tokens: int, within_word: bool
) -> EncoderEngine:
    """The engine; its capabilities lack what tells of the checkpoint."""
    kind = reads_only(network.config)
    assert kind is not None
    if kind == "masked" and codec.tokenizer.mask_token_id is None:
        raise BackendError(
            "not_a_checkpoint",
            f"model '{spec.name}' is a masked language model, but its tokenizer has no mask token",
            "its tokenizer belongs to another checkpoint",
        )
    model = Encoder(
        name=spec.name,
        network=network,
        codec=codec,
        max_prompt=_positions(network),
        template=spec.prompt_template,
        pass_tokens=pass_tokens,
        within_word=within_word,
    )
    model.shares = _padding_is_harmless(model)
    tasks: dict[Literal["classifier", "masked"], tuple[Task, ...]] = {
        "classifier": ("classify", "tokenize"),
        "masked": ("fill", "score", "tokenize"),
    }
    makers: dict[str, Maker] = {
        "classify": classifier.Classification,
        "fill": masked.Filling,
        "score": masked.Likelihood,
    }
    capabilities = Capabilities(
        kind=kind,
        slots=spec.slots or (CPU_SLOTS if device == "cpu" else GPU_SLOTS),
        max_prompt=model.max_prompt,
        vocab_size=len(codec.pieces),
        vocab_fingerprint=codec.fingerprint,
        dtype=str(network.dtype).removeprefix("torch."),
        parameters=sum(weight.numel() for weight in network.parameters()),
        tasks=tasks[kind],
        distributions=kind == "masked",
        notes=() if model.shares else ("texts of different lengths are read apart: padding alters them",),
    )
    return EncoderEngine(model, capabilities, {task: makers[task] for task in tasks[kind] if task in makers})


def _positions(network: Any) -> int | None:
    """Longest text in tokens; some families count positions from behind the padding token's id."""
    positions = getattr(network.config, "max_position_embeddings", None)
    for name, module in network.named_modules():
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            return int(module.weight.shape[0]) - int(module.padding_idx) - 1
    return positions if isinstance(positions, int) and positions > 0 else None


def _padding_is_harmless(model: Encoder) -> bool:
    """Whether a row beside a longer one gives what it gives alone; this also warms up."""
    size = int(model.network.get_input_embeddings().weight.shape[0])
    usable = [token for token in range(size) if token != model.pad]
    rows = [[usable[(31 * i + 7 * length) % len(usable)] for i in range(length)] for length in _PROBE]
    try:
        with torch.inference_mode():
            alone, together = model.read(rows[:1])[0], model.read(rows)[0]
    except ValueError:  # a decoder that classifies and has no padding token
        return False
    together = together[: len(alone)]
    tolerance = _TOLERANCE if model.network.dtype == torch.float32 else _HALF_TOLERANCE
    return bool((alone - together).abs().max() <= tolerance * alone.std().clamp(min=1e-3))
