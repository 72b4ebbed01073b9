"""Checkpoints of tiny random models, saved once, and engines loaded from them."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from backends.hf import HuggingFace
from backends.hf.compiled import steps
from repl.messages import ModelSpec
from tests.backends.hf import support


@pytest.fixture(scope="package", autouse=True)
def quiet():
    """One thread, as many tests share the cores; transformers' chatter would only hide failures."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="package")
def tokenizer():
    return support.byte_level()


@pytest.fixture(scope="package")
def checkpoint(tokenizer, tmp_path_factory):
    """``checkpoint(kind)`` is the folder of a saved model."""
    folders = {}

    def folder(kind):
        if kind not in folders:
            folders[kind] = tmp_path_factory.mktemp(kind)
            support.build(kind, len(tokenizer)).save_pretrained(folders[kind])
            tokenizer.save_pretrained(folders[kind])
        return folders[kind]

    return folder


@pytest.fixture(scope="package")
def load():
    """``load(folder, **spec)`` is an engine on the CPU."""

    def loaded(folder, **spec):
        model = ModelSpec(name="tiny", backend="hf", path=str(folder), **spec)
        return HuggingFace.load(model, "cpu", 1, lambda stage, fraction: None)

    return loaded


@pytest.fixture(scope="package")
def engine(checkpoint, load):
    """``engine(kind)`` is the loaded engine of a kind; each test leaves it idle."""
    engines = {}

    def of(kind):
        if kind not in engines:
            engines[kind] = load(checkpoint(kind))
        return engines[kind]

    return of


@pytest.fixture(scope="package")
def network(checkpoint):
    """``network(kind)`` is the model of the same checkpoint, for ``generate``."""
    networks = {}

    def of(kind):
        if kind not in networks:
            loader = transformers.AutoModelForCausalLM
            if kind in support.SEQ2SEQ:
                loader = transformers.AutoModelForSeq2SeqLM
            networks[kind] = loader.from_pretrained(checkpoint(kind)).eval()
        return networks[kind]

    return of


@pytest.fixture
def passes(monkeypatch):
    """The number of rows in each pass through the buffer of compiled steps, those of their tests included."""
    seen = []
    inner = steps.Steps.run

    def run(self, tokens, slots, positions):
        seen.append(len(slots))
        return inner(self, tokens, slots, positions)

    monkeypatch.setattr(steps.Steps, "run", run)
    return seen
