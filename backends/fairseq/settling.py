"""Settled about a checkpoint before fairseq is asked to build it: its task, its languages, its files."""

from pathlib import Path
from typing import Any

from backends.base import BackendError
from backends.fairseq import files, networks
from repl.messages import ModelSpec

TASKS = {
    "translation": "seq2seq",
    "language_modeling": "causal",
    "translation_multi_simple_epoch": "seq2seq",
    "multilingual_translation": "seq2seq",
}
"""Tasks that are supported, with the kind of their models."""


def kind_of(task: str) -> str | None:
    """Of the models of a task, or of one that is derived from it; None where it is not supported."""
    from fairseq.tasks import TASK_REGISTRY

    for name, kind in TASKS.items():
        if task == name or (task in TASK_REGISTRY and issubclass(TASK_REGISTRY[task], TASK_REGISTRY[name])):
            return kind
    return None


def check(path: Path, config: Any) -> None:
    """Say early and in plain words what fairseq would say late and in a traceback."""
    from fairseq.models import ARCH_MODEL_NAME_REGISTRY, MODEL_REGISTRY

    task, arch = networks.name_of(config.task), networks.name_of(config.model)
    if kind_of(task) is None:
        raise BackendError(
            "unsupported",
            f"{path} is a checkpoint of the task '{task}', which is not supported",
            f"supported are {', '.join(TASKS)}",
        )
    if arch not in ARCH_MODEL_NAME_REGISTRY and arch not in MODEL_REGISTRY:
        raise BackendError(
            "unsupported",
            f"{path} has the architecture '{arch}', which this fairseq does not know",
            f"known to work are {', '.join(networks.ARCHITECTURES)}; user_dir (--user-dir) loads plug-ins",
        )


def dictionaries(spec: ModelSpec, path: Path, config: Any, folder: Path) -> None:
    """Find out the language pair of a translation model, and see that its dictionaries are there."""
    if kind_of(networks.name_of(config.task)) == "causal":
        files.require_dictionaries(spec, folder, ["dict.txt"])
        return
    source, target = getattr(config.task, "source_lang", None), getattr(config.task, "target_lang", None)
    pairs = getattr(config.task, "lang_pairs", None)
    if pairs:  # a model of several languages begins with the first of its pairs, unless it is told another
        first, _, second = (pairs.split(",") if isinstance(pairs, str) else pairs)[0].partition("-")
        source, target = source or first, target or second
        _languages(config, folder)
    pair = files.languages(folder, source, target)
    if pair is None:
        raise BackendError(
            "missing_file",
            f"{path} does not say which languages it translates",
            "put 'options: {source_lang: ..., target_lang: ...}' into the model's configuration, as in the "
            f"names dict.LANG.txt in {folder}",
        )
    config.task.source_lang, config.task.target_lang = pair
    own = [getattr(config.task, f"{side}_dict", None) for side in ("source", "target")]
    named = [f"dict.{language}.txt" for language, file in zip(pair, own, strict=True) if file is None]
    files.require_dictionaries(spec, folder, named)


def _languages(config: Any, folder: Path) -> None:
    """Files that a checkpoint names with paths of another machine are looked for in ``folder``."""
    for name in ("lang_dict", "source_dict", "target_dict"):
        named = getattr(config.task, name, None)
        if isinstance(named, str) and not Path(named).is_file():
            setattr(config.task, name, str(folder / Path(named).name))
