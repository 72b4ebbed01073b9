from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def translation(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a translation model with random weights."""
    from tests.backends.fairseq import support

    folder = tmp_path_factory.mktemp("translation")
    support.write_model(folder, seed=2, name="other.pt")
    return support.write_model(folder)


@pytest.fixture(scope="session")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a language model with random weights."""
    from tests.backends.fairseq import support

    return support.write_model(tmp_path_factory.mktemp("language_model"), "transformer_lm")
