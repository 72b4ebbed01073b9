"""Configurations: what is read from a file, what a command line makes of it, and every kind of mistake."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repl import paths
from repl.config import Arguments, Config, ConfigError, choose, load_config, ready
from repl.config.source import MAX_BYTES, parse
from repl.demo import MODELS, model_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With checkpoints that are recognised by their names alone."""
    for run in ("early", "late"):
        checkpoint = tmp_path / "runs" / run
        checkpoint.mkdir(parents=True)
        (checkpoint / "config.json").write_text('{"model_type": "gpt2"}')
    data = tmp_path / "mt"
    data.mkdir()
    for name in ("best.pt", "last.pt", "dict.en.txt", "dict.de.txt"):
        (data / name).write_bytes(b"")
    return tmp_path


def load(folder: Path, text: str | bytes) -> Config:
    file = folder / "my.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return load_config(file)


def fault(folder: Path, text: str | bytes) -> str:
    with pytest.raises(ConfigError) as caught:
        load(folder, text)
    return str(caught.value)


FULL = """
queue_limit: 50
order: shortest
on_loss: continue
theme: dusk
compare: [b, a]
defaults: {temperature: 0.5, max_new: 10}
models:
  a: runs/early
  b:
    backend: fairseq
    path: mt/best.pt:mt/last.pt
    data: mt
    replicas: [gpu1, "0", cpu, cuda:1]
    dtype: float16
    slots: 2
    template: off
    prompt_template: "Q: {prompt}\\nA:"
    trust: [sha256:%s, remote-code]
    defaults: {max_new: 1e2, stop: ["\\n", off], truncate: off, seed: none}
    options: {flag: yes, size: 010, when: 12:30, nested: [1, 2.5, null, text]}
""" % ("0" * 64)


class TestReading:
    def test_every_key_arrives(self, folder: Path) -> None:
        config = load(folder, FULL)
        assert (config.name, config.queue_limit, config.theme) == ("my", 50, "dusk")
        assert (config.order, config.on_loss) == ("shortest", "continue")
        assert config.compare == ("b", "a") and list(config.models) == ["a", "b"]
        b = config.models["b"]
        assert b.path == f"{folder}/mt/best.pt:{folder}/mt/last.pt"
        assert (b.data, b.dtype, b.slots, b.template) == (f"{folder}/mt", "float16", 2, False)
        assert b.replicas == ("cuda:1", "cuda:0", "cpu", "cuda:1")
        assert b.prompt_template == "Q: {prompt}\nA:"
        assert b.trust == ("sha256:" + "0" * 64, "remote-code")
        assert b.defaults == {
            "temperature": 0.5, "max_new": 100, "stop": ("\n", "off"), "truncate": "off", "seed": None
        }  # fmt: skip
        assert b.options == {"flag": True, "size": 10, "when": "12:30", "nested": [1, 2.5, None, "text"]}

    def test_short_form_is_a_path_seen_from_the_file(self, folder: Path) -> None:
        a = load(folder, FULL).models["a"]
        assert (a.backend, a.path, a.replicas, a.template) == ("hf", f"{folder}/runs/early", "auto", True)

    def test_spec_carries_what_a_replica_needs(self, folder: Path) -> None:
        b = load(folder, FULL).models["b"]
        spec = b.spec()
        for field in (
            "name",
            "backend",
            "path",
            "data",
            "dtype",
            "slots",
            "prompt_template",
            "trust",
            "options",
        ):
            assert getattr(spec, field) == getattr(b, field)

    def test_chains_have_names(self, folder: Path) -> None:
        text = "models: {x: runs/early, y: runs/late}\nchains:\n  both: 'x>\"Now {}\">y'\n  back: y>x"
        assert load(folder, text).chains == {"both": 'x>"Now {}">y', "back": "y>x"}
        assert load(folder, "models: {x: runs/early}").chains == {}

    def test_all_models_are_compared_unless_said_otherwise(self, folder: Path) -> None:
        assert load(folder, "models: {x: runs/early, y: runs/late}").compare == ("x", "y")
        assert load(folder, "models: {x: runs/early, y: runs/late}\ncompare: y").compare == ("y",)

    def test_anchors_and_merge_keys_share_settings(self, folder: Path) -> None:
        text = """
models:
  x: &x {path: runs/early, slots: 3, defaults: &d {beam: 4}}
  y: {<<: *x, path: runs/late, defaults: {<<: *d, n: 2}}
"""
        y = load(folder, text).models["y"]
        assert (y.path, y.slots, y.defaults) == (f"{folder}/runs/late", 3, {"beam": 4, "n": 2})

    def test_hub_names_and_demo_models(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("repl.demo.model_path", lambda name: folder)
        config = load(folder, "models: {a: org/some-model, b: gpt2, c: {backend: hf, path: demo:lm-late}}")
        assert [(m.backend, m.path) for m in config.models.values()] == [
            ("hf", "org/some-model"), ("hf", "gpt2"), ("hf", str(folder))
        ]  # fmt: skip

    def test_a_byte_order_mark_is_no_fault(self, folder: Path) -> None:
        assert load(folder, b"\xef\xbb\xbfmodels: {x: runs/early}").models

    @given(st.text(max_size=60))
    def test_any_text_is_read_or_refused(self, text: str) -> None:
        try:
            parse(text, "any.yaml")
        except ConfigError as error:
            assert str(error).startswith("any.yaml")


# What is written, and what the message must say.
HEAD = "models:\n  x: {path: runs/early}\n"
FAULTS = {
    "syntax": ("models:\n  x: [a\n  y: b", r"my\.yaml:\d+:\d+: not valid YAML: .+"),
    "tab indentation": ("models:\n\tx: y", r"my\.yaml:2:1: not valid YAML: .*\\t"),
    "empty file": ("", r"my\.yaml: the file is empty"),
    "only comments": ("# nothing\n", r"my\.yaml: the file is empty"),
    "two documents": (HEAD + "---\nmore: 1", r"my\.yaml:3:1: not valid YAML: .*single document"),
    "not a mapping": ("- x\n- y", r"my\.yaml:1: a list is not allowed: it must be a mapping"),
    "no models": ("queue_limit: 5", r"my\.yaml:1: there is no 'models:'"),
    "models empty": ("models:\n", r"my\.yaml:1: models: empty is not allowed"),
    "models without entry": ("models: {}", r"my\.yaml:1: models: no model is named"),
    "unknown top key": (
        HEAD + "model: 3",
        r"my\.yaml:3: model: unknown key 'model': did you mean 'models'\?",
    ),
    "unknown key": (
        "models:\n  x:\n    path: runs/early\n    replica: 2",
        r"my\.yaml:4: models\.x\.replica: unknown key 'replica': did you mean 'replicas'\? there are .*slots",
    ),
    "duplicate key": (HEAD + "  x: {path: runs/late}", r"my\.yaml:3: models\.x: the key 'x' is there twice"),
    "list as key": ("? [a, b]\n: c", r"my\.yaml:1: a key must be a plain word"),
    "wrong type": (
        "models: {x: {path: runs/early, slots: many}}",
        r"x\.slots: 'many' is not allowed: .*at least 1",
    ),
    "list for text": (
        "models: {x: {path: [runs/early]}}",
        r"x\.path: a list is not allowed: it must be a path",
    ),
    "mapping for list": (HEAD + "compare: {x: 1}", r"my\.yaml:3: compare: a mapping is not allowed"),
    "bool for text": (
        "models: {x: {path: on}}",
        r"x\.path: YAML reads on as true or false: put it in quotes",
    ),
    "bad value": (HEAD + "queue_limit: 0", r"my\.yaml:3: queue_limit: '0' is not allowed: .*at least 1"),
    "bad order": (
        HEAD + "order: longest",
        r"my\.yaml:3: order: unknown order 'longest': .*arrival, shortest",
    ),
    "bad dtype": (
        "models: {x: {path: runs/early, dtype: fp16}}",
        r"x\.dtype: unknown dtype 'fp16': .*there are auto, float32, float16, bfloat16",
    ),
    "bad flag": ("models: {x: {path: runs/early, template: maybe}}", r"x\.template: 'maybe' .* on or off"),
    "unknown backend": (
        "models: {x: {path: runs/early, backend: fairsec}}",
        r"x\.backend: unknown backend 'fairsec': did you mean 'fairseq'\? there are .*hf",
    ),
    "a chain of one": (HEAD + "chains: {c: base}", r"my\.yaml:3: chains\.c: 'base' is no chain"),
    "a chain called as a model": (HEAD + "chains: {x: 'x>x'}", r"my\.yaml:3: 'x' is a model"),
    "a chain called as a device": (HEAD + "chains: {gpu1: 'x>x'}", r"my\.yaml:3: 'gpu1' cannot name a chain"),
    "unknown model in compare": (
        HEAD + "compare: [xx]",
        r"my\.yaml:3: compare\[0\]: unknown model 'xx': .*x",
    ),
    "compared twice": (HEAD + "compare: [x, x]", r"my\.yaml:3: compare\[1\]: 'x' is there twice"),
    "compare nothing": (HEAD + "compare: []", r"my\.yaml:3: compare: no model is named"),
    "bad name": ("models: {a b: runs/early}", r"my\.yaml:1: 'a b' cannot name a model: use letters"),
    "slash in name": ("models: {a/b: runs/early}", r"'a/b' cannot name a model"),
    "at in name": ('models: {"@a": runs/early}', r"'@a' cannot name a model"),
    "device as name": ("models: {gpu1: runs/early}", r"'gpu1' cannot name a model: it reads as a device"),
    "missing path": ("models: {x: {backend: hf}}", r"my\.yaml:1: models\.x: the key 'path' is missing"),
    "no such path": (
        "models: {x: {path: ./runs/erly}}",
        r"x\.path: there is no file or folder /.*/runs/erly: did you mean 'early'\?",
    ),
    "no such file": ("models: {x: missing.pt}", r"models\.x: there is no file or folder /.*/missing\.pt"),
    "missing ensemble part": (
        "models: {x: mt/best.pt:mt/lost.pt}",
        r"/mt/lost\.pt: did you mean 'last\.pt'\?",
    ),
    "hub name for fairseq": (
        "models: {x: {backend: fairseq, path: wmt}}",
        r"x\.path: there is no file or folder",
    ),
    "nobody's checkpoint": (
        "models: {x: {path: runs}}",
        r"x\.path: no backend recognises /.*/runs: .*one of .*hf",
    ),
    "unknown demo model": (
        "models: {x: 'demo:lm-lat'}",
        r"models\.x: unknown demo model 'lm-lat': did you mean 'lm-late'\?",
    ),
    "no data folder": (
        "models: {x: {path: mt/best.pt, data: nowhere}}",
        r"x\.data: there is no folder /.*/nowhere",
    ),
    "bad replicas": (
        "models: {x: {path: runs/early, replicas: 0}}",
        r"x\.replicas: '0' is not allowed: .*'auto'",
    ),
    "replicas by halves": (
        "models: {x: {path: runs/early, replicas: 1.5}}",
        r"x\.replicas: '1\.5' is not allowed",
    ),
    "no replicas": (
        "models: {x: {path: runs/early, replicas: []}}",
        r"x\.replicas: an empty list is not allowed",
    ),
    "bad device": (
        "models: {x: {path: runs/early, replicas: [cuda:0, tpu1]}}",
        r"x\.replicas\[1\]: 'tpu1' is not a device: it must be cpu, cuda:N or gpuN",
    ),
    "parameter out of range": (
        "models:\n  x:\n    path: runs/early\n    defaults:\n      top_p: 1.5",
        r"my\.yaml:5: models\.x\.defaults\.top_p: top_p = 1\.5 is not allowed: it must be a number above 0",
    ),
    "unknown parameter": (
        HEAD + "defaults: {temprature: 1}",
        r"my\.yaml:3: defaults\.temprature: unknown parameter 'temprature': did you mean 'temperature'\?",
    ),
    "not a number": (
        HEAD + "defaults: {beam: wide}",
        r"defaults\.beam: beam = 'wide' is not allowed: .*whole number",
    ),
    "template without prompt": (
        "models: {x: {path: runs/early, prompt_template: hello}}",
        r"x\.prompt_template: it must have \{prompt\}",
    ),
    "bad trust": (
        "models: {x: {path: runs/early, trust: everything}}",
        r"x\.trust: 'everything' is not allowed",
    ),
    "python object": (
        "models: !!python/object/apply:os.getcwd []",
        r"my\.yaml:1: the tag !!python/object.* not allowed",
    ),
    "own tag": ("models: !include x.yaml", r"my\.yaml:1: the tag !include is not allowed"),
    "unknown alias": ("models: *nowhere", r"my\.yaml:1:9: not valid YAML: found undefined alias"),
    "control character": (
        "models: {x: \x07}",
        r"my\.yaml:1: a character that YAML does not allow \(U\+0007\)",
    ),
    "not UTF-8": (b"models:\n  x: \xff", r"my\.yaml:2: not UTF-8"),
    "deep nesting": ("[" * 5000, r"my\.yaml:1: nested more than 20 deep"),
    "alias of itself": ("&a [*a]", r"my\.yaml:1: more values than a configuration can need"),
    "alias bomb": (
        "a0: &a0 [x, x]\n" + "\n".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 18)),
        r"my\.yaml:\d+: more values than a configuration can need",
    ),
    "merge bomb": (
        "a0: &a0 {x: 1}\n" + "\n".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}]}}" for i in range(1, 18)),
        r"my\.yaml:\d+: more values than a configuration can need",
    ),
    "too large": ("#" * (MAX_BYTES + 1), r"my\.yaml: larger than 256 KiB"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_mistake_is_one_clear_message(name: str, folder: Path) -> None:
    text, expected = FAULTS[name]
    message = fault(folder, text)
    assert re.search(expected, message), message
    assert "\n" not in message


def test_a_missing_or_unreadable_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read: No such file"):
        load_config(tmp_path / "nowhere.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path)


class TestReadyConfigurations:
    def test_they_are_there(self) -> None:
        assert {"demo", "echo", "gpt2", "side-by-side", "fairseq-translation"} <= set(ready())

    @pytest.mark.parametrize("name", ready())
    def test_each_is_valid(self, name: str) -> None:
        config = choose(Arguments(config=name))
        assert config.name == name and config.source is not None
        assert config.source.read_text().startswith("# "), (
            "a ready configuration begins by saying what it is for"
        )

    def test_the_demo_shows_both_checkpoints_and_the_translator(self) -> None:
        config = choose(Arguments())
        assert config.compare == ("lm-late", "lm-early", "num2digits")
        assert set(config.models) == set(MODELS)
        backends = {name: model.backend for name, model in config.models.items()}
        assert backends == {"lm-late": "hf", "lm-early": "hf", "num2digits": "fairseq", "numlm": "fairseq"}

    def test_every_demo_model_is_there(self) -> None:
        assert [name for name in MODELS if not model_path(name).is_dir()] == []


class TestCommandLine:
    def test_paths_are_told_apart_by_their_look(self, folder: Path) -> None:
        config = choose(Arguments(models=("runs/early", "mt/best.pt", "org/hub-model")), folder)
        assert [(m.name, m.backend, m.origin) for m in config.models.values()] == [
            ("early", "hf", "--model"), ("best", "fairseq", "--model"), ("hub-model", "hf", "--model")
        ]  # fmt: skip
        assert config.name == "command line" and config.compare == ("early", "best", "hub-model")

    def test_names_can_be_given(self, folder: Path) -> None:
        config = choose(Arguments(models=("base=runs/early", "tuned=runs/late")), folder)
        assert {name: m.path for name, m in config.models.items()} == {
            "base": f"{folder}/runs/early", "tuned": f"{folder}/runs/late"
        }  # fmt: skip

    def test_equal_stems_take_their_folder_along(self, folder: Path) -> None:
        for run in ("early", "late"):
            (folder / "runs" / run / "checkpoint_best.pt").touch()
        models = ("runs/early/checkpoint_best.pt", "runs/late/checkpoint_best.pt")
        config = choose(Arguments(models=models, backend="fairseq"), folder)
        assert list(config.models) == ["early-checkpoint_best", "late-checkpoint_best"]

    def test_a_configured_name_picks_that_model_alone(self, folder: Path) -> None:
        (folder / "my.yaml").write_text("theme: dusk\nmodels: {x: runs/early, y: runs/late}")
        config = choose(Arguments(config="my.yaml", models=("y",)), folder)
        assert list(config.models) == ["y"] and config.compare == ("y",) and config.theme == "dusk"
        both = choose(Arguments(config="my.yaml", models=("y", "z=runs/early")), folder)
        assert list(both.models) == ["y", "z"]

    def test_a_configured_model_can_be_taken_under_other_names(self, folder: Path) -> None:
        (folder / "my.yaml").write_text("models: {x: {path: runs/early, slots: 3}}")
        config = choose(Arguments(config="my.yaml", models=("a=x", "b=x")), folder)
        assert [(m.name, m.slots) for m in config.models.values()] == [("a", 3), ("b", 3)]

    def test_echo_needs_no_path(self, folder: Path) -> None:
        config = choose(Arguments(models=("anything",), backend="echo"), folder)
        assert config.models["anything"].backend == "echo"

    def test_settings_of_the_command_line_count_for_every_model(self, folder: Path) -> None:
        said = Arguments(models=("runs/early", "runs/late"), devices="0,gpu1", dtype="bfloat16", slots=3)
        for model in choose(said, folder).models.values():
            assert (model.replicas, model.dtype, model.slots) == (("cuda:0", "cuda:1"), "bfloat16", 3)

    def test_replicas_are_dealt_out_over_the_devices_named(self, folder: Path) -> None:
        model = choose(Arguments(models=("runs/early",), devices="cuda:0,cpu", replicas="3"), folder).models[
            "early"
        ]
        assert model.replicas == ("cuda:0", "cpu", "cuda:0")
        assert choose(Arguments(models=("runs/early",), replicas="2"), folder).models["early"].replicas == 2
        assert (
            choose(Arguments(models=("runs/early",), replicas="auto"), folder).models["early"].replicas
            == "auto"
        )

    def test_compare_chooses_among_what_is_loaded(self, folder: Path) -> None:
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
        ],
    )
    def test_a_mistake_is_one_clear_message(self, said: Arguments, expected: str, folder: Path) -> None:
        with pytest.raises(ConfigError, match=expected):
            choose(said, folder)


class TestUserSettings:
    def write(self, text: str) -> None:
        paths.user_config().parent.mkdir(parents=True)
        paths.user_config().write_text(text)

    def test_its_models_are_the_default(self, folder: Path) -> None:
        self.write(f"models: {{mine: {folder}/runs/early}}")
        assert list(choose(Arguments()).models) == ["mine"]
        assert list(choose(Arguments(models=("mine",))).models) == ["mine"]

    def test_its_settings_count_below_those_of_another_file(self, folder: Path) -> None:
        self.write("theme: dusk\nqueue_limit: 7")
        (folder / "my.yaml").write_text("queue_limit: 9\nmodels: {x: runs/early}")
        config = choose(Arguments(config="my.yaml"), folder)
        assert (config.theme, config.queue_limit) == ("dusk", 9)
        assert choose(Arguments(models=("runs/early",)), folder).theme == "dusk"
        assert choose(Arguments(config="echo")).queue_limit == 7

    def test_what_only_fits_models_needs_some(self) -> None:
        self.write("theme: dusk\ncompare: [x]")
        with pytest.raises(ConfigError, match=r"config\.yaml:2: compare: it needs 'models:' beside it"):
            choose(Arguments())

    def test_a_mistake_in_it_is_told(self) -> None:
        self.write("thema: dusk")
        with pytest.raises(
            ConfigError, match=r"config\.yaml:1: thema: unknown key 'thema': did you mean 'theme'"
        ):
            choose(Arguments())
