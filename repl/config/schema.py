"""The keys of a configuration file and what each may hold: ``Item`` in, ``Config`` out."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backends import registry
from repl.config.locations import Location, locate, recognise
from repl.config.models import DTYPES, Config, ConfigError, ModelConfig, Replicas
from repl.config.source import Item
from repl.params import TEXTS, ParamError, Value, check, parameter

SETTINGS = ("queue_limit", "order", "on_loss", "theme")
"""Keys that the user's own file lends to every other configuration."""
TOP = ("models", "compare", "defaults", "chains", *SETTINGS)
MODEL = (
    "backend",
    "path",
    "data",
    "replicas",
    "gpus_per_replica",
    "dtype",
    "slots",
    "defaults",
    "template",
    "prompt_template",
    "trust",
    "options",
)

MAX_REPLICAS = 1024
MAX_SLOTS = 65_536
MAX_QUEUE = 100_000_000
_NAME = re.compile(r"\w[\w.+-]{0,63}")
_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
_DEVICE_LIKE = re.compile(r"(cpu|gpu|cuda)\d*", re.IGNORECASE)
_DEVICE = re.compile(r"(?:(?:cuda:|gpu:?)?(\d{1,4})|(cpu))", re.IGNORECASE)
_TRUST = re.compile(r"sha256:[0-9a-f]{64}|remote-code")
_REPLICAS = (
    "'auto', a whole number of at least 1, or a list of devices such as [cuda:0, cuda:1] or [cpu, cpu]"
)


def name_fault(name: str) -> str | None:
    """What is wrong with ``name`` as the name of a model."""
    if not _NAME.fullmatch(name):
        return f"'{name}' cannot name a model: use letters, digits, '.', '_', '+' and '-', at most 64"
    if _DEVICE_LIKE.fullmatch(name):
        return f"'{name}' cannot name a model: it reads as a device"
    return None


def device(text: str) -> str | None:
    """``cuda:1`` for ``cuda:1``, ``gpu1`` or ``1``; ``cpu`` for itself; None for anything else."""
    match = _DEVICE.fullmatch(text.strip())
    if match is None:
        return None
    return "cpu" if match[2] else f"cuda:{int(match[1])}"


def settings(top: dict[str, Item]) -> dict[str, Any]:
    """The values of ``SETTINGS`` that a file holds."""
    readers: dict[str, Callable[[Item], object]] = {
        "queue_limit": lambda item: item.integer(low=1, high=MAX_QUEUE),
        "order": lambda item: item.choice(("arrival", "shortest"), "order"),
        "on_loss": lambda item: item.choice(("lose", "continue"), "on_loss"),
        "theme": lambda item: item.text("the name of a theme"),
    }
    return {key: readers[key](top[key]) for key in SETTINGS if key in top}


def config(root: Item, path: Path) -> Config:
    """The checked configuration of a file; ``ConfigError`` names line and key of the first mistake."""
    top = root.mapping(TOP)
    if "models" not in top:
        raise ConfigError(f"{root.place}: there is no 'models:': it must name at least one")
    shared = _parameters(top["defaults"]) if "defaults" in top else {}
    entries = top["models"].mapping()
    if not entries:
        raise top["models"].fault("no model is named: write 'NAME: PATH' below it")
    models = {name: _model(name, item, path.parent, shared) for name, item in entries.items()}
    return Config(
        name=path.stem,
        models=models,
        compare=_compare(top.get("compare"), models),
        chains=_chains(top["chains"], models) if "chains" in top else {},
        source=path,
        **settings(top),
    )


def _compare(item: Item | None, models: dict[str, ModelConfig]) -> tuple[str, ...]:
    if item is None:
        return tuple(models)
    names: list[str] = []
    for each in item.each("a list of model names"):
        name = each.choice(models, "model")
        if name in names:
            raise each.fault(f"'{name}' is there twice")
        names.append(name)
    if not names:
        raise item.fault("no model is named: leave the key out to show all")
    return tuple(names)


def _chains(item: Item, models: dict[str, ModelConfig]) -> dict[str, str]:
    chains = {}
    for name, value in item.mapping().items():
        if (fault := name_fault(name)) is not None:
            raise ConfigError(f"{value.place}: {fault.replace('a model', 'a chain')}")
        if name in models:
            raise ConfigError(f"{value.place}: '{name}' is a model: call the chain something else")
        text = value.text("models with > between them, such as 'a>b'")
        if ">" not in text:
            raise value.fault(f"'{text}' is not a chain: put > between its models, such as 'a>b'")
        chains[name] = text
    return chains


def _model(name: str, item: Item, base: Path, shared: dict[str, Value]) -> ModelConfig:
    if (fault := name_fault(name)) is not None:
        raise ConfigError(f"{item.place}: {fault}")
    keys = {"path": item} if item.kind == "scalar" else item.mapping(MODEL)
    backend = _backend(keys.get("backend"))
    location = _location(keys.get("path"), item, backend, base)
    backend = backend or location.backend or _recognised(location, keys["path"])
    defaults = shared | (_parameters(keys["defaults"]) if "defaults" in keys else {})
    return ModelConfig(
        name=name,
        backend=backend,
        path=location.path,
        data=_folder(keys["data"], base) if "data" in keys else location.data,
        replicas=_replicas(keys["replicas"]) if "replicas" in keys else "auto",
        gpus_per_replica=_gpus(keys["gpus_per_replica"]) if "gpus_per_replica" in keys else 1,
        dtype=keys["dtype"].choice(DTYPES, "dtype") if "dtype" in keys else "auto",
        slots=keys["slots"].integer(low=1, high=MAX_SLOTS) if "slots" in keys else None,
        defaults=defaults,
        template=keys["template"].flag() if "template" in keys else True,
        prompt_template=_prompt_template(keys["prompt_template"]) if "prompt_template" in keys else None,
        trust=_trust(keys["trust"]) if "trust" in keys else (),
        options=_options(keys["options"], backend, base) if "options" in keys else {},
        origin=item.place,
    )


def _backend(item: Item | None) -> str | None:
    return None if item is None else item.choice(registry.names(), "backend")


def _location(item: Item | None, model: Item, backend: str | None, base: Path) -> Location:
    if item is None:
        if backend == "echo":  # needs no model
            return Location(path="")
        raise model.fault(
            "the key 'path' is missing: a checkpoint, 'demo:NAME', or the name of a model on a hub"
        )
    try:
        return locate(item.text("a path"), base, backend)
    except ConfigError as error:
        raise item.fault(str(error)) from None


def _recognised(location: Location, item: Item) -> str:
    try:
        backend = recognise(location)
    except ConfigError as error:
        raise item.fault(str(error)) from None
    if backend is None:
        known = ", ".join(registry.names())
        raise item.fault(
            f"no backend recognises {location.path}: is it a checkpoint? If so say 'backend:', one of {known}"
        )
    return backend


def _folder(item: Item, base: Path) -> str:
    folder = base / Path(item.text("a folder")).expanduser()
    if not folder.is_dir():
        raise item.fault(f"there is no folder {folder}")
    return str(folder.resolve())


def _gpus(item: Item) -> int:
    return item.integer(low=1, high=MAX_REPLICAS)


def _replicas(item: Item) -> Replicas:
    if item.kind == "list":
        if not item.items:
            raise item.fault(f"an empty list is not allowed: it must be {_REPLICAS}")
        return tuple(_device(each) for each in item.items)
    value = item.scalar() if item.kind == "scalar" else None
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_REPLICAS:
        return value
    if value == "auto":
        return "auto"
    named = device(value) if isinstance(value, str) else None
    if named is None:
        raise item.fault(f"'{item.raw}' is not allowed: it must be {_REPLICAS}")
    return (named,)


def _device(item: Item) -> str:
    named = device(item.text("a device: cpu, cuda:N or gpuN"))
    if named is None:
        raise item.fault(f"'{item.raw}' is not a device: it must be cpu, cuda:N or gpuN")
    return named


def _parameters(item: Item) -> dict[str, Value]:
    checked: dict[str, Value] = {}
    for name, value in item.mapping().items():
        try:
            checked[parameter(name).name] = check(name, _parameter_value(name, value))
        except ParamError as error:
            raise ConfigError(f"{value.place}: {value.key}: {error}") from None
    return checked


def _parameter_value(name: str, item: Item) -> object:
    # A choice or a stop string is a text, whatever YAML makes of `off` or `42`.
    kind = parameter(name).kind
    if kind == "choice" and item.kind == "scalar":
        return item.raw
    if kind in TEXTS and item.kind == "list":
        return [each.raw for each in item.items]
    if kind in (*TEXTS, "text") and item.kind == "scalar" and item.scalar() not in (None, "none"):
        return item.raw
    value = item.plain()
    if value in (None, "none"):
        return () if kind in TEXTS else None
    return value


def _prompt_template(item: Item) -> str:
    text = item.text("a text with {prompt} in it")
    if text.count("{prompt}") != 1:
        raise item.fault("it must have {prompt} in it exactly once, where the line goes")
    return text


def _trust(item: Item) -> tuple[str, ...]:
    allowed = "'sha256:' and the 64 hexadecimal digits of a file, or 'remote-code'"
    marks = []
    for each in item.each(allowed):
        mark = each.text(allowed)
        if not _TRUST.fullmatch(mark):
            raise each.fault(f"'{mark}' is not allowed: it must be {allowed}")
        marks.append(mark)
    return tuple(marks)


def _options(item: Item, backend: str, base: Path) -> dict[str, object]:
    entries = item.mapping()
    plain = item.plain()
    assert isinstance(plain, dict)
    key = plain.get("api_key")  # recorded with every answer, so that it may never be the key itself
    if key is not None and not (isinstance(key, str) and _VARIABLE.fullmatch(key)):
        raise item.fault("api_key must be the name of an environment variable, such as MY_KEY")
    for name in getattr(registry.find(backend), "models_in_options", ()):
        if isinstance(plain.get(name), str):
            plain[name] = _location(entries[name], item, backend, base).path
    return plain
