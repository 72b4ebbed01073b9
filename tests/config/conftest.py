"""A folder of checkpoints, and what is read from a file beside them."""

from pathlib import Path

import pytest

from repl.config import Config, ConfigError, load_config


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
