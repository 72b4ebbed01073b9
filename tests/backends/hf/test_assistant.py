"""An assistant drafts: with the noise of the model it helps, and never a token that this would not write."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from backends.base import BackendError
from backends.hf.state import memory
from backends.hf.state.causal import CausalRows
from tests.backends.hf import support
from tests.backends.hf.support import REPETITIVE, SETTINGS, alike, ask, request, run


@pytest.fixture(scope="module")
def assistant(tokenizer, tmp_path_factory):
    """``assistant(shift, kind, extra)`` is the folder of a model with weights so far from the tests' own.

    ``extra`` of its embeddings belong to no token; where it is negative, as many tokens have none.
    """

    def saved(shift, kind="llama", extra=0):
        folder = tmp_path_factory.mktemp("assistant")
        network = support.build(kind, len(tokenizer))
        torch.manual_seed(1)
        for weight in network.parameters():
            weight.data += shift * torch.randn_like(weight)
        if extra:
            network.resize_token_embeddings(len(tokenizer) + extra)
        network.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return str(folder)

    return saved


@pytest.fixture(scope="module")
def assisted(checkpoint, load, assistant):
    engines = {}

    def of(shift=0.02, kind="llama", extra=0, **options):
        key = (shift, kind, extra, *options.items())
        if key not in engines:
            helped = {"assistant": assistant(shift, kind, extra), "draft": 4} | options
            engines[key] = load(checkpoint("llama"), options=helped)
        return engines[key]

    return of


def test_an_assistant_changes_no_token(engine, assisted):
    accepted = drafted = 0
    for seed in range(12):
        settings = {"max_new": 30, "temperature": 0.5 * (seed % 3), "seed": seed, "top_k": 40 * (seed % 2)}
        found = ask(assisted(), **settings)
        alike(found, ask(engine("llama"), **settings))
        accepted, drafted = accepted + found.end.accepted, drafted + found.end.drafted
    assert 0 < accepted < drafted


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_the_noise_is_shared_so_an_equal_assistant_is_always_right(engine, assisted, settings):
    asked = {"max_new": 40} | settings
    found = ask(assisted(shift=0.0), **asked)
    alike(found, ask(engine("llama"), **asked))
    assert found.end.accepted == found.end.drafted > 10


@pytest.mark.parametrize("extra", [12, -4])
def test_another_padding_of_the_vocabulary_is_no_other_vocabulary(engine, assisted, extra):
    found = ask(assisted(shift=0.0, extra=extra), max_new=40, temperature=0.8, seed=1)
    alike(found, ask(engine("llama"), max_new=40, temperature=0.8, seed=1))
    assert found.end.accepted > 0


def test_a_long_prompt_is_read_by_the_assistant_in_parts(engine, assisted):
    prompt = REPETITIVE + "the hat "
    found = ask(assisted(shift=0.0, prefill_tokens=7), prompt, max_new=40)
    alike(found, ask(engine("llama"), prompt, max_new=40))
    whole = ask(assisted(shift=0.0), prompt, max_new=40)
    assert 0 < found.end.drafted < whole.end.drafted


def test_an_assistant_that_ran_out_of_positions_is_silent(checkpoint, load, engine, tokenizer, tmp_path):
    short = support.build("gpt2", len(tokenizer))
    config = type(short.config)(**short.config.to_dict() | {"n_positions": 24})
    short = type(short)(config).eval()
    short.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = load(checkpoint("gpt2"), options={"assistant": str(tmp_path)})
    alike(ask(model, max_new=60), ask(engine("gpt2"), max_new=60))
    assert ask(model, REPETITIVE, max_new=10).end.drafted == 0


def test_streams_that_come_and_go_are_assisted_when_alone(engine, assisted):
    requests = [request(n, "the cat sat"[: n + 5], max_new=12 + 6 * n, seed=n) for n in range(4)]
    for gap in (4, 15):
        for found, one in zip(run(assisted(), *requests, gap=gap), requests, strict=True):
            alike(found, run(engine("llama"), one)[0])
            assert gap == 4 or found.end.drafted > 0


def test_an_assistant_without_memory_is_given_up(engine, assisted, monkeypatch):
    read = CausalRows.read
    model = assisted()

    def fails(self, tokens):
        if self._network is not model._model.network:
            raise torch.OutOfMemoryError("pretended")
        return read(self, tokens)

    monkeypatch.setattr(CausalRows, "read", fails)
    found = ask(model, max_new=30)
    alike(found, ask(engine("llama"), max_new=30))
    assert found.end.drafted == 0


def test_what_cannot_assist_is_refused_by_name(checkpoint, load, assistant, tmp_path):
    def refused(words, **options):
        with pytest.raises(BackendError, match=words) as found:
            load(checkpoint("llama"), options=options)
        return found.value.error

    assert refused("no-such", assistant=str(tmp_path / "no-such")).kind == "missing_file"
    assert "lookup" in refused("cannot both draft", assistant="x", lookup=3).message
    assert refused("mamba", assistant=assistant(0.0, "mamba")).kind == "unsupported"
    support.build("llama", 600).save_pretrained(tmp_path)
    support.byte_fallback().save_pretrained(tmp_path)
    assert refused("another vocabulary", assistant=str(tmp_path)).kind == "bad_parameter"


def test_an_assistant_is_told_in_the_notes_and_has_its_share_of_the_memory(assisted, engine, monkeypatch):
    (note,) = [note for note in assisted().capabilities.notes if "assistant" in note]
    assert "guesses up to 4 tokens" in note
    rows = engine("llama")._model.rows
    monkeypatch.setattr(memory, "_free", lambda device, share: 1e6)
    assert memory.capacity(rows) == pytest.approx(2 * memory.capacity(rows, rows), abs=2)
