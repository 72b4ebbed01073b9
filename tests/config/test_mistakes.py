"""Every kind of mistake in a configuration file is one message that names the place."""

import re
from pathlib import Path

import pytest

from repl.config import ConfigError, load_config
from repl.config.source import MAX_BYTES
from tests.config.conftest import fault

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
    "a chain of one": (HEAD + "chains: {c: base}", r"my\.yaml:3: chains\.c: 'base' is not a chain"),
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
    "half of a character": (
        'models:\n  x: {path: runs/early, defaults: {stop: ["\\uD800"]}}',
        r"my\.yaml:2: models\.x\.defaults\.stop\[0\]: a \\u that is half of a character",
    ),
    "far too many slots": (
        "models: {x: {path: runs/early, slots: 99999999999999999999999}}",
        r"x\.slots: '9+' is not allowed: .*at least 1 and at most 65,536",
    ),
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
