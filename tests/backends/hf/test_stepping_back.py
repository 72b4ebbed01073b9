"""Room for answers as they grow: where it runs out the newest step back, and no answer is another for it."""

import random
from collections import defaultdict

import pytest

torch = pytest.importorskip("torch")

from backends.hf import reserve
from backends.hf.answer import Answer
from backends.hf.state.causal import CausalRows
from repl.messages import Finished, Started, Step, Stopped
from repl.pool.driver import Driver
from tests.backends.hf.support import REPETITIVE, alike, ask, reference, request, run

ROOM = 160
PART = 8
LONG = 40


@pytest.fixture(scope="module")
def tight(checkpoint, load):
    """``tight(kind)`` is an engine with little room; each test leaves it idle."""
    engines = {}

    def of(kind):
        if kind not in engines:
            engines[kind] = load(checkpoint(kind), slots=8, options={"cache_tokens": ROOM})
        return engines[kind]

    return of


@pytest.fixture(autouse=True)
def back(monkeypatch):
    """The ids of those that stepped back, in that order; parts are small here."""
    stepped = []
    step_back = Answer.step_back

    def watched(self):
        stepped.append(self.request.id)
        step_back(self)

    monkeypatch.setattr(Answer, "step_back", watched)
    monkeypatch.setattr(reserve, "PART", PART)
    return stepped


@pytest.fixture
def most(monkeypatch):
    """Most tokens that one pass had memory for, those of other batches left out."""
    seen = [0]
    forward = CausalRows._forward

    def watched(self, *args):
        logits = forward(self, *args)
        keys = self._cache.layers[0].keys
        room = keys.untyped_storage().nbytes() // (keys.element_size() * keys.shape[1] * keys.shape[3])
        seen[0] = max(seen[0], room)
        return logits

    monkeypatch.setattr(CausalRows, "_forward", watched)
    return seen


def long(number, prompt="the cat", **settings):
    return request(number, prompt, **{"max_new": LONG, "min_new": LONG} | settings)


@pytest.mark.parametrize("kind", ["llama", "gpt2", "mistral-window", "bloom", "deepseek-mla"])
def test_who_steps_back_gets_the_same_answer(kind, tight, network, tokenizer, back, most):
    prompts = ["the cat", "that was", "hat", "the mat", "a cat", "zz"]
    heard = run(tight(kind), *(long(i, p) for i, p in enumerate(prompts)))
    for one, prompt in zip(heard, prompts, strict=True):
        ids = tokenizer(prompt)["input_ids"]
        wanted = reference(network(kind), ids, max_new_tokens=LONG, min_new_tokens=LONG)
        assert [one.tokens] == wanted
    assert len(back) >= 3 and len(set(back)) == len(back) and 0 not in back
    assert LONG < most[0] <= ROOM


def test_large_limits_keep_nobody_waiting(tight, back):
    llama = tight("llama")
    for i in range(4):  # each of whom could fill most of the room
        llama.admit(request(i, "zz", max_new=100, ban=("</s>",)))
    begun = {event.id for event in llama.step() if isinstance(event, Started)}
    assert begun == {0, 1, 2, 3} and not back
    for i in range(4):
        llama.cancel(i)


def test_the_newest_step_back_and_the_oldest_never_waits(tight, back):
    llama = tight("llama")
    requests = [long(i, "z" * 3) for i in range(6)]
    for one in requests:
        llama.admit(one)
    written, steps, ends = defaultdict(list), 0, []
    while len(ends) < len(requests):
        for event in llama.step():
            if isinstance(event, Step):
                written[event.id].append(steps)
            if isinstance(event, Finished):
                ends.append(event.id)
        steps += 1
        assert steps < 1000
    assert written[0] == list(range(written[0][0], written[0][0] + LONG))
    assert back == sorted(back, reverse=True) and back[0] == 5
    assert ends == sorted(ends)


def test_nobody_passes_those_who_stepped_back(tight, back):
    llama = tight("llama")
    for i in range(6):
        llama.admit(long(i, "z" * 3))
    while not back:
        llama.step()
    llama.admit(request(6, "z", max_new=1))
    events = [event for _ in range(400) for event in llama.step()]
    new = next(at for at, event in enumerate(events) if event.id == 6)
    returned = [at for at, event in enumerate(events) if event.id in back and isinstance(event, Step)]
    assert new > min(returned) and {event.id for event in events if isinstance(event, Finished)} == set(
        range(7)
    )


def test_one_that_stepped_back_can_be_cancelled(tight, back):
    llama = tight("llama")
    alone = [ask(llama, "z" * 3, max_new=LONG, min_new=LONG).tokens]
    driver = Driver(llama)
    for i in range(6):
        driver.admit(long(i, "z" * 3))
    tokens = defaultdict(list)
    while not back:
        for event in driver.step():
            if isinstance(event, Step):
                tokens[event.id].append(event.token)
    gone = back[0]
    so_far = len(tokens[gone])
    assert 0 < so_far < LONG
    assert driver.cancel(gone) == [Stopped(id=gone)]
    while driver.busy:
        for event in driver.step():
            if isinstance(event, Step):
                tokens[event.id].append(event.token)
    assert len(tokens.pop(gone)) == so_far
    assert list(tokens.values()) == alone * 5
    assert not llama._away and not llama._running()


def test_one_whose_prompt_is_not_read_yet_steps_back_too(checkpoint, load, tokenizer, back):
    """It is the newest, and the room goes to who came before."""
    slow = load(checkpoint("llama"), slots=8, options={"cache_tokens": 130, "prefill_tokens": 4})
    first, second = long(0, "zz", max_new=90, min_new=90), long(1, "z" * 40, max_new=20, min_new=20)
    assert len(tokenizer(second.prompt)["input_ids"]) == 40
    wanted = [run(slow, one)[0].tokens for one in (first, second)]
    slow.forget()
    slow.admit(first)
    tokens = {0: [], 1: []}
    while len(tokens[1]) < 20:
        if len(tokens[0]) == 56:
            slow.admit(second)
        for event in slow.step():
            if isinstance(event, Step):
                tokens[event.id].append(event.token)
        assert back == [1] or (not tokens[1] and len(tokens[0]) < 90)
    assert [tokens[0], tokens[1]] == wanted


def test_what_cannot_be_read_again_keeps_all_its_room(tight, back):
    llama = tight("llama")
    settings = [
        {"beam": 2},
        {"lane": "exact"},
        {"distributions": True},
        {"n": 2, "temperature": 1.0, "seed": 1},
    ]
    run(llama, *(request(i, "zz", max_new=30, **one) for i, one in enumerate(settings)))
    assert not back


def storm(chance, number):
    """A request of any kind."""
    settings = chance.choice(
        [
            {},
            {"temperature": 0.8, "seed": number},
            {"temperature": 1.0, "seed": number, "top_k": 5, "logprobs": 3},
            {"repetition_penalty": 1.1, "presence_penalty": 0.3},
            {"no_repeat_ngram": 3},
            {"prefix": "the cat sat"},
            {"stop": ("at",)},
            {"beam": 2},
            {"lane": "exact"},
            {"n": 2, "temperature": 1.0, "seed": number},
        ]
    )
    prompt = chance.choice(["the cat", "zz", "a model reads", REPETITIVE[:40], "z" * 30])
    length = chance.choice([8, 20, 35])
    return request(number, prompt, max_new=length, **settings)


@pytest.mark.parametrize("seed", range(6))
def test_a_storm_in_a_small_room_answers_as_each_would_alone(seed, tight, engine, back, most):
    chance = random.Random(seed)
    requests = [storm(chance, number) for number in range(14)]
    found = run(tight("llama"), *requests, gap=chance.choice([0, 1, 3]))
    assert len(set(back)) == len(back) and most[0] <= ROOM
    for one, asked in zip(found, requests, strict=True):
        [wanted] = run(engine("llama"), asked)
        alike(one, wanted)
        assert one.end.hypotheses == wanted.end.hypotheses or asked.params.beam > 1


def test_the_storms_had_some_step_back(tight, back):
    for seed in range(6):
        chance = random.Random(seed)
        run(tight("llama"), *(storm(chance, number) for number in range(14)))
    assert back
