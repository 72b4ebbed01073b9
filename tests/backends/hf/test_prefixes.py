"""What was read once is not read again, and the answers are the same."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from backends.hf.state.causal import CausalRows, KeptLayer, Snapshot
from backends.hf.state.prefixes import WORTH, PrefixStore, common
from tests.backends.hf.support import CAUSAL, KINDS, SEQ2SEQ, ask, reference, request, run

FIRST = "Every good boy: a model reads a prompt and writes an answer, and that was that"
"""40 tokens."""


@pytest.fixture
def read(monkeypatch):
    """Prompt tokens that went through the model, padding included."""
    counts = []
    prefill, rest = CausalRows.prefill, CausalRows.read

    def watched_prefill(self, prompts):
        counts.append(len(prompts) * max(map(len, prompts)))
        return prefill(self, prompts)

    def watched_rest(self, tokens):
        counts.append(len(tokens))
        return rest(self, tokens)

    monkeypatch.setattr(CausalRows, "prefill", watched_prefill)
    monkeypatch.setattr(CausalRows, "read", watched_rest)
    return counts


@pytest.fixture
def fresh(engine):
    """``fresh(kind)`` is an engine that remembers nothing."""

    def of(kind):
        made = engine(kind)
        made.forget()
        return made

    return of


def snapshot(length):
    return Snapshot([KeptLayer(0, torch.zeros(1, 1, length, 1), torch.zeros(1, 1, length, 1))])


@pytest.mark.parametrize("kind", KINDS)
def test_the_second_turn_reads_only_what_is_new(kind, fresh, network, tokenizer, read):
    engine = fresh(kind)
    first = ask(engine, FIRST)
    second_prompt = FIRST + ("" if kind in SEQ2SEQ else first.end.text) + " the cat sat"
    ids = tokenizer(second_prompt)["input_ids"]
    read.clear()
    second = ask(engine, second_prompt)
    assert [second.tokens] == reference(network(kind), ids)
    if kind in CAUSAL:
        assert second.started.reused >= WORTH and sum(read) == len(ids) - second.started.reused
    else:
        assert second.started.reused == 0


def test_the_same_prompt_again_reads_one_token(fresh, read):
    llama = fresh("llama")
    first = ask(llama, FIRST)
    read.clear()
    again = ask(llama, FIRST)
    assert again.tokens == first.tokens and read == [1]
    assert again.started.reused == len(first.started.prompt_ids) - 1


@pytest.mark.parametrize("settings", [{"n": 3, "temperature": 1.0, "seed": 5}, {"beam": 3}, {"logprobs": 2}])
def test_whatever_is_asked_of_it(fresh, settings):
    llama = fresh("llama")
    expected = ask(llama, FIRST, **settings)
    llama.forget()
    ask(llama, FIRST)
    heard = ask(llama, FIRST, **settings)
    assert heard.started.reused and heard.tokens == expected.tokens
    assert [h.tokens for h in heard.end.hypotheses] == [h.tokens for h in expected.end.hypotheses]


def test_a_stopped_answer_is_remembered_too(fresh):
    llama = fresh("llama")
    expected = ask(llama, FIRST, max_new=20)
    llama.forget()
    llama.admit(request(1, FIRST, max_new=20))
    llama.step()
    llama.step()
    llama.cancel(1)
    llama.step()
    heard = ask(llama, FIRST, max_new=20)
    assert heard.started.reused and heard.tokens == expected.tokens


def test_a_text_that_parts_early_is_read_from_there(fresh, read, network, tokenizer):
    llama = fresh("llama")
    ask(llama, FIRST)
    other = FIRST[:66] + " zwölf Boxkämpfer"
    ids = tokenizer(other)["input_ids"]
    shared = common(tuple(ids), tuple(tokenizer(FIRST)["input_ids"]))
    read.clear()
    heard = ask(llama, other)
    assert [heard.tokens] == reference(network("llama"), ids)
    assert heard.started.reused == shared >= WORTH and sum(read) == len(ids) - shared


def test_requests_in_a_batch_leave_their_own_texts(fresh):
    llama = fresh("llama")
    prompts = [FIRST, FIRST[::-1], "早上好" * 12]
    alone = []
    for prompt in prompts:
        alone.append(ask(llama, prompt).tokens)
        llama.forget()
    requests = [request(i, prompt, max_new=3 * i + 4) for i, prompt in enumerate(prompts)]
    run(llama, *requests, gap=1)
    heard = run(llama, *(request(i, prompt) for i, prompt in enumerate(prompts)))
    assert [one.tokens for one in heard] == alone and all(one.started.reused for one in heard)


def test_the_exact_lane_reads_everything_itself(fresh):
    llama = fresh("llama")
    ask(llama, FIRST)
    assert ask(llama, FIRST, lane="exact").started.reused == 0


def known(engine, tokens, many, **settings):
    """What follows ``tokens`` of an answer to FIRST, the first ``many`` of which the asker knows."""
    settings = {"max_new": len(tokens) + 1, "distributions": True, **settings}
    return ask(engine, FIRST, prefix_ids=tuple(tokens), known=many, **settings)


@pytest.mark.parametrize("many", [0, 1, 5, 6])
@pytest.mark.parametrize("kind", KINDS)
def test_known_tokens_come_bare_and_the_rest_as_ever(kind, many, fresh):
    engine = fresh(kind)
    tokens = [7, 11, 12, 13, 7, 20]
    expected = known(engine, tokens, 0, logprobs=2)
    heard = known(engine, tokens, many, logprobs=2)
    assert heard.tokens == expected.tokens and heard.text == expected.text
    for index, (step, other) in enumerate(zip(heard.steps, expected.steps, strict=True)):
        if index < many:
            assert (step.raw_lp, step.rank, step.distribution, step.top) == (None, None, b"", ())
        else:
            assert step.raw_lp == pytest.approx(other.raw_lp, abs=1e-4)
            assert step.rank == other.rank and len(step.top) == 2
            assert len(step.distribution) == len(other.distribution) > 0
        assert (step.forced, step.piece, step.text) == (other.forced, other.piece, other.text)


def test_known_tokens_are_not_read_again(fresh, monkeypatch):
    llama = fresh("llama")
    fed = []
    feed = CausalRows.feed
    monkeypatch.setattr(
        CausalRows, "feed", lambda self, tokens: fed.append(len(tokens)) or feed(self, tokens)
    )
    written = []
    for _ in range(12):
        written = known(llama, written, len(written), temperature=1.0, seed=3).tokens
    assert written == ask(llama, FIRST, max_new=12, temperature=1.0, seed=3).tokens
    assert fed == [1] * 11


def test_old_texts_make_way_for_requests(checkpoint, load, tokenizer):
    length = len(tokenizer(FIRST)["input_ids"])
    llama = load(checkpoint("llama"), options={"cache_tokens": 2 * length + 24})
    ask(llama, FIRST, max_new=2)
    assert ask(llama, FIRST, max_new=2).started.reused
    run(llama, request(1, "z" * length), request(2, "y" * length))
    assert ask(llama, FIRST, max_new=2).started.reused == 0


def test_out_of_memory_forgets_old_texts_before_it_costs_an_answer(fresh, monkeypatch):
    llama = fresh("llama")
    expected = ask(llama, "the cat").tokens
    ask(llama, FIRST)
    decode = CausalRows.decode
    calls = []

    def starved(self, tokens):
        calls.append(1)
        if len(calls) == 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return decode(self, tokens)

    monkeypatch.setattr(CausalRows, "decode", starved)
    assert ask(llama, "the cat").tokens == expected
    monkeypatch.undo()
    assert ask(llama, FIRST).started.reused == 0


def test_the_least_recently_used_goes_first():
    store = PrefixStore(3 * WORTH)
    texts = [[i] * WORTH for i in range(4)]
    for ids in texts[:3]:
        store.add(ids, snapshot(WORTH))
    assert store.find([*texts[0], 9])
    store.add(texts[3], snapshot(WORTH))
    assert store.tokens == 3 * WORTH
    assert [store.find([*ids, 9]) is not None for ids in texts] == [True, False, True, True]


def test_a_longer_text_takes_the_place_of_its_beginning():
    store = PrefixStore(1000)
    store.add(range(40), snapshot(40))
    store.add(range(60), snapshot(60))
    assert store.tokens == 60
    found = store.find(range(50))
    assert found is not None and found.length == 49


def test_short_and_huge_texts_are_not_wanted():
    store = PrefixStore(100)
    assert [store.wants(range(n)) for n in (0, WORTH - 1, WORTH, 100, 101)] == [
        False,
        False,
        True,
        True,
        False,
    ]


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def test_the_common_beginning(a, b):
    expected = next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    assert common(tuple(a), tuple(b)) == expected
