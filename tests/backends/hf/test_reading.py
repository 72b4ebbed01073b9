"""Prompts are read in parts: the same tokens, no waiting beside a long prompt, dropped between two parts."""

from collections import Counter

import pytest

torch = pytest.importorskip("torch")

from backends.hf import selftest
from backends.hf.kinds import divisible
from backends.hf.state.causal import CausalRows
from repl.messages import Finished, Started, Step
from tests.backends.hf.support import CAUSAL, KINDS, RECURRENT, ask, reference, request, run

PROMPT = "a model reads a prompt and writes, that was that and the hat sat on the mat"


@pytest.fixture(scope="module")
def narrow(checkpoint, load):
    """``narrow(kind)`` is an engine that reads five tokens a step."""
    engines = {}

    def of(kind):
        if kind not in engines:
            engines[kind] = load(checkpoint(kind), options={"prefill_tokens": 5})
        return engines[kind]

    return of


@pytest.fixture
def roomy(spacious):
    """``spacious``, which remembers no earlier text."""
    spacious.forget()
    return spacious


@pytest.fixture(scope="module")
def spacious(tokenizer, tmp_path_factory, load):
    """An engine over a model with 2048 positions, reading 256 tokens a step."""
    import transformers

    folder = tmp_path_factory.mktemp("roomy")
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=2048,
        eos_token_id=2,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return load(folder, options={"prefill_tokens": 256})


@pytest.fixture
def passes(monkeypatch):
    """Sizes of the forward passes that read prompts: (prompts, tokens of each)."""
    sizes = []
    prefill, read = CausalRows.prefill, CausalRows.read

    def watched_prefill(self, prompts):
        sizes.append((len(prompts), max(map(len, prompts))))
        return prefill(self, prompts)

    def watched_read(self, tokens):
        sizes.append((1, len(tokens)))
        return read(self, tokens)

    monkeypatch.setattr(CausalRows, "prefill", watched_prefill)
    monkeypatch.setattr(CausalRows, "read", watched_read)
    return sizes


def words(count):
    """A prompt of exactly ``count`` tokens of the byte-level tokenizer."""
    return "z" * count


@pytest.mark.parametrize("kind", KINDS)
def test_parts_give_the_tokens_of_generate(kind, narrow, network, tokenizer):
    ids = tokenizer(PROMPT)["input_ids"]
    heard = run(narrow(kind), request(1, PROMPT), request(2, "the cat"), request(3, PROMPT, beam=3), gap=2)
    assert [heard[0].tokens] == reference(network(kind), ids)
    assert [heard[1].tokens] == reference(network(kind), tokenizer("the cat")["input_ids"])
    assert [heard[2].tokens] == reference(network(kind), ids, num_beams=3, early_stopping=True)


def test_neighbours_get_a_token_at_every_step_while_a_long_prompt_is_read(roomy, passes):
    for i in range(3):
        roomy.admit(request(i, words(3 + i), max_new=40, min_new=40))
    roomy.step()
    roomy.admit(request(9, words(1500), max_new=2, min_new=2))
    steps = []
    while not any(event.id == 9 for event in (steps[-1] if steps else []) if isinstance(event, Step)):
        steps.append(roomy.step())
    assert len(steps) == 6 and all(size <= 256 for _, size in passes)
    assert sum(size for _, size in passes[1:]) == 1500
    for events in steps:
        assert {event.id for event in events if isinstance(event, Step)} >= {0, 1, 2}
    ends = {event.id for _ in range(50) for event in roomy.step() if isinstance(event, Finished)}
    assert ends == {0, 1, 2, 9}


def test_a_short_prompt_does_not_wait_behind_a_long_one(roomy):
    roomy.admit(request(1, words(1500), max_new=2))
    roomy.step()
    roomy.admit(request(2, "the cat", max_new=2))
    events = [event for _ in range(2) for event in roomy.step()]
    assert {event.id for event in events if isinstance(event, Step)} == {2}
    while not any(isinstance(event, Finished) and event.id == 1 for event in roomy.step()):
        pass


def test_a_request_is_dropped_between_two_parts(roomy, passes):
    roomy.admit(request(1, words(1500)))
    assert [type(event) for event in roomy.step()] == [Started]
    roomy.cancel(1)
    assert roomy.step() == [] and passes == [(1, 256)]


def test_prompts_are_read_together_within_the_budget_only(checkpoint, load, passes):
    engine = load(checkpoint("llama"), options={"prefill_tokens": 40})
    passes.clear()
    run(engine, *(request(i, words(17) + str(i)) for i in range(4)))
    assert passes == [(2, 18), (2, 18)]


def test_equal_prompts_share_a_row_until_they_part(engine, passes):
    llama = engine("llama")
    sampled = [{"temperature": 1.0, "seed": i} for i in range(2)]
    alone = [ask(llama, **settings).tokens for settings in [*sampled, {"n": 2, **sampled[0]}]]
    passes.clear()
    heard = run(llama, *(request(i, **s) for i, s in enumerate([*sampled, {"n": 2, **sampled[0]}])))
    assert [one.tokens for one in heard] == alone
    assert [prompts for prompts, _ in passes] == [1]


def test_the_exact_lane_is_read_in_the_same_parts_whatever_runs_beside_it(narrow, passes):
    llama = narrow("llama")
    passes.clear()
    ask(llama, PROMPT, lane="exact")
    alone = list(passes)
    passes.clear()
    run(llama, request(1, "the"), request(2, PROMPT, lane="exact"), request(3, "cat"))
    assert Counter(passes) - Counter(alone) == {(2, 2): 1} and not Counter(alone) - Counter(passes)


@pytest.mark.parametrize("kind", ["llama", "mamba", "bart"])
def test_a_long_forced_beginning_is_read_in_parts_too(kind, narrow):
    whole = ask(narrow(kind), PROMPT, max_new=30, min_new=30)
    steps = run(narrow(kind), request(1, PROMPT, max_new=30, min_new=30, resume=tuple(whole.tokens[:17])))
    assert steps[0].tokens == whole.tokens


def test_what_cannot_be_read_in_parts_is_known():
    import transformers

    def of(**rope):
        return divisible(transformers.LlamaConfig(rope_scaling=rope))

    assert of(rope_type="linear", factor=2.0) and divisible(transformers.GPT2Config())
    assert not of(rope_type="dynamic", factor=2.0)
    longrope = {"long_factor": [1.0] * 32, "short_factor": [1.0] * 32, "factor": 2.0}
    assert not of(rope_type="longrope", original_max_position_embeddings=64, **longrope)


def test_a_model_that_reads_parts_differently_is_found_at_load(network):
    llama = network("llama")

    class Forgetful(CausalRows):
        """Counts positions from the start of each part."""

        def read(self, tokens):
            logits = super().read(tokens)
            self.length = 0
            return logits

    assert selftest.divides(llama, lambda: CausalRows(llama))
    assert not selftest.divides(llama, lambda: Forgetful(llama))


@pytest.mark.parametrize("kind", KINDS)
def test_reading_in_parts_is_used_where_it_is_exact(kind, narrow, passes):
    engine = narrow(kind)
    ask(engine, PROMPT)
    assert bool(len(passes) > 1) == (kind in CAUSAL)
    assert kind not in RECURRENT or not passes


def test_a_budget_must_be_a_number_above_zero(checkpoint, load):
    from backends.base import BackendError

    with pytest.raises(BackendError, match="prefill_tokens"):
        load(checkpoint("llama"), options={"prefill_tokens": 0})
