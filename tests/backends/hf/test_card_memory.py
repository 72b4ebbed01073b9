"""The memory of a pretended GPU: nothing stays behind, and want of it costs as few answers as it can."""

import gc

import pytest

torch = pytest.importorskip("torch")

from backends.hf import HuggingFace
from repl.messages import Failed, ModelSpec
from tests.backends.hf import pretended
from tests.backends.hf.support import REPETITIVE, alike, request, run

ENDLESS = 1 << 40
MIXED = [
    request(1, REPETITIVE, max_new=30),
    request(2, n=3, temperature=0.9, seed=1),
    request(3, beam=3),
    request(4, task="score", target=" sat on the mat"),
    request(5, lane="exact", logprobs=3, min_new=5),
    request(6, REPETITIVE, max_new=30, repetition_penalty=1.2, distributions=True),
]


@pytest.fixture(scope="module")
def there(checkpoint):
    """``there(kind)`` is an engine on the card, without its weights in the account."""
    engines = {}

    def of(kind, **options):
        key = kind, *options.items()
        if key not in engines:
            path = str(checkpoint(kind))
            spec = ModelSpec(name="tiny", backend="hf", path=path, dtype="float32", options=options)
            with pretended.card():
                engines[key] = HuggingFace.load(spec, "cuda:0", 1, lambda stage, fraction: None)
        return engines[key]

    return of


@pytest.fixture
def card():
    with pretended.card() as card:
        card.limit = ENDLESS
        yield card


def idle(engine, card):
    """Bytes that are still held once the engine has forgotten the texts that it keeps."""
    engine.forget()
    gc.collect()
    return card.used


@pytest.mark.parametrize("kind", ["llama", "bart", "mamba"])
def test_an_engine_without_requests_holds_nothing(kind, there, card):
    run(there(kind), *MIXED)
    assert idle(there(kind), card) == 0
    for one in MIXED:
        there(kind).admit(one)
    for _ in range(4):
        there(kind).step()
    assert card.used
    for one in MIXED:
        there(kind).cancel(one.id)
    assert not there(kind).step()
    assert idle(there(kind), card) == 0


def test_so_it_is_with_guesses_and_lenses(there, checkpoint, card):
    for options in ({"lookup": 4}, {"assistant": str(checkpoint("llama"))}):
        run(there("llama", **options), request(1, REPETITIVE, max_new=20), request(2, task="lens"))
        assert idle(there("llama", **options), card) == 0


@pytest.mark.parametrize("limit", [120_000, 160_000, 200_000])
def test_where_memory_runs_out_some_answers_are_lost_and_the_others_right(limit, there, card, engine):
    asked = [request(i, f"the cat sat {i}", max_new=60, min_new=60) for i in range(6)]
    card.limit = limit
    found = run(there("llama"), *asked)
    wanted = run(engine("llama"), *asked)
    whole = [i for i, one in enumerate(found) if not isinstance(one.end, Failed)]
    assert 0 < len(whole) < len(asked)
    for i in whole:
        alike(found[i], wanted[i])
    assert {one.end.error.kind for one in found if isinstance(one.end, Failed)} == {"out_of_memory"}
    assert idle(there("llama"), card) == 0
    card.limit = ENDLESS
    for mine, theirs in zip(run(there("llama"), *asked), wanted, strict=True):
        alike(mine, theirs)


def test_kept_texts_make_way_before_an_answer_does(there, card, engine):
    run(there("llama"), *(request(i, REPETITIVE + str(i) * 9, max_new=40) for i in range(3)))
    kept = card.used
    card.limit = kept + 60_000
    asked = [request(i, f"the cat sat {i}", max_new=50, min_new=50) for i in range(3)]
    for mine, theirs in zip(run(there("llama"), *asked), run(engine("llama"), *asked), strict=True):
        alike(mine, theirs)
    assert card.used < kept
