"""The README names what there is, and nothing else."""

import re
from pathlib import Path

import pytest
import yaml

from repl import arguments, bench, cli, exits, install
from repl.config import schema
from repl.demo import MODELS
from repl.interactive import flags
from repl.params import PARAMETERS
from repl.session.commands.registry import COMMANDS

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")
PARSERS = {
    None: arguments.opening("0"),
    "run": arguments.run(),
    "records": arguments.records(),
    "fairseq-interactive": flags.parser(),
    "bench": arguments.bench(list(bench.BENCHES)),
    "doctor": arguments.doctor(),
    "install": arguments.install(list(install.RECIPES)),
}


def test_every_exit_code_is_explained() -> None:
    table = README[README.index("| code | meaning |") :]
    rows = re.findall(r"^\| ([\d, ]+) \|", table, flags=re.MULTILINE)
    told = {int(code) for row in rows for code in row.split(",")}
    assert told == {value for name, value in vars(exits).items() if name.isupper()}


def test_every_command_is_named() -> None:
    section = README[README.index("## Commands") : README.index("## How it is built")]
    assert set(re.findall(r"`/(\w+)", section)) == {command.name for command in COMMANDS}


def test_every_parameter_is_named() -> None:
    listed = re.search(r"Parameters: `([^`]+)`", README)
    assert listed is not None and listed[1].split() == list(PARAMETERS)


def test_every_demo_model_is_introduced() -> None:
    assert [name for name in MODELS if f"`{name}`" not in README] == []


def test_the_example_configuration_shows_every_key_and_no_other() -> None:
    block = re.search(r"```yaml\n(.*?)```", README, flags=re.DOTALL)
    assert block is not None
    example = yaml.safe_load(block[1])
    keys = {key for model in example["models"].values() if isinstance(model, dict) for key in model}
    assert set(example) == set(schema.TOP) and keys == set(schema.MODEL)


@pytest.mark.parametrize("line", re.findall(r"multigpu-repl [^`\n#]*--?\w[^`\n#]*", README))
def test_every_option_shown_is_understood(line: str) -> None:
    words = re.sub(r" {2,}.*|<.*", "", line).split()[1:]
    command = words[0] if words[0] in arguments.COMMANDS else None
    options = {option for action in PARSERS[command]._actions for option in action.option_strings}
    assert {word.partition("=")[0] for word in words if word.startswith("-")} <= options


def test_every_subcommand_has_a_parser_and_a_handler() -> None:
    assert set(PARSERS) == set(cli._COMMANDS) == {None, *arguments.COMMANDS}
