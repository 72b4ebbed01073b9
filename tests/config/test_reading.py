"""What is read from a configuration file."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from repl.config import ConfigError
from repl.config.source import parse
from repl.demo import model_path
from tests.config.conftest import fault, load

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


def test_every_key_arrives(folder: Path) -> None:
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


def test_short_form_is_a_path_seen_from_the_file(folder: Path) -> None:
    a = load(folder, FULL).models["a"]
    assert (a.backend, a.path, a.replicas, a.template) == ("hf", f"{folder}/runs/early", "auto", True)


def test_spec_carries_what_a_replica_needs(folder: Path) -> None:
    b = load(folder, FULL).models["b"]
    spec = b.spec()
    for field in ["name", "backend", "path", "data", "dtype", "slots", "prompt_template", "trust", "options"]:
        assert getattr(spec, field) == getattr(b, field)


def test_chains_have_names(folder: Path) -> None:
    text = "models: {x: runs/early, y: runs/late}\nchains:\n  both: 'x>\"Now {}\">y'\n  back: y>x"
    assert load(folder, text).chains == {"both": 'x>"Now {}">y', "back": "y>x"}
    assert load(folder, "models: {x: runs/early}").chains == {}


def test_all_models_are_compared_unless_said_otherwise(folder: Path) -> None:
    assert load(folder, "models: {x: runs/early, y: runs/late}").compare == ("x", "y")
    assert load(folder, "models: {x: runs/early, y: runs/late}\ncompare: y").compare == ("y",)


def test_anchors_and_merge_keys_share_settings(folder: Path) -> None:
    text = """
models:
  x: &x {path: runs/early, slots: 3, defaults: &d {beam: 4}}
  y: {<<: *x, path: runs/late, defaults: {<<: *d, n: 2}}
"""
    y = load(folder, text).models["y"]
    assert (y.path, y.slots, y.defaults) == (f"{folder}/runs/late", 3, {"beam": 4, "n": 2})


def test_hub_names_and_demo_models(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("repl.demo.model_path", lambda name: folder)
    config = load(folder, "models: {a: org/some-model, b: gpt2, c: {backend: hf, path: demo:lm-late}}")
    assert [(m.backend, m.path) for m in config.models.values()] == [
        ("hf", "org/some-model"), ("hf", "gpt2"), ("hf", str(folder))
    ]  # fmt: skip


def test_a_byte_order_mark_is_no_fault(folder: Path) -> None:
    assert load(folder, b"\xef\xbb\xbfmodels: {x: runs/early}").models


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parse(text, "any.yaml")
    except ConfigError as error:
        assert str(error).startswith("any.yaml")


def test_models_among_the_options_are_named_as_path_names_them(folder: Path) -> None:
    text = "models: {a: {path: runs/late, options: {assistant: %s, adapter: %s, draft: 3}}}"
    read = load(folder, text % ("runs/early", "./runs/late")).models["a"].options
    assert read == {"assistant": str(folder / "runs/early"), "adapter": str(folder / "runs/late"), "draft": 3}
    demo = load(folder, text % ("demo:lm-early", "me/law")).models["a"].options
    assert demo["assistant"] == str(model_path("lm-early")) and demo["adapter"] == "me/law"


def test_a_model_among_the_options_that_is_not_there_is_a_fault_of_its_line(folder: Path) -> None:
    text = "models:\n  a:\n    path: runs/late\n    options:\n      assistant: %s"
    assert fault(folder, text % "./runs/earli") == (
        f"my.yaml:5: models.a.options.assistant: there is no file or folder {folder}/runs/earli: "
        "did you mean 'early'?"
    )
    assert "unknown demo model 'lm-earl'" in fault(folder, text % "demo:lm-earl")
    assert load(folder, text % "null").models["a"].options == {"assistant": None}
