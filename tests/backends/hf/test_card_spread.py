"""A model spread layer by layer over two pretended GPUs."""

import importlib.util

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("accelerate")

from transformers import modeling_utils

from backends.base import BackendError
from backends.hf import HuggingFace
from backends.hf.state import memory
from repl.messages import ModelSpec
from tests.backends.hf import pretended, support
from tests.backends.hf.support import REPETITIVE, alike, request, run

DEEP = {"gpt2": {"n_layer": 5}, "bart": {"encoder_layers": 1, "decoder_layers": 7}}
PROMPTS = ["the cat", "a model reads a prompt", "that was that"]


@pytest.fixture(scope="module")
def folders(tokenizer, tmp_path_factory):
    """Of models deep enough to be parted."""
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        for kind, deeper in DEEP.items():
            config, model, settings = support.KINDS[kind]
            patch.setitem(support.KINDS, kind, (config, model, settings | deeper))
            found[kind] = tmp_path_factory.mktemp(kind)
            support.build(kind, len(tokenizer)).save_pretrained(found[kind])
            tokenizer.save_pretrained(found[kind])
    return found


@pytest.fixture(scope="module")
def cards():
    """accelerate calls GPUs by their numbers, which torch without one does not take for devices."""
    inner = modeling_utils._get_device_map

    def named(*args):
        placed = inner(*args)
        return {part: f"cuda:{on}" if isinstance(on, int) else on for part, on in placed.items()}

    with pytest.MonkeyPatch.context() as patch, pretended.card() as card:
        patch.setattr(modeling_utils, "_get_device_map", named)
        patch.setenv("HF_DEACTIVATE_ASYNC_LOAD", "1")  # other threads do not see the cards
        yield card


def spread(folder):
    spec = ModelSpec(name="tiny", backend="hf", path=str(folder), dtype="float32", gpus=2)
    return HuggingFace.load(spec, "cuda:0", 1, lambda stage, fraction: None)


@pytest.mark.parametrize("kind", DEEP)
def test_it_does_what_it_does_on_one_device(kind, folders, cards, load):
    made, alone = spread(folders[kind]), load(folders[kind])
    rows = made._model.rows()
    rows.prefill([[5, 6, 7], [8, 9]])
    assert set(rows.memory) == {torch.device("cuda", number) for number in range(2)}
    (note,) = made.capabilities.notes
    assert note.startswith("its layers are spread over 2 devices")
    asked = [request(i, prompt, max_new=5 + 3 * i) for i, prompt in enumerate(PROMPTS)]
    asked += [request(4, beam=3), request(5, n=2, temperature=0.8, seed=1), request(6, REPETITIVE)]
    asked += [request(7, task="score", target=" sat on the mat"), request(8, REPETITIVE + " sat")]
    for mine, theirs in zip(run(made, *asked, gap=2), run(alone, *asked, gap=2), strict=True):
        alike(mine, theirs)
    if kind == "gpt2":
        (mine,), (theirs,) = (run(one, request(9, task="lens")) for one in (made, alone))
        tokens = [[cell.token for cell in layer] for layer in mine.end.reading.layers]
        assert tokens == [[cell.token for cell in layer] for layer in theirs.end.reading.layers]


def test_its_room_is_that_of_the_fuller_device(folders, cards, monkeypatch):
    make = spread(folders["gpt2"])._model.rows
    rows = make()
    rows.prefill([[5]])
    token = {device.index: size for device, size in rows.memory.items()}
    assert sum(token.values()) == 5 * 2 * 32 * 4  # layers, keys and values, of 32 numbers of 4 bytes
    for free in ({0: 10_000, 1: 90_000}, {0: 90_000, 1: 10_000}):
        monkeypatch.setattr(memory, "_free", lambda device, share, free=free: free[device.index])
        assert memory.capacity(make) == min(free[number] // token[number] for number in (0, 1))


def test_what_fits_on_no_two_is_refused(folders, cards, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (60_000, pretended.FREE))
    with pytest.raises(BackendError) as caught:
        spread(folders["gpt2"])
    error = caught.value.error
    assert error.kind == "out_of_memory" and "2 devices" in error.message and "gpus_per_replica" in error.hint


def test_without_accelerate_it_says_what_to_install(folders, cards, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "accelerate" else find(name)
    )
    with pytest.raises(BackendError) as caught:
        spread(folders["gpt2"])
    assert (
        caught.value.error.kind == "missing_package" and caught.value.error.hint == "pip install accelerate"
    )
