"""The command line's words: which options and subcommands there are, and the nearest one to a mistyped word.

Only ``repl.cli`` uses it. Nothing heavy is imported here: ``--help`` must come at once.
"""

import argparse
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NoReturn

from repl.spelling import nearest

PROGRAM = "multigpu-repl"

HIGHEST_PORT = 65_535

COMMANDS = {
    "run": "answer a file of prompts over all replicas, in order; resumable",
    "fairseq-interactive": "as fairseq's own tool, with its flags, on every GPU",
    "records": "list, search, show and export what every session left in the record",
    "bench": "measure dispatch, streaming, batch and start-up against their peers",
    "doctor": "say what is installed, which backends work, and why one does not",
    "install": "add what an extra cannot say: multigpu-repl install fairseq",
}

_EPILOG = """\
commands (each has its own --help):
{commands}

examples:
  multigpu-repl                                      the demo models
  multigpu-repl --model ./checkpoint --devices 0,1   a replica on each of two GPUs
  multigpu-repl --model a=run/1000 --model b=run/2000
  echo 'two hundred and five' | multigpu-repl --model num2digits

exit codes: 0 answered; 1 some answers failed; 2 wrong usage or configuration; 3 no model could be loaded;
70 a fault of the program; 130 interrupted; 141 the reader of the output has left; 143 terminated
"""


_ACTIONS = "list|search|show|sessions|export|path"


def _port(word: str) -> int:
    """A port, for argparse."""
    if word.isascii() and word.isdigit() and 0 < int(word) <= HIGHEST_PORT:
        return int(word)
    raise argparse.ArgumentTypeError(f"'{word}' is not a port: it must be from 1 to {HIGHEST_PORT}")


class UsageError(Exception):
    """The command line cannot be understood; the message says what is meant instead."""


class Parser(argparse.ArgumentParser):
    """Raises ``UsageError`` instead of ending the process, and knows the nearest option to an unknown one."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs)

    def error(self, message: str) -> NoReturn:
        """Called by argparse for a missing or unfit value."""
        raise UsageError(f"{message} ({self.prog} --help lists the options)")

    def read(self, argv: Sequence[str]) -> argparse.Namespace:
        """The values of ``argv``; ``UsageError`` for any word that is left over."""
        found, left = self.parse_known_args(argv)
        if left:
            raise UsageError(self._unknown(next((word for word in left if word.startswith("-")), left[0])))
        return found

    def _unknown(self, word: str) -> str:
        if not word.startswith("-"):
            return _not_a_command(word) if self.prog == PROGRAM else f"'{word}' is one word too many"
        option = word.partition("=")[0]
        near = nearest(option, [o for a in self._actions for o in a.option_strings])
        hint = f"did you mean {near}?" if near else f"{self.prog} --help lists those there are"
        return f"unknown option {option}: {hint}"


def _not_a_command(word: str) -> str:
    if word in COMMANDS:
        return f"a command comes first: {PROGRAM} {word} ..."
    near = nearest(word, COMMANDS)
    if near:
        return f"unknown command '{word}': did you mean {PROGRAM} {near}?"
    return f"unknown command '{word}': there are {', '.join(COMMANDS)}; a model is named with --model {word}"


def split(argv: Sequence[str]) -> tuple[str | None, list[str]]:
    """The subcommand, if one is named, and the words after it; ``UsageError`` for an unknown one."""
    if not argv or argv[0].startswith("-"):
        return None, list(argv)
    if argv[0] not in COMMANDS:
        raise UsageError(_not_a_command(argv[0]))
    return argv[0], list(argv[1:])


def opening(version: str) -> Parser:
    """Of the command without a subcommand: the TUI, line mode and pipes."""
    width = max(map(len, COMMANDS))
    commands = "\n".join(f"  {name:<{width}}  {about}" for name, about in COMMANDS.items())
    parser = Parser(
        prog=PROGRAM,
        usage=f"{PROGRAM} [COMMAND] [OPTIONS]",
        description="A terminal REPL for text generation on every GPU of a machine.",
        epilog=_EPILOG.format(commands=commands),
    )
    parser.add_argument("--version", action="version", version=f"{PROGRAM} {version}")
    _models(parser)
    _answers(parser)
    screen = parser.add_argument_group("interface")
    screen.add_argument(
        "--plain", action="store_true", help="line mode: for simple terminals and screen readers"
    )
    screen.add_argument("--json", action="store_true", help="lines in, events out: one JSON object a line")
    screen.add_argument(
        "--resume", nargs="?", const="last", metavar="ID", help="go on with the last session, or with ID"
    )
    screen.add_argument("--theme", metavar="NAME", help="colours; /theme lists them")
    screen.add_argument("--no-record", action="store_true", help="write nothing to the record")
    return parser


def run() -> Parser:
    """Of ``multigpu-repl run``."""
    parser = Parser(
        prog=f"{PROGRAM} run",
        description="Answer a file of prompts over all replicas; a run that was cut off goes on.",
    )
    lines = parser.add_argument_group("lines")
    lines.add_argument(
        "-i", "--input", default="-", metavar="FILE", help="prompts, one a line; - is standard input"
    )
    lines.add_argument(
        "-o", "--output", default="-", metavar="FILE", help="answers, in order; - is standard output"
    )
    lines.add_argument(
        "--format", choices=("jsonl", "fairseq", "text"), default="jsonl", help="of the output"
    )
    lines.add_argument(
        "--chain", default="", metavar="a>b", help="the output of one model is the input of the next"
    )
    lines.add_argument("--restart", action="store_true", help="begin anew where the output file has answers")
    lines.add_argument("-q", "--quiet", action="store_true", help="no progress on standard error")
    _models(parser)
    _answers(parser)
    return parser


def records() -> Parser:
    """Of ``multigpu-repl records``."""
    parser = Parser(prog=f"{PROGRAM} records", description="What every session has left in the record.")
    actions = parser.add_subparsers(dest="action", required=True, metavar=_ACTIONS)
    common = Parser(add_help=False)
    common.add_argument("--record", metavar="FILE", help="another record than your own")
    chosen = Parser(add_help=False)
    chosen.add_argument("--model", metavar="NAME", help="only answers of this model")
    chosen.add_argument("--session", metavar="ID", help="only those of one session")
    chosen.add_argument("--task", metavar="NAME", help="only generate, score, lens ...")
    chosen.add_argument(
        "--since", type=_date, metavar="DATE", help="only those asked since, as 2026-11-21 (UTC)"
    )
    chosen.add_argument("--probes", action="store_true", help="also what probes asked for their own ends")
    printed = Parser(add_help=False)
    printed.add_argument("--json", action="store_true", help="one JSON object a line")
    limited = Parser(add_help=False)
    limited.add_argument("-n", "--limit", type=_limit, default=50, metavar="N", help="the latest N (50)")

    def action(name: str, about: str, *parents: Parser) -> Parser:
        made: Parser = actions.add_parser(name, help=about, description=about, parents=[common, *parents])
        return made

    action("list", "the latest answers", chosen, printed, limited)
    search = action("search", "answers by any part of prompt or answer", chosen, printed, limited)
    search.add_argument("text", metavar="TEXT")
    show = action("show", "answers whole, with the surprisal of their tokens", printed)
    show.add_argument("numbers", nargs="+", type=_number, metavar="#ID")
    action("sessions", "the sessions", printed)
    export = action("export", "answers to a file; its ending is the format", chosen)
    export.add_argument("file", metavar="FILE", help=".jsonl .openai.jsonl .lm-eval.jsonl .parquet .html .md")
    export.add_argument("--text", default="", metavar="TEXT", help="only those with it in prompt or answer")
    export.add_argument("--replace", action="store_true", help="replace the file if it exists")
    action("path", "where the record lies")
    return parser


def _number(word: str) -> int:
    """``#18`` or ``18``, for argparse."""
    digits = word.removeprefix("#")
    if digits.isascii() and digits.isdigit() and len(digits) < 19:
        return int(digits)
    raise argparse.ArgumentTypeError(f"'{word}' is not the number of an answer: they look like #18")


def _limit(word: str) -> int:
    """How many answers, for argparse."""
    if word.isascii() and word.isdigit() and len(word) < 19 and int(word):
        return int(word)
    raise argparse.ArgumentTypeError(f"'{word}' is not a number of answers: it must be a whole one from 1")


def _date(word: str) -> str:
    """A day, or a moment in it, as the record writes them; for argparse."""
    try:
        datetime.fromisoformat(word)
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{word}' is not a date: write it as 2026-11-21") from None
    return word


def bench(names: Sequence[str]) -> Parser:
    """Of ``multigpu-repl bench``."""
    parser = Parser(prog=f"{PROGRAM} bench", description="Measure, each time beside a peer in the same run.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all, or some of {', '.join(names)}")
    parser.add_argument("--json", metavar="FILE", help="write the figures there too")
    parser.add_argument("--quick", action="store_true", help="fewer rounds: a rough figure")
    parser.add_argument(
        "--replay", metavar="TRACE", help="only hold a trace of --trace against other policies"
    )
    return parser


def doctor() -> Parser:
    """Of ``multigpu-repl doctor``."""
    parser = Parser(
        prog=f"{PROGRAM} doctor",
        description="Say what is installed, which backends work, and why one does not.",
    )
    parser.add_argument("--json", action="store_true", help="a JSON list instead of a table")
    parser.add_argument("--quick", action="store_true", help="do not ask the demo models")
    return parser


def install(names: Sequence[str]) -> Parser:
    """Of ``multigpu-repl install``."""
    parser = Parser(
        prog=f"{PROGRAM} install", description="Add to this Python environment what an extra cannot say."
    )
    parser.add_argument("what", metavar="NAME", help=f"one of {', '.join(names)}")
    parser.add_argument(
        "--constraint", action="append", default=[], metavar="FILE", help="pin versions, as pip's option does"
    )
    return parser


def _models(parser: argparse.ArgumentParser) -> None:
    models = parser.add_argument_group("models")
    models.add_argument(
        "-c", "--config", metavar="FILE", help="a YAML file, or the name of a ready one: demo, echo ..."
    )
    models.add_argument(
        "-m",
        "--model",
        action="append",
        default=[],
        metavar="[NAME=]WHAT",
        help="a checkpoint's path, a hub name, or the name of a configured model; repeat to compare",
    )
    models.add_argument(
        "--backend", metavar="NAME", help="hf, fairseq ...; told from the path where it can be"
    )
    models.add_argument("--data", metavar="FOLDER", help="with the dictionaries of a fairseq checkpoint")
    models.add_argument("--devices", metavar="LIST", help="0,1 or cuda:0,cuda:1 or cpu: a replica on each")
    models.add_argument("--replicas", metavar="N", help="of each model; auto is one on each GPU")
    models.add_argument("--dtype", metavar="TYPE", help="auto, float32, float16 or bfloat16")
    models.add_argument(
        "--gpus-per-replica", type=int, metavar="K", help="spread each replica over K GPUs (tensor parallel)"
    )
    models.add_argument("--slots", type=int, metavar="N", help="requests one replica serves at once")
    models.add_argument(
        "--trust",
        action="append",
        default=[],
        metavar="WHAT",
        help="sha256:... of a file that may run code when loaded, or remote-code",
    )
    models.add_argument(
        "--compare",
        "--use",
        action="append",
        default=[],
        metavar="NAME[,NAME]",
        help="the models to ask at the start; all are loaded",
    )


def _answers(parser: argparse.ArgumentParser) -> None:
    answers = parser.add_argument_group("answers")
    answers.add_argument(
        "-s",
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a parameter, as temperature=0.7",
    )
    answers.add_argument("--system", default="", metavar="TEXT", help="system prompt, for chat models")
    answers.add_argument(
        "--no-template",
        action="store_const",
        const=False,
        dest="template",
        help="send the raw line to chat models",
    )
    answers.add_argument(
        "--trace", metavar="FILE", help="write what the coordinator does, one JSON object a line"
    )
    answers.add_argument(
        "--metrics-port", type=_port, metavar="N", help="serve Prometheus figures on this loopback port"
    )
