"""The user's own file: its models are the default, its settings lie below another file's."""

from pathlib import Path

import pytest

from repl import paths
from repl.config import Arguments, ConfigError, choose


def write(text: str) -> None:
    paths.user_config().parent.mkdir(parents=True)
    paths.user_config().write_text(text)


def test_its_models_are_the_default(folder: Path) -> None:
    write(f"models: {{mine: {folder}/runs/early}}")
    assert list(choose(Arguments()).models) == ["mine"]
    assert list(choose(Arguments(models=("mine",))).models) == ["mine"]


def test_its_settings_count_below_those_of_another_file(folder: Path) -> None:
    write("theme: dusk\nqueue_limit: 7")
    (folder / "my.yaml").write_text("queue_limit: 9\nmodels: {x: runs/early}")
    config = choose(Arguments(config="my.yaml"), folder)
    assert (config.theme, config.queue_limit) == ("dusk", 9)
    assert choose(Arguments(models=("runs/early",)), folder).theme == "dusk"
    assert choose(Arguments(config="echo")).queue_limit == 7


def test_what_only_fits_models_needs_some() -> None:
    write("theme: dusk\ncompare: [x]")
    with pytest.raises(ConfigError, match=r"config\.yaml:2: compare: it needs 'models:' beside it"):
        choose(Arguments())


def test_a_mistake_in_it_is_told() -> None:
    write("thema: dusk")
    with pytest.raises(
        ConfigError, match=r"config\.yaml:1: thema: unknown key 'thema': did you mean 'theme'"
    ):
        choose(Arguments())
