"""Backend ``hf``: decoder-only and encoder-decoder checkpoints in Hugging Face format.

transformers loads and runs the model; the loop round it is this package's own (``engine``), so that one
replica serves many requests at once, token by token. Importing this module costs nothing: torch comes with
``load``.
"""

import importlib
import json
from pathlib import Path
from typing import ClassVar

from backends.base import Engine, Progress, Requirement
from backends.faults import package_needed
from repl.messages import ModelSpec
from repl.params import Support, SupportTable

_INSTALL = "pip install 'multigpu-repl[hf]'"


_FAIRSEQ_ONLY = (
    *("diverse_groups", "diverse_strength", "diversity_rate", "match_source_len", "max_new_ratio"),
    *("constraints", "constraint_order", "replace_unk", "source_lang", "target_lang"),
)


class HuggingFace:
    """See ``backends.base.Backend``."""

    name: ClassVar[str] = "hf"
    spreads: ClassVar[bool] = True
    models_in_options: ClassVar[tuple[str, ...]] = ("adapter", "assistant")
    summary: ClassVar[str] = "Hugging Face checkpoints: decoder-only and encoder-decoder models"
    requires: ClassVar[tuple[Requirement, ...]] = (
        Requirement(module="torch", install=_INSTALL),
        Requirement(module="transformers", install=_INSTALL),
        Requirement(module="safetensors", install=_INSTALL),
    )
    parameters: ClassVar[SupportTable] = {
        "temperature": Support("exact", "temperature, do_sample", "no effect under beams"),
        "top_k": Support(
            "exact", "top_k", "applied first; ties with the last one stay; no effect under beams"
        ),
        "top_p": Support("exact", "top_p", "of what top_k left; no effect under beams"),
        "min_p": Support("exact", "min_p", "of what top_p left; no effect under beams"),
        "beam": Support("exact", "num_beams, early_stopping=True"),
        "n": Support("exact", "num_return_sequences", "no effect without sampling or beams"),
        "length_penalty": Support(
            "exact", "length_penalty", "over the answer's tokens, end token included; beams only"
        ),
        "repetition_penalty": Support(
            "exact", "repetition_penalty", "a decoder-only model's prompt counts as said before"
        ),
        "no_repeat_ngram": Support(
            "exact", "no_repeat_ngram_size", "a decoder-only model's prompt counts as said before"
        ),
        "unkpen": Support("exact", "sequence_bias", "no effect without an unknown token"),
        "max_new": Support("exact", "max_new_tokens"),
        "min_new": Support("exact", "min_new_tokens"),
        "stop": Support("exact", "stop_strings", "the stop string itself is cut off"),
        "seed": Support("exact", "none; generate uses torch's global generator", "the keyed sampler's own"),
        "logprobs": Support("exact", "output_logits"),
        "typical_p": Support("exact", "typical_p", "of what min_p left; no effect under beams"),
        "presence_penalty": Support("exact", "", "as OpenAI's; the prompt does not count"),
        "frequency_penalty": Support("exact", "", "as OpenAI's; the prompt does not count"),
        "logit_bias": Support("exact", "sequence_bias", "on a word's last token, with and without a space"),
        "ban": Support("exact", "bad_words_ids", "a word with and without a space before it"),
        "stop_tokens": Support("exact", "eos_token_id", "the token itself is not shown"),
        "truncate": Support("exact", "", "a conversation loses its oldest turns first"),
        **dict.fromkeys(_FAIRSEQ_ONLY, Support("none", "", "of fairseq's search alone")),
    }

    @classmethod
    def preload(cls) -> None:
        """See ``Preloading``."""
        importlib.import_module("backends.hf.load")

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """A folder whose ``config.json`` names a model type, an adapter's, or a GGUF file."""
        if (path / "adapter_config.json").is_file() or (path.suffix == ".gguf" and path.is_file()):
            return True
        try:
            config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return isinstance(config, dict) and "model_type" in config

    @classmethod
    def load(cls, model: ModelSpec, device: str, threads: int, progress: Progress) -> Engine:
        """See ``Backend.load``."""
        progress("libraries", None)
        with package_needed(model.name, _INSTALL):
            loader = importlib.import_module("backends.hf.load")
        engine: Engine = loader.load(model, device, threads, progress)
        return engine
