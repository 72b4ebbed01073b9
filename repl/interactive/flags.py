"""The flags of ``fairseq-interactive`` in the words of this program.

A flag that is not supported is refused by name: an answer that silently differs is worse than none.
"""

import argparse
from typing import Any

import msgspec

from repl.arguments import PROGRAM, Parser, UsageError
from repl.batch.record import Style
from repl.params import ParamError, Value, check

NOT_SUPPORTED = (
    *("constraints", "context-window", "criterion", "decoding-format", "diverse-beam-groups"),
    *("diverse-beam-strength", "diversity-rate", "eos-token", "force-anneal", "gen-subset"),
    *("iter-decode-eos-penalty", "iter-decode-force-max-iter", "iter-decode-max-iter"),
    *("iter-decode-with-beam", "iter-decode-with-external-reranker", "left-pad-source", "lm-path"),
    *("lm-weight", "match-source-len", "model-overrides", "print-step", "quiet", "replace-unk"),
    *("results-path", "retain-dropout", "retain-dropout-modules", "retain-iter-history", "sacrebleu"),
    *("score-reference", "truncate-source", "tpu", "unnormalized", "user-dir"),
)
"""Flags that ``fairseq-interactive`` has and that change its answers or its output."""

NO_EFFECT = ("buffer-size", "max-tokens", "num-workers", "log-interval", "log-format")
SWITCHES_WITHOUT_EFFECT = ("skip-invalid-size-inputs-valid-test", "no-progress-bar", "no-beamable-mm")
"""What only says how fairseq goes about it."""

_SPLITTING = ("bpe", "bpe_codes", "sentencepiece_model", "gpt2_encoder_json", "gpt2_vocab_bpe", "tokenizer")


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
    style: Style
    devices: str | None
    replicas: str | None
    dtype: str | None
    slots: int | None
    notes: tuple[str, ...]
    """What the user may not expect."""


def parser() -> Parser:
    """By fairseq's own names."""
    made = Parser(
        prog=f"{PROGRAM} fairseq-interactive",
        description="Answer lines as fairseq-interactive does, on every GPU.",
        epilog="docs/fairseq.md goes through the flags of fairseq one by one.",
    )
    made.add_argument("data", metavar="DATA", help="folder with the dictionaries")
    made.add_argument("--path", required=True, metavar="A.pt[:B.pt]", help="checkpoint, or an ensemble's")
    made.add_argument("--input", default="-", metavar="FILE", help="lines; - is standard input")
    _where(made)
    _search(made)
    _text(made)
    ignored = made.add_argument_group("accepted, without effect here")
    for name in NO_EFFECT:
        ignored.add_argument(f"--{name}", metavar="X", help=argparse.SUPPRESS)
    for name in SWITCHES_WITHOUT_EFFECT:
        ignored.add_argument(f"--{name}", action="store_true", help=argparse.SUPPRESS)
    for name in NOT_SUPPORTED:
        made.add_argument(f"--{name}", action=_Refused, nargs="*", help=argparse.SUPPRESS)
    return made


def read(argv: list[str]) -> Wanted:
    """Raises ``UsageError``."""
    said = parser().read(argv)
    if said.max_len_a:
        raise UsageError("--max-len-a is not supported except as 0: give the limit with --max-len-b")
    settings, notes = _settings(said)
    options: dict[str, object] = {name: getattr(said, name) for name in _SPLITTING if getattr(said, name)}
    # fairseq splits and joins nothing that it is not told to.
    for name in ("bpe", "tokenizer"):
        options.setdefault(name, "none")
    options["remove_bpe"] = said.remove_bpe or "none"
    for name in ("source_lang", "target_lang"):
        if getattr(said, name):
            options[name] = getattr(said, name)
    return Wanted(
        data=said.data,
        path=said.path,
        input=said.input,
        options=options,
        settings=settings,
        seed=said.seed,
        prefix=said.prefix_size,
        style=Style(
            symbols=not (said.bpe and said.remove_bpe),
            marks=not said.remove_bpe,
            alignment=bool(said.print_alignment),
        ),
        devices="cpu" if said.cpu else None,
        replicas=str(said.num_gpus) if said.num_gpus else None,
        dtype="float16" if said.fp16 else "bfloat16" if said.bf16 else None,
        slots=said.batch_size,
        notes=tuple(notes),
    )


class _Refused(argparse.Action):
    """A flag of fairseq that is not supported."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        raise UsageError(f"{option_string}: fairseq-interactive has this, {PROGRAM} does not support it yet")


def _where(made: Parser) -> None:
    where = made.add_argument_group("where it runs")
    where.add_argument(
        "--num-gpus", type=int, metavar="N", help="replicas, one on each GPU; default: all GPUs"
    )
    where.add_argument("--cpu", action="store_true", help="no GPU")
    where.add_argument("--fp16", action="store_true")
    where.add_argument("--bf16", action="store_true")
    where.add_argument(
        "--batch-size", "--max-sentences", type=int, metavar="N", help="lines a replica answers together"
    )


def _search(made: Parser) -> None:
    search = made.add_argument_group("search")
    search.add_argument("--beam", type=int, default=5, metavar="N")
    search.add_argument("--nbest", type=int, default=1, metavar="N")
    search.add_argument("--max-len-a", type=float, default=0.0, metavar="A", help="only 0")
    search.add_argument("--max-len-b", type=int, default=200, metavar="B")
    search.add_argument("--min-len", type=int, default=1, metavar="N")
    search.add_argument("--lenpen", type=float, default=1.0, metavar="X")
    search.add_argument("--unkpen", type=float, default=0.0, metavar="X")
    search.add_argument("--no-repeat-ngram-size", type=int, default=0, metavar="N")
    search.add_argument("--temperature", type=float, default=1.0, metavar="X")
    search.add_argument("--sampling", action="store_true")
    search.add_argument("--sampling-topk", type=int, default=-1, metavar="K")
    search.add_argument("--sampling-topp", type=float, default=-1.0, metavar="P")
    search.add_argument("--seed", type=int, metavar="N")
    search.add_argument(
        "--prefix-size",
        type=int,
        default=0,
        metavar="N",
        help="a line is PREFIX<TAB>SOURCE; its answer begins with the first N words of PREFIX",
    )


def _text(made: Parser) -> None:
    text = made.add_argument_group("text")
    text.add_argument("--task", choices=["translation"], default="translation")
    text.add_argument("-s", "--source-lang", metavar="LANG")
    text.add_argument("-t", "--target-lang", metavar="LANG")
    text.add_argument("--remove-bpe", "--post-process", nargs="?", const="@@ ", metavar="MARK")
    for name in _SPLITTING:
        text.add_argument("--" + name.replace("_", "-"), metavar="X")
    text.add_argument("--print-alignment", nargs="?", const="hard", choices=["hard"])


def _settings(said: argparse.Namespace) -> tuple[dict[str, Value], list[str]]:
    """The parameters that are not at their defaults, and what to say about them."""
    notes: list[str] = []
    wanted: dict[str, Value] = {
        "n": said.nbest,
        "length_penalty": said.lenpen,
        "unkpen": said.unkpen,
        "max_new": said.max_len_b,
        "min_new": said.min_len,
        "no_repeat_ngram": said.no_repeat_ngram_size,
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
