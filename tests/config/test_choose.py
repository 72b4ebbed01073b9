"""What the command line makes of configurations, the ready ones among them."""

import errno
import os
from pathlib import Path

import pytest

from backends import registry
from repl.config import Arguments, ConfigError, choose, ready
from repl.demo import MODELS, model_path


def test_the_ready_configurations_are_there() -> None:
    assert {"demo", "echo", "gpt2", "side-by-side", "fairseq-translation"} <= set(ready())


@pytest.mark.parametrize("name", ready())
def test_each_ready_configuration_is_valid(name: str) -> None:
    config = choose(Arguments(config=name))
    assert config.name == name and config.source is not None
    assert config.source.read_text().startswith("# "), "a ready configuration begins by saying what it is for"


def test_the_demo_shows_both_checkpoints_and_the_translator() -> None:
    config = choose(Arguments())
    assert config.compare == ("lm-late", "lm-early", "num2digits")
    encoders = choose(Arguments(config="encoders"))
    assert {*config.models, *encoders.models} == set(MODELS)
    assert {model.backend for model in encoders.models.values()} == {"hf"}
    backends = {name: model.backend for name, model in config.models.items()}
    assert backends == {"lm-late": "hf", "lm-early": "hf", "num2digits": "fairseq", "numlm": "fairseq"}


def test_every_demo_model_is_there() -> None:
    assert [name for name in MODELS if not model_path(name).is_dir()] == []


def test_paths_are_told_apart_by_their_look(folder: Path) -> None:
    config = choose(Arguments(models=("runs/early", "mt/best.pt", "org/hub-model")), folder)
    assert [(m.name, m.backend, m.origin) for m in config.models.values()] == [
        ("early", "hf", "--model"), ("best", "fairseq", "--model"), ("hub-model", "hf", "--model")
    ]  # fmt: skip
    assert config.name == "command line" and config.compare == ("early", "best", "hub-model")


def test_a_file_gives_its_name_without_its_ending(folder: Path) -> None:
    for name in ("best.pt", "llama-1.5.q8.gguf"):
        (folder / name).touch()
    config = choose(Arguments(models=("best.pt", "llama-1.5.q8.gguf"), backend="hf"), folder)
    assert list(config.models) == ["best", "llama-1.5.q8"]


def test_names_can_be_given(folder: Path) -> None:
    config = choose(Arguments(models=("base=runs/early", "tuned=runs/late")), folder)
    assert {name: m.path for name, m in config.models.items()} == {
        "base": f"{folder}/runs/early", "tuned": f"{folder}/runs/late"
    }  # fmt: skip


def test_equal_stems_take_their_folder_along(folder: Path) -> None:
    for run in ("early", "late"):
        (folder / "runs" / run / "checkpoint_best.pt").touch()
    models = ("runs/early/checkpoint_best.pt", "runs/late/checkpoint_best.pt")
    config = choose(Arguments(models=models, backend="fairseq"), folder)
    assert list(config.models) == ["early-checkpoint_best", "late-checkpoint_best"]


def test_a_configured_name_picks_that_model_alone(folder: Path) -> None:
    (folder / "my.yaml").write_text("theme: dusk\nmodels: {x: runs/early, y: runs/late}")
    config = choose(Arguments(config="my.yaml", models=("y",)), folder)
    assert list(config.models) == ["y"] and config.compare == ("y",) and config.theme == "dusk"
    both = choose(Arguments(config="my.yaml", models=("y", "z=runs/early")), folder)
    assert list(both.models) == ["y", "z"]


def test_a_configured_model_can_be_taken_under_other_names(folder: Path) -> None:
    (folder / "my.yaml").write_text("models: {x: {path: runs/early, slots: 3}}")
    config = choose(Arguments(config="my.yaml", models=("a=x", "b=x")), folder)
    assert [(m.name, m.slots) for m in config.models.values()] == [("a", 3), ("b", 3)]


def test_echo_needs_no_path(folder: Path) -> None:
    config = choose(Arguments(models=("anything",), backend="echo"), folder)
    assert config.models["anything"].backend == "echo"


def test_settings_of_the_command_line_count_for_every_model(folder: Path) -> None:
    said = Arguments(models=("runs/early", "runs/late"), devices="0,gpu1", dtype="bfloat16", slots=3)
    for model in choose(said, folder).models.values():
        assert (model.replicas, model.dtype, model.slots) == (("cuda:0", "cuda:1"), "bfloat16", 3)


def test_replicas_are_dealt_out_over_the_devices_named(folder: Path) -> None:
    model = choose(Arguments(models=("runs/early",), devices="cuda:0,cpu", replicas="3"), folder).models[
        "early"
    ]
    assert model.replicas == ("cuda:0", "cpu", "cuda:0")
    assert choose(Arguments(models=("runs/early",), replicas="2"), folder).models["early"].replicas == 2
    assert (
        choose(Arguments(models=("runs/early",), replicas="auto"), folder).models["early"].replicas == "auto"
    )


def test_compare_chooses_among_what_is_loaded(folder: Path) -> None:
    config = choose(Arguments(models=("runs/early", "runs/late"), compare=("late",)), folder)
    assert list(config.models) == ["early", "late"] and config.compare == ("late",)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (Arguments(models=("./nowhere",)), r"--model ./nowhere: there is no file or folder /"),
        (Arguments(models=("runs/erly/x",)), r"there is no file or folder"),
        (Arguments(models=("runs",)), r"--model runs: no backend recognises it; .*--backend, one of"),
        (Arguments(models=("gpu1=runs/early",)), r"--model: 'gpu1' cannot name a model"),
        (Arguments(models=("a=runs/early", "a=runs/late")), r"--model: two models are called 'a'"),
        (
            Arguments(models=("runs/early",), backend="hff"),
            r"--backend: unknown backend 'hff': did you mean 'hf'",
        ),
        (Arguments(models=("runs/early",), dtype="int3"), r"--dtype: unknown dtype 'int3'"),
        (Arguments(models=("runs/early",), slots=0), r"--slots: 0 is not allowed"),
        (Arguments(models=("runs/early",), devices="0,x"), r"--devices: 'x' is not a device"),
        (Arguments(models=("runs/early",), replicas="many"), r"--replicas: 'many' is not allowed"),
        (Arguments(models=("runs/early",), data="nowhere"), r"--data: there is no folder"),
        (
            Arguments(models=("runs/early",), compare=("erly",)),
            r"--compare: unknown model 'erly': did you mean 'early'",
        ),
        (Arguments(config="echo", backend="hf"), r"--backend, --data and --trust go with --model"),
        (
            Arguments(models=("num2digits",), data="mt"),
            r"--data and --trust are settled by the configuration",
        ),
        (Arguments(config="deno"), r"--config: unknown configuration 'deno': did you mean 'demo'\?"),
        (Arguments(config="/"), r"--config: / is a folder: name the file in it"),
        (Arguments(config="nowhere.yaml"), r"there is no configuration file /.*nowhere\.yaml"),
        (Arguments(models=("a" * 300,)), r"--model a+: /.*a cannot be read: File name too long"),
        (Arguments(models=("runs/early",), data="d" * 300), r"d cannot be read: File name too long"),
        (Arguments(config="c" * 300), r"c cannot be read: File name too long"),
        (Arguments(models=("~nobody-at-all/x",)), r"--model ~nobody.*: Could not determine home directory"),
        (
            Arguments(models=("runs/early",), slots=1 << 70),
            r"--slots: \d+ is not allowed: .*from 1 to 65,536",
        ),
        (Arguments(models=("runs/late\udcff",)), r"/late.* is not UTF-8, as names have to be here"),
        (
            Arguments(models=("runs/gone",)),
            r"--model runs/gone: /.*/gone is a link to what is not there: away",
        ),
    ],
)
def test_a_mistake_in_a_flag_is_one_clear_message(said: Arguments, expected: str, folder: Path) -> None:
    (folder / "runs" / "gone").symlink_to("away")
    (folder / "runs" / "late\udcff").symlink_to("late")
    with pytest.raises(ConfigError, match=expected):
        choose(said, folder)


def test_a_checkpoint_that_may_not_be_looked_at_is_a_mistake_with_its_place(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(path: Path) -> str | None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path / "config.json"))

    monkeypatch.setattr(registry, "recognise", denied)
    with pytest.raises(
        ConfigError, match=r"--model runs/early: .*/config.json cannot be read: Permission den"
    ):
        choose(Arguments(models=("runs/early",)), folder)
    (folder / "my.yaml").write_text("models:\n  a: runs/early\n")
    with pytest.raises(
        ConfigError, match=r"my.yaml:2: models.a.*: .*/config.json cannot be read: Permission"
    ):
        choose(Arguments(config="my.yaml"), folder)
