"""Room for keys and values: requests wait for it, and what can never fit is refused."""

import pytest

torch = pytest.importorskip("torch")

from backends.hf.state import memory
from backends.hf.state.causal import CausalRows
from backends.hf.state.memory import Demand
from repl.messages import Failed, Finished, Started
from tests.backends.hf.support import KINDS, RECURRENT, ask, reference, request, run

ROOM = 64


@pytest.fixture(scope="module")
def tight(checkpoint, load):
    """``tight(kind)`` is an engine with room for 64 tokens."""
    engines = {}

    def of(kind):
        if kind not in engines:
            engines[kind] = load(checkpoint(kind), options={"cache_tokens": ROOM})
        return engines[kind]

    return of


@pytest.fixture
def held(monkeypatch):
    """Tokens, padding included, of each forward pass of decoder-only models."""
    sizes = []
    forward = CausalRows._forward

    def watched(self, *args):
        sizes.append(self.size * self.length)
        return forward(self, *args)

    monkeypatch.setattr(CausalRows, "_forward", watched)
    return sizes


@pytest.mark.parametrize("kind", ["llama", "bloom", "bart"])
def test_requests_wait_for_memory_and_get_the_same_answers(kind, tight, network, tokenizer, held):
    prompts = ["the cat", "that was", "hat", "the mat", "a cat"]
    heard = run(tight(kind), *(request(i, p, max_new=16) for i, p in enumerate(prompts)))
    for one, prompt in zip(heard, prompts, strict=True):
        ids = tokenizer(prompt)["input_ids"]
        assert [one.tokens] == reference(network(kind), ids, max_new_tokens=16)
    assert max(one.end.batch for one in heard) in (2, 3)
    assert max(held, default=0) <= ROOM


def test_no_step_holds_more_than_there_is_room_for(tight, held):
    llama = tight("llama")
    lengths = [3, 30, 5, 18, 2, 9, 44]
    run(llama, *(request(i, "z" * n, max_new=n) for i, n in enumerate(lengths)), gap=2)
    run(llama, request(1, "zz", n=4, temperature=1.0, seed=1), request(2, "the cat", beam=3), request(3, "z"))
    assert max(held) <= ROOM


def test_they_begin_in_their_order(tight):
    llama = tight("llama")
    sizes = [20, 50, 2, 2]
    for i, size in enumerate(sizes):
        llama.admit(request(i, "z" * 4, max_new=size, min_new=size))
    events = [event for _ in range(200) for event in llama.step()]
    assert [event.id for event in events if isinstance(event, Started)] == [0, 1, 2, 3]
    first_end = next(i for i, event in enumerate(events) if isinstance(event, Finished))
    assert not any(isinstance(event, Started) and event.id for event in events[:first_end])


def test_a_request_that_waits_for_memory_can_be_cancelled(tight):
    llama = tight("llama")
    for i, size in enumerate((40, 40, 3)):
        llama.admit(request(i, "z" * 4, max_new=size, min_new=size))
    llama.step()
    llama.cancel(1)
    assert {event.id for _ in range(60) for event in llama.step()} == {0, 2}


@pytest.mark.parametrize(
    ("settings", "words"),
    [({"max_new": 90}, "max_new"), ({"n": 8, "temperature": 1.0}, "8 rows"), ({"beam": 8}, "8 rows")],
)
def test_what_can_never_fit_is_refused(tight, settings, words):
    llama = tight("llama")
    heard = run(llama, request(1, "the cat", **settings), request(2, "the cat"))
    error = heard[0].end.error
    assert isinstance(heard[0].end, Failed) and error.kind == "out_of_memory"
    assert str(ROOM) in error.message and words in error.message + error.hint and "cache_tokens" in error.hint
    assert heard[1].tokens


@pytest.mark.parametrize("kind", KINDS)
def test_the_room_is_measured(kind, engine, network, monkeypatch):
    rows = engine(kind)._model.rows
    monkeypatch.setattr(memory, "_free", lambda device, share: 1e6)
    room = memory.capacity(rows)
    if kind in RECURRENT:
        assert room is None
        return
    config = network(kind).config
    if kind == "llama":  # keys and values of 2 layers, 2 heads of 8 numbers of 4 bytes
        assert config.num_key_value_heads == 2 and room == 1_000_000 // (2 * 2 * 2 * 8 * 4)
    assert 0 < room < 1_000_000


def test_a_model_without_limit_takes_what_the_machine_has(engine):
    assert engine("llama")._model.cache_tokens > 10_000
    assert ask(engine("bloom"), max_new=3).end.reason


def test_padding_counts():
    joint = [Demand(1, 10, True), Demand(3, 100, True)]
    assert memory.tokens([]) == 0
    assert memory.tokens(joint) == 400
    assert memory.tokens([*joint, Demand(5, 20, False)]) == 500
