"""Which configuration is meant: a file, a ready one by name, models of the command line, or the default."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from msgspec.structs import replace

from backends import registry
from backends.server import address
from repl import paths
from repl.config import schema
from repl.config.locations import Location, locate, recognise
from repl.config.models import DTYPES, Config, ConfigError, ModelConfig, Replicas
from repl.config.source import legible, read, unknown

DEFAULT = "demo"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """What the command line says about models; None and empty are "not said"."""

    config: str | None = None
    """A file, or the name of a ready configuration."""
    models: tuple[str, ...] = ()
    """Each the name of a configured model, ``PATH_OR_HUB_NAME``, or ``NAME=PATH_OR_HUB_NAME``."""
    compare: tuple[str, ...] = ()
    """Names of the models to choose at the start."""
    backend: str | None = None
    data: str | None = None
    devices: str | None = None
    """``0,1``, ``cuda:1``, ``cpu``."""
    replicas: str | None = None
    """``auto`` or a number."""
    dtype: str | None = None
    slots: int | None = None
    gpus_per_replica: int | None = None
    trust: tuple[str, ...] = ()


def load_config(path: Path) -> Config:
    """The checked configuration in a file, as it stands."""
    return schema.config(read(path), path)


def ready() -> list[str]:
    """Names of the configurations that come along."""
    return sorted(file.stem for file in paths.ready_configs().glob("*.yaml"))


def find(name: str, base: Path) -> Path:
    """The file that ``--config name`` means: a path seen from ``base``, or a ready configuration."""
    file = base / Path(name).expanduser()
    if file.is_file():
        return file
    packaged = paths.ready_configs() / f"{name}.yaml"
    if name in ready():
        return packaged
    if file.is_dir():
        raise ConfigError(f"--config: {file} is a folder: name the file in it")
    if file.suffix in (".yaml", ".yml") or len(Path(name).parts) > 1:
        raise ConfigError(f"there is no configuration file {file}")
    raise ConfigError(f"--config: {unknown('configuration', name, ready())}, or the path of a file")


@legible()
def choose(arguments: Arguments, base: Path | None = None) -> Config:
    """The configuration that the command line asks for; ``base`` is the current folder."""
    chooser = _Chooser(arguments, base or Path.cwd())
    config = chooser.named_models() if arguments.models else chooser.whole_file()
    config = chooser.overridden(config)
    if not arguments.compare:
        return config
    for name in arguments.compare:
        if name not in config.models:
            raise ConfigError(f"--compare: {unknown('model', name, config.models)}")
    return replace(config, compare=tuple(dict.fromkeys(arguments.compare)))


class _Chooser:
    def __init__(self, arguments: Arguments, base: Path) -> None:
        self._said = arguments
        self._base = base

    def whole_file(self) -> Config:
        """All models of the file that was named, or of the default one."""
        if self._about_paths():
            raise ConfigError("--backend, --data and --trust go with --model PATH: say which model is meant")
        file, lent = self._file()
        return _lend(load_config(file), lent)

    def named_models(self) -> Config:
        """Just the models of ``--model``, picked from the file by name or found by path."""
        named = [self._split(text) for text in self._said.models]
        file, lent = self._file()
        # A default file is looked into only for what may be one of its names, so that a fault in it
        # is no concern of one who names paths.
        bare = any(schema.name_fault(text) is None for _, text in named)
        config = load_config(file) if bare or self._said.config is not None else None
        known = config.models if config is not None else {}
        if self._about_paths() and all(text in known for _, text in named):
            raise ConfigError("--backend, --data and --trust are settled by the configuration of that model")
        models: dict[str, ModelConfig] = {}
        for (_, text), name in zip(named, _names(named), strict=True):
            if name in models:
                raise ConfigError(f"--model: two models are called '{name}': write NAME=PATH")
            picked = known.get(text)
            models[name] = self._from_path(name, text) if picked is None else replace(picked, name=name)
        if config is not None and (self._said.config is not None or models.keys() <= known.keys()):
            config = replace(config, models=models, compare=tuple(models))
        else:
            config = Config(name="command line", models=models, compare=tuple(models))
        return _lend(config, lent)

    def _about_paths(self) -> bool:
        """Whether something was said that only fits a model named by its path."""
        return bool(self._said.backend or self._said.data or self._said.trust)

    def _file(self) -> tuple[Path, dict[str, object]]:
        """The file to read models from, and what the user's own file lends to it."""
        own = paths.user_config()
        keys = read(own).mapping(schema.TOP) if own.is_file() else {}
        if self._said.config is not None:
            return find(self._said.config, self._base), schema.settings(keys)
        if "models" in keys:
            return own, schema.settings(keys)
        for item in (keys[key] for key in keys if key not in schema.SETTINGS):
            raise item.fault("it needs 'models:' beside it")
        return paths.ready_configs() / f"{DEFAULT}.yaml", schema.settings(keys)

    def _split(self, text: str) -> tuple[str | None, str]:
        """``NAME=PATH`` as a pair, unless the whole is a path."""
        name, equals, path = text.partition("=")
        if not equals or address.is_address(text) or (self._base / text).exists():
            return None, text
        if (fault := schema.name_fault(name)) is not None:
            raise ConfigError(f"--model: {fault}")
        return name, path

    def _from_path(self, name: str, text: str) -> ModelConfig:
        said = self._said
        if said.backend is not None and said.backend not in registry.names():
            raise ConfigError(f"--backend: {unknown('backend', said.backend, registry.names())}")
        try:
            location = (
                Location(path=text) if said.backend == "echo" else locate(text, self._base, said.backend)
            )
            backend = said.backend or location.backend or recognise(location)
        except ConfigError as error:
            raise ConfigError(f"--model {address.shown(text)}: {error}") from None
        if backend is None:
            known = ", ".join(registry.names())
            raise ConfigError(
                f"--model {text}: no backend recognises it; for a checkpoint add --backend, one of {known}"
            )
        data = location.data
        if said.data is not None:
            folder = self._base / Path(said.data).expanduser()
            if not folder.is_dir():
                raise ConfigError(f"--data: there is no folder {folder}")
            data = str(folder.resolve())
        return ModelConfig(
            name=name, backend=backend, path=location.path, data=data, trust=said.trust, origin="--model"
        )

    def overridden(self, config: Config) -> Config:
        """``config`` on the devices and in the type that the command line says."""
        said = self._said
        changes: dict[str, object] = {}
        replicas = _replicas(said.devices, said.replicas)
        if replicas is not None:
            changes["replicas"] = replicas
        if said.dtype is not None:
            if said.dtype not in DTYPES:
                raise ConfigError(f"--dtype: {unknown('dtype', said.dtype, DTYPES)}")
            changes["dtype"] = said.dtype
        if said.slots is not None:
            if not 1 <= said.slots <= schema.MAX_SLOTS:
                raise ConfigError(
                    f"--slots: {said.slots} is not allowed: it must be from 1 to {schema.MAX_SLOTS:,}"
                )
            changes["slots"] = said.slots
        if said.gpus_per_replica is not None:
            if said.gpus_per_replica < 1:
                raise ConfigError(
                    f"--gpus-per-replica: {said.gpus_per_replica} is not allowed: it must be at least 1"
                )
            changes["gpus_per_replica"] = said.gpus_per_replica
        models = {name: replace(model, **changes) for name, model in config.models.items()}
        return replace(config, models=models)


def _lend(config: Config, lent: dict[str, object]) -> Config:
    """``config`` with the settings of the user's own file where it has none itself."""
    fresh = Config(name="", models={}, compare=())
    unset = {key: value for key, value in lent.items() if getattr(config, key) == getattr(fresh, key)}
    return replace(config, **unset)


def _names(named: list[tuple[str | None, str]]) -> list[str]:
    """A name for each: the one given, or the end of the path, with its folder where two would be equal."""
    stems = [name or _fit(_end(text)) for name, text in named]
    counts = Counter(stems)
    return [
        stem if name or counts[stem] == 1 else _fit(f"{Path(text).parent.name}-{stem}")
        for stem, (name, text) in zip(stems, named, strict=True)
    ]


def _end(text: str) -> str:
    """What a model is called by its place alone."""
    if address.is_address(text):
        return address.short(text)
    return Path(text).stem if text.endswith((".pt", ".gguf")) else Path(text).name


def _fit(text: str) -> str:
    """``text`` as a name that ``schema.name_fault`` accepts."""
    text = text.removeprefix("demo:")
    kept = "".join(c if c.isalnum() or c in "_.+-" else "-" for c in text).strip("-.+")[:64] or "model"
    return f"model-{kept}" if schema.name_fault(kept) else kept


def _replicas(devices: str | None, number: str | None) -> Replicas | None:
    count: int | None = None
    if number is not None and number != "auto":
        count = int(number) if number.isdecimal() and len(number) < 5 else 0
        if not 1 <= count <= schema.MAX_REPLICAS:
            raise ConfigError(
                f"--replicas: '{number}' is not allowed: it must be auto or a number from 1 to "
                f"{schema.MAX_REPLICAS}"
            )
    if devices is None:
        return count if count is not None else ("auto" if number else None)
    listed: list[str] = []
    for word in devices.split(","):
        named = schema.device(word)
        if named is None:
            raise ConfigError(f"--devices: '{word}' is not a device: write 0,1 or cuda:0,cuda:1 or cpu")
        listed.append(named)
    return tuple(listed[i % len(listed)] for i in range(count or len(listed)))
