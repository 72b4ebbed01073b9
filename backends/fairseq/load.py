"""From a configured model to one that runs: reads the checkpoints, checks them, builds the networks.

Called in the replica's process, once; backend ``ctranslate2`` calls it too.
"""

import logging
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from backends import fingerprint
from backends.base import BackendError, Progress
from backends.fairseq import files, fusion, networks, options, plugins, safe_load, settling, splitting
from backends.fairseq.fusion import Fusion
from backends.fairseq.options import Options
from backends.fairseq.routes import Routes
from backends.fairseq.text import Codec
from repl.messages import ModelSpec

_DTYPES = {"auto": "float32", "float32": "float32", "float16": "float16", "bfloat16": "bfloat16"}


@dataclass(frozen=True)
class Model:
    """Everything the engine needs, on its device."""

    name: str
    networks: list[Any]
    """Of one model or an ensemble."""
    task: Any
    codec: Codec
    causal: bool
    device: torch.device
    template: str | None
    max_source: int | None
    """Positions of the encoder, end token included; None without limit or without encoder."""
    max_target: int
    """Positions of the decoder."""
    fusion: Fusion | None
    dropout: bool
    """Dropout is on, and torch's random numbers count."""
    translations: Mapping[str, str]
    """For words in the place of unknown ones: what the user would rather see."""
    routes: Routes
    pads_left: bool
    """Where the encoder was taught to expect the padding of a batch."""
    attends_left: bool
    """Where what it gives to the decoder has that padding: an LSTM moves it to the right."""
    dtype: str
    checkpoint_hash: str
    notes: tuple[str, ...]

    @property
    def parameters(self) -> int:
        """Number of weights, of all networks together."""
        return sum(weight.numel() for network in self.networks for weight in network.parameters())

    @property
    def max_prompt(self) -> int | None:
        """Longest prompt: the encoder adds an end token, a decoder starts with one and has to answer."""
        if self.causal:
            return self.max_target - 2
        return None if self.max_source is None else self.max_source - 1


def load(spec: ModelSpec, device: str, progress: Progress) -> Model:
    """Load ``spec`` on ``device``; raises ``BackendError``. ``compat.load`` has been called.

    On the device ``meta`` all is known but the weights, which are not read.
    """
    hollow = device == "meta"
    chosen = options.of(spec)
    dtype = _dtype(spec, device)
    paths = files.checkpoints(spec)
    folder = files.data_folder(spec, paths[0])
    logging.getLogger("fairseq").setLevel(logging.WARNING)
    if chosen.user_dir is not None:
        plugins.load(spec, chosen.user_dir)
    loaded: list[Any] = []
    config = task = None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of hydra and torch, about fairseq's use of them
        for place, path in enumerate(paths):
            done = place / len(paths) if len(paths) > 1 else None
            progress("checkpoint", done)
            trusted = safe_load.is_trusted(spec.trust, path)
            with safe_load.trusting(trusted), safe_load.mapping(hollow):
                state, config = networks.read(spec, path, _overrides(folder, chosen))
                if task is None:
                    settling.check(path, config)
                    settling.dictionaries(spec, path, config, folder)
                progress("weights", done)
                network, task = networks.build(spec, path, state, config, task, hollow=hollow)
            loaded.append(networks.prepared(network, device, dtype, chosen.dropout))
        fused = _fusion(spec, chosen, folder, task, device, dtype)
    assert config is not None and task is not None
    routes = _routes(config, task)
    codec = _codec(chosen, config, task, folder, routes)
    return _assembled(spec, paths, loaded, task, codec, routes, chosen, fused, device, dtype)


def _routes(config: Any, task: Any) -> Routes:
    """Between the languages of a model; a language model begins as its task says."""
    dictionary = task.target_dictionary
    begin = dictionary.eos()
    if getattr(getattr(task, "args", None), "add_bos_token", False):
        begin = dictionary.bos()
    source, target = getattr(config.task, "source_lang", None), getattr(config.task, "target_lang", None)
    return Routes(task, source, target, begin)


def _fusion(
    spec: ModelSpec, chosen: Options, folder: Path, task: Any, device: str, dtype: str
) -> Fusion | None:
    """The language model that has a say, if one is wanted."""
    if chosen.lm_path is None:
        return None
    path = Path(chosen.lm_path).expanduser()
    return fusion.load(spec, path, chosen.lm_weight, folder, task.target_dictionary, device, dtype)


def _dtype(spec: ModelSpec, device: str) -> str:
    if spec.dtype not in _DTYPES:
        raise BackendError(
            "bad_parameter",
            f"dtype '{spec.dtype}' of model '{spec.name}' is not known",
            f"known are {', '.join(_DTYPES)}",
        )
    if spec.dtype == "float16" and device == "cpu":
        raise BackendError(
            "unsupported", f"model '{spec.name}' cannot run in float16 on a CPU", "set 'dtype: float32'"
        )
    return _DTYPES[spec.dtype]


def _overrides(folder: Path, chosen: Options) -> dict[str, Any]:
    """What of the configuration in a checkpoint holds for the machine it was trained on."""
    changes: dict[str, Any] = {"data": str(folder), "eval_bleu": False}
    changes |= {"encoder_embed_path": None, "decoder_embed_path": None}
    if chosen.source_lang is not None:
        changes["source_lang"] = chosen.source_lang
    if chosen.target_lang is not None:
        changes["target_lang"] = chosen.target_lang
    return changes | chosen.model_overrides


def _codec(chosen: Options, config: Any, task: Any, folder: Path, routes: Routes) -> Codec:
    source, target = (getattr(config.task, f"{side}_lang", None) or "en" for side in ("source", "target"))
    return Codec(
        task.source_dictionary,
        task.target_dictionary,
        splitting.bpe(chosen, getattr(config, "bpe", None), folder),
        splitting.tokenizer(chosen, getattr(config, "tokenizer", None), (source, target)),
        chosen.remove_bpe,
        routes.silent,
    )


def _translations(spec: ModelSpec, chosen: Options) -> dict[str, str]:
    """The user's dictionary for unknown words: two words on each line."""
    if chosen.align_dict is None:
        return {}
    try:
        with Path(chosen.align_dict).expanduser().open(encoding="utf-8") as file:
            pairs = [line.split() for line in file]
    except (OSError, UnicodeDecodeError) as error:
        raise BackendError(
            "missing_file", f"align_dict of model '{spec.name}' cannot be read: {error}", "check its path"
        ) from None
    for number, pair in enumerate(pairs, 1):
        if len(pair) != 2:
            raise BackendError(
                "bad_parameter",
                f"{chosen.align_dict}, line {number}: {len(pair)} words, not 2",
                "write a word of the source and its translation on each line",
            )
    return {pair[0]: pair[1] for pair in pairs}


def _notes(codec: Codec, members: int, chosen: Options, fused: Fusion | None) -> tuple[str, ...]:
    """What whoever asks the model is to know."""
    notes = []
    if codec.unsplit:
        notes.append("the dictionary holds parts of words: set 'options: {bpe: ...}' to have prompts split")
    if members > 1:
        notes.append(f"an ensemble of {members} checkpoints")
    if fused is not None:
        notes.append(f"a language model has a say of {fused.weight:g}")
    if chosen.retain_dropout:
        notes.append("dropout is on: answers and figures vary with the seed")
    return tuple(notes)


def _assembled(
    spec: ModelSpec,
    paths: Sequence[Path],
    loaded: list[Any],
    task: Any,
    codec: Codec,
    routes: Routes,
    chosen: Options,
    fused: Fusion | None,
    device: str,
    dtype: str,
) -> Model:
    """What is loaded, with the figures that fairseq's task and networks tell of themselves."""
    from fairseq.models.lstm import LSTMEncoder
    from fairseq.utils import resolve_max_positions

    longest = task.max_positions()
    if isinstance(longest, dict):
        longest = next(iter(longest.values()))
    positions = resolve_max_positions(longest, *(network.max_positions() for network in loaded))
    causal = not hasattr(loaded[0], "encoder")
    read = [*paths, Path(chosen.lm_path).expanduser()] if chosen.lm_path else paths
    pads_left = not causal and bool((task.cfg or task.args).left_pad_source)
    return Model(
        name=spec.name,
        networks=loaded,
        task=task,
        codec=codec,
        causal=causal,
        device=torch.device(device),
        template=spec.prompt_template,
        max_source=None if causal else positions[0],
        max_target=min(network.max_decoder_positions() for network in loaded),
        fusion=fused,
        dropout=chosen.retain_dropout,
        translations=_translations(spec, chosen),
        routes=routes,
        pads_left=pads_left,
        attends_left=pads_left and not isinstance(loaded[0].encoder, LSTMEncoder),
        dtype=dtype,
        checkpoint_hash=fingerprint.files(read),
        notes=_notes(codec, len(loaded), chosen, fused),
    )
