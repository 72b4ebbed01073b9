"""The command line of ``fairseq-interactive``, by fairseq's own names.

A flag that is not supported is refused by name: an answer that silently differs is worse than none.
"""

import argparse
from typing import Any

from repl.arguments import PROGRAM, Parser, UsageError
from repl.interactive import training

NOT_SUPPORTED = (
    *("tpu", "iter-decode-with-external-reranker"),
    *("checkpoint-suffix", "checkpoint-shard-count", "model-parallel-size", "pipeline-model-parallel"),
)
"""Flags that ``fairseq-interactive`` has and that this program cannot honour."""

NO_EFFECT = (
    *(
        "buffer-size",
        "max-tokens",
        "num-workers",
        "log-interval",
        "log-format",
        "required-batch-size-multiple",
    ),
    *("criterion", "gen-subset", "results-path", "eos-token", "scoring", "decoding-format"),
    *("iter-decode-eos-penalty", "iter-decode-max-iter", "iter-decode-with-beam"),
    *("lang-pairs", "langs", "lang-dict", "lang-tok-style", "encoder-langtok"),
)
SWITCHES_WITHOUT_EFFECT = (
    *("skip-invalid-size-inputs-valid-test", "no-progress-bar", "no-beamable-mm", "left-pad-source"),
    *("quiet", "sacrebleu", "print-step", "retain-iter-history", "iter-decode-force-max-iter"),
    *("no-early-stop", "no-seed-provided", "decoder-langtok", "lang-tok-replacing-bos-eos"),
)
"""What only says how fairseq goes about it, or what its own tool takes and does not look at."""

SPLITTING = ("bpe", "bpe_codes", "sentencepiece_model", "gpt2_encoder_json", "gpt2_vocab_bpe", "tokenizer")


TASKS = ("translation", "translation_multi_simple_epoch", "multilingual_translation")


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
    _model(made)
    ignored = made.add_argument_group("accepted, without effect here")
    for name in (*NO_EFFECT, *training.WITH_A_VALUE):
        ignored.add_argument(f"--{name}", metavar="X", help=argparse.SUPPRESS)
    for name in (*SWITCHES_WITHOUT_EFFECT, *training.SWITCHES):
        ignored.add_argument(f"--{name}", action="store_true", help=argparse.SUPPRESS)
    for name in NOT_SUPPORTED:
        made.add_argument(f"--{name}", action=_Refused, nargs="*", help=argparse.SUPPRESS)
    return made


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
    search.add_argument("--max-len-a", type=float, default=0.0, metavar="A")
    search.add_argument("--max-len-b", type=int, default=200, metavar="B")
    search.add_argument("--min-len", type=int, default=1, metavar="N")
    search.add_argument("--lenpen", type=float, default=1.0, metavar="X")
    search.add_argument("--unkpen", type=float, default=0.0, metavar="X")
    search.add_argument("--unnormalized", action="store_true", help="as --lenpen 0")
    search.add_argument("--match-source-len", action="store_true")
    search.add_argument("--diverse-beam-groups", type=int, default=-1, metavar="N")
    search.add_argument("--diverse-beam-strength", type=float, default=0.5, metavar="X")
    search.add_argument("--diversity-rate", type=float, default=-1.0, metavar="X")
    search.add_argument(
        "--constraints",
        nargs="?",
        const="ordered",
        choices=["ordered", "unordered"],
        help="a line is SOURCE<TAB>PHRASE<TAB>PHRASE...; its answer holds the phrases",
    )
    search.add_argument(
        "--score-reference", action="store_true", help="a line is SOURCE<TAB>REFERENCE, which is scored"
    )
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
    text.add_argument("--task", choices=TASKS, default=TASKS[0])
    text.add_argument("-s", "--source-lang", metavar="LANG")
    text.add_argument("-t", "--target-lang", metavar="LANG")
    text.add_argument("--remove-bpe", "--post-process", nargs="?", const="@@ ", metavar="MARK")
    for name in SPLITTING:
        text.add_argument("--" + name.replace("_", "-"), metavar="X")
    text.add_argument("--print-alignment", nargs="?", const="hard", choices=["hard", "soft"])
    text.add_argument(
        "--replace-unk",
        nargs="?",
        const="",
        metavar="FILE",
        help="FILE: a word and its translation a line",
    )
    text.add_argument("--truncate-source", action="store_true", help="cut off the end of a line too long")


def _model(made: Parser) -> None:
    model = made.add_argument_group("model")
    model.add_argument("--model-overrides", default="{}", metavar="DICT", help="as Python writes a dict")
    model.add_argument("--lm-path", metavar="LM.pt", help="a language model that has a say in the search")
    model.add_argument("--lm-weight", type=float, default=0.0, metavar="X")
    model.add_argument("--retain-dropout", action="store_true")
    model.add_argument("--retain-dropout-modules", metavar="CLASS[,CLASS...]")
    model.add_argument("--user-dir", metavar="DIR", help="your own tasks and architectures; their code runs")
