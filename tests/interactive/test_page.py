"""The page on fairseq names every flag, those that are refused included; of training's it names a few."""

from pathlib import Path

import pytest

from repl.interactive import training
from repl.interactive.parser import parser

PAGE = (Path(__file__).parents[2] / "docs" / "fairseq.md").read_text(encoding="utf-8")
FLAGS = [name for action in parser()._actions for name in action.option_strings if name[:2] == "--"]


OF_TRAINING = {f"--{name}" for name in (*training.WITH_A_VALUE, *training.SWITCHES)}


@pytest.mark.parametrize("name", [name for name in FLAGS if name not in {"--help", *OF_TRAINING}])
def test_every_flag_is_named(name: str) -> None:
    assert f"`{name}`" in PAGE or f"`{name} " in PAGE
