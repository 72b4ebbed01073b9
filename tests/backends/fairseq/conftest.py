from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="session")
def translation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a translation model with random weights; ``other.pt`` beside it is its twin."""
    from tests.backends.fairseq import support

    folder = tmp_path_factory.mktemp("translation")
    support.write_model(folder, seed=2, name="other.pt")
    return support.write_model(folder)


@pytest.fixture(scope="session")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a language model with random weights."""
    from tests.backends.fairseq import support

    return support.write_model(tmp_path_factory.mktemp("language_model"), "transformer_lm")


@pytest.fixture(scope="session")
def engine(translation: Path) -> Any:
    """The translation model in this backend."""
    from tests.backends.fairseq import support

    return support.load(translation)


@pytest.fixture(scope="session")
def library(translation: Path) -> Any:
    """The translation model in fairseq alone."""
    from tests.backends.fairseq import support

    return support.Library(translation)


@pytest.fixture(scope="session")
def causal(language_model: Path) -> Any:
    """The language model in this backend."""
    from tests.backends.fairseq import support

    return support.load(language_model)


@pytest.fixture(scope="session")
def causal_library(language_model: Path) -> Any:
    """The language model in fairseq alone."""
    from tests.backends.fairseq import support

    return support.Library(language_model)
