"""The flags of ``fairseq-interactive`` in the words of this program."""

import argparse
import ast
from pathlib import Path

import msgspec

from backends import fingerprint
from repl.arguments import UsageError
from repl.batch.record import Style
from repl.config.schema import MAX_REPLICAS
from repl.interactive.parser import SPLITTING, parser
from repl.params import ParamError, Value, check


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a command line asks for."""

    data: str
    path: str
    input: str
    options: dict[str, object]
    """Of the model, as in its configuration."""
    settings: dict[str, Value]
    """Parameters of every line."""
    seed: int | None
    prefix: int
    """Most words of an answer's beginning that a line may bring; 0: a line is nothing but its source."""
    score: bool
    """A line is a source and a reference, which is scored."""
    constraints: bool
    """A line may bring phrases that its answer must hold."""
    trust: tuple[str, ...]
    """Code that may run because the command names it."""
    style: Style
    devices: str | None
    replicas: str | None
    dtype: str | None
    slots: int | None
    notes: tuple[str, ...]
    """What the user may not expect."""


def read(argv: list[str]) -> Wanted:
    """Raises ``UsageError``."""
    said = parser().read(argv)
    if said.score_reference and (said.prefix_size or said.constraints):
        raise UsageError("--score-reference excludes --prefix-size and --constraints: nothing is searched")
    if said.num_gpus is not None and not 0 <= said.num_gpus <= MAX_REPLICAS:
        raise UsageError(f"--num-gpus: {said.num_gpus} is not allowed: it must be at most {MAX_REPLICAS}")
    settings, notes = _settings(said)
    options: dict[str, object] = {name: getattr(said, name) for name in SPLITTING if getattr(said, name)}
    # fairseq splits and joins nothing that it is not told to.
    for name in ("bpe", "tokenizer"):
        options.setdefault(name, "none")
    options["remove_bpe"] = said.remove_bpe or "none"
    options |= _of_model(said)
    return Wanted(
        data=said.data,
        path=said.path,
        input=said.input,
        options=options,
        settings=settings,
        seed=said.seed,
        prefix=said.prefix_size,
        score=said.score_reference,
        constraints=said.constraints is not None,
        trust=(_trusted(said.user_dir),) if said.user_dir else (),
        style=Style(
            seconds=True,
            symbols=not (said.bpe and said.remove_bpe),
            marks=not said.remove_bpe,
            alignment=said.print_alignment or "",
        ),
        devices="cpu" if said.cpu else None,
        replicas=str(said.num_gpus) if said.num_gpus else None,
        dtype="float16" if said.fp16 else "bfloat16" if said.bf16 else None,
        slots=said.batch_size,
        notes=tuple(notes),
    )


def _of_model(said: argparse.Namespace) -> dict[str, object]:
    """The options that are not about splitting text."""
    options: dict[str, object] = {}
    for name in ("source_lang", "target_lang", "lm_path", "retain_dropout", "user_dir"):
        if getattr(said, name):
            options[name] = getattr(said, name)
    if said.lm_path:
        options["lm_weight"] = said.lm_weight
    if said.retain_dropout_modules:
        options["retain_dropout_modules"] = said.retain_dropout_modules.split(",")
    if said.replace_unk:
        options["align_dict"] = said.replace_unk
    try:
        overrides = ast.literal_eval(said.model_overrides)
    except (ValueError, SyntaxError, RecursionError):
        overrides = None
    if not isinstance(overrides, dict):
        raise UsageError("--model-overrides: write a dict as Python does, {'dropout': 0.1}")
    try:
        msgspec.msgpack.encode(overrides)
    except (OverflowError, TypeError, UnicodeEncodeError) as error:
        raise UsageError(f"--model-overrides: this cannot be sent to a replica: {error}") from None
    if overrides:
        options["model_overrides"] = overrides
    return options


def _trusted(folder: str) -> str:
    try:
        path = Path(folder).expanduser().resolve()
        if not path.is_dir():
            raise UsageError(f"--user-dir: {folder} is not a folder")
        return fingerprint.code(path)
    except (OSError, RuntimeError) as error:
        raise UsageError(f"--user-dir: {folder} cannot be read: {error}") from None


def _wishes(said: argparse.Namespace) -> dict[str, Value]:
    """The parameters of the rarer flags, where they are given."""
    wanted: dict[str, Value] = {}
    if said.max_len_a:
        wanted["max_new_ratio"] = said.max_len_a
    if said.diverse_beam_groups > 0:
        wanted |= {
            "diverse_groups": said.diverse_beam_groups,
            "diverse_strength": said.diverse_beam_strength,
        }
    if said.diversity_rate > 0:
        wanted["diversity_rate"] = said.diversity_rate
    if said.constraints:
        wanted["constraint_order"] = said.constraints
    for name, given in (
        ("match_source_len", said.match_source_len),
        ("replace_unk", said.replace_unk is not None),
    ):
        if given:
            wanted[name] = "on"
    if said.truncate_source:
        wanted["truncate"] = "right"
    return wanted


def _settings(said: argparse.Namespace) -> tuple[dict[str, Value], list[str]]:
    """The parameters that are not at their defaults, and what to say about them."""
    notes: list[str] = []
    wanted: dict[str, Value] = {
        "n": said.nbest,
        "length_penalty": 0.0 if said.unnormalized else said.lenpen,
        "unkpen": said.unkpen,
        "max_new": said.max_len_b,
        "min_new": said.min_len,
        "no_repeat_ngram": said.no_repeat_ngram_size,
        **_wishes(said),
    }
    if said.sampling:
        wanted |= {"beam": 1, "temperature": said.temperature}
        wanted |= {"top_k": max(0, said.sampling_topk)}
        wanted |= {"top_p": said.sampling_topp if said.sampling_topp > 0 else 1.0}
        if said.beam not in (5, said.nbest):
            notes.append(f"--sampling draws --nbest {said.nbest} answers; --beam has no effect on it")
    elif said.beam == 1 and said.temperature != 1:
        raise UsageError("--temperature with --beam 1 and without --sampling is not supported")
    else:
        wanted |= {"beam": said.beam, "temperature": 0.0 if said.beam == 1 else said.temperature}
    try:
        return {name: check(name, value) for name, value in wanted.items()}, notes
    except ParamError as error:
        raise UsageError(str(error)) from None
