"""The engine on a GPU, pretended where there is none: the CPU's answers, and one wait of the host a step."""

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from backends.hf import HuggingFace
from backends.hf.choosing import sampling
from backends.hf.choosing.processors import Warp
from backends.hf.state import memory
from repl.messages import Finished, ModelSpec
from tests.backends.hf import pretended, support
from tests.backends.hf.support import KINDS, REPETITIVE, SETTINGS, alike, request, run

PROMPTS = ["the cat", "a model reads a prompt", "that was that"]


@pytest.fixture(scope="module")
def there(checkpoint):
    """``there(kind)`` is the engine of a kind on the card; a folder goes for a kind, too."""
    engines = {}

    def of(kind, dtype="float32", **options):
        key = kind, dtype, *options.items()
        if key not in engines:
            path = checkpoint(kind) if kind in KINDS else kind
            spec = ModelSpec(name="tiny", backend="hf", path=str(path), dtype=dtype, options=options)
            with pretended.gpu():
                engines[key] = HuggingFace.load(spec, "cuda:0", 1, lambda stage, fraction: None)
        return engines[key]

    return of


def both(there, here, *asked, gap=0):
    """Ask both engines and compare; returns what the card said."""
    with pretended.gpu():
        found = run(there, *asked, gap=gap)
    for mine, theirs in zip(found, run(here, *asked, gap=gap), strict=True):
        alike(mine, theirs)
        assert mine.end.reading == theirs.end.reading
    return found


def waits(engine, *asked):
    """How often the host waited in each step, once all requests are running and until one of them ends."""
    each = []
    with pretended.gpu() as card:
        for one in asked:
            engine.admit(one)
        for _ in range(3):
            engine.step()
        over = False
        while not over:
            card.waits.clear()
            over = any(isinstance(event, Finished) for event in engine.step())
            each.append(card.waits.total())
        while engine.step():
            pass
    assert len(each) > 2
    return each


def test_half_precision_is_what_a_gpu_computes_in(there, load, checkpoint):
    made, here = there("gpt2", dtype="auto"), load(checkpoint("gpt2"), dtype="bfloat16")
    assert made.capabilities.dtype == "bfloat16"
    assert made.capabilities.notes == (
        "computes in bfloat16 on this device; the checkpoint is stored in float32",
    )
    asked = [request(i, prompt, max_new=1) for i, prompt in enumerate(PROMPTS)]
    with pretended.gpu():
        found = run(made, *asked)
    for mine, theirs in zip(found, run(here, *asked), strict=True):
        assert mine.steps[0].raw_lp == pytest.approx(theirs.steps[0].raw_lp, abs=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_model_answers_as_on_the_cpu(kind, there, engine):
    both(there(kind), engine(kind), *(request(i, prompt) for i, prompt in enumerate(PROMPTS)), gap=2)
    assert there(kind).capabilities.notes == engine(kind).capabilities.notes
    assert there(kind)._model.network.device == pretended.DEVICE


@pytest.mark.parametrize("kind", ["llama", "bart"])
def test_all_settings_do(kind, there, engine):
    more = {"samples": {"n": 3, "temperature": 0.7, "seed": 2}, "exact": {"lane": "exact"}}
    more |= {"beams": {"beam": 3, "n": 2, "min_new": 4}, "typical": {"typical_p": 0.8, "temperature": 1.0}}
    every = (SETTINGS | more).values()
    both(there(kind), engine(kind), *(request(i, **({"seed": 1} | set_)) for i, set_ in enumerate(every)))


@pytest.mark.parametrize("kind", ["llama", "t5", "mamba"])
def test_texts_are_scored_alike(kind, there, engine):
    asked = [request(i, prompt, task="score", target=" sat on the mat") for i, prompt in enumerate(PROMPTS)]
    warped = {"temperature": 0.5, "top_k": 9, "logprobs": 2, "repetition_penalty": 1.2}
    both(there(kind), engine(kind), *asked, request(9, task="score", target=" that", **warped))


def test_layers_are_looked_through_alike(there, engine):
    with pretended.gpu():
        (found,) = run(there("llama"), request(1, task="lens"))
    (wanted,) = run(engine("llama"), request(1, task="lens"))
    for mine, theirs in zip(found.end.reading.layers, wanted.end.reading.layers, strict=True):
        assert [(cell.token, cell.rank) for cell in mine] == [(cell.token, cell.rank) for cell in theirs]
        assert [cell.kl for cell in mine] == pytest.approx([cell.kl for cell in theirs], abs=1e-4)


def test_what_was_attended_to_is_told_alike(there, engine):
    asked = request(1, attention=True)
    (found,), (wanted,) = both(there("bart"), engine("bart"), asked), run(engine("bart"), asked)
    for mine, theirs in zip(*(one.end.hypotheses[0].attention for one in (found, wanted)), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-4)


def test_whole_distributions_come_alike(there, engine):
    asked = request(1, distributions=True, max_new=3, temperature=1.0, seed=5)
    (found,), (wanted,) = both(there("llama"), engine("llama"), asked), run(engine("llama"), asked)
    for mine, theirs in zip(found.steps, wanted.steps, strict=True):
        table = [torch.frombuffer(bytearray(one.distribution), dtype=torch.float32) for one in (mine, theirs)]
        torch.testing.assert_close(*table, atol=1e-4, rtol=1e-4)


def test_a_second_turn_goes_on_from_what_was_read(there, engine):
    both(there("llama"), engine("llama"), request(1, REPETITIVE))
    (again,) = both(there("llama"), engine("llama"), request(2, REPETITIVE + "the"))
    assert again.started.reused > 30


@pytest.mark.parametrize("how", ["lookup", "assistant"])
def test_guesses_change_nothing(how, there, engine, checkpoint):
    options = {"lookup": 8} if how == "lookup" else {"assistant": str(checkpoint("llama"))}
    for settings in ({}, {"temperature": 0.7, "seed": 3}):
        asked = request(1, max_new=24, logit_bias=("#300=6", "#301=6"), **settings)  # repeats itself
        (found,) = both(there("llama", **options), engine("llama"), asked)
        assert found.end.drafted
    assert how == "lookup" or found.end.accepted == found.end.drafted


def test_one_that_is_cancelled_leaves_the_others_alone(there, engine):
    with pretended.gpu():
        asked = [request(i, prompt) for i, prompt in enumerate(PROMPTS)]
        for one in asked:
            there("llama").admit(one)
        there("llama").step()
        there("llama").cancel(1)
        while there("llama").step():
            pass
    both(there("llama"), engine("llama"), *asked)


def test_long_prompts_are_read_in_parts(there, load, checkpoint):
    asked = [request(1, REPETITIVE), request(2), request(3, "z" * 50)]
    both(there("llama", prefill_tokens=16), load(checkpoint("llama"), options={"prefill_tokens": 16}), *asked)


@pytest.mark.skipif(pretended.REAL, reason="a GPU has as much free as it has")
def test_the_room_is_a_part_of_what_the_card_has_free(there):
    make = there("llama")._model.rows
    with pretended.gpu():
        alone, half = memory.capacity(make), memory.capacity(make, share=0.5)
    # Keys and values of 2 layers, 2 heads of 8 numbers of 4 bytes.
    assert alone == int(pretended.FREE * 0.8) // (2 * 2 * 2 * 8 * 4)
    assert half == alone // 2


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """``reader(head)`` is the folder of a BERT that reads."""

    def of(head):
        tokenizer = support.wordpiece()
        tokenizer.add_special_tokens({"mask_token": "[MASK]"})
        config = transformers.BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=64,
            num_labels=3,
        )
        torch.manual_seed(0)
        folder = tmp_path_factory.mktemp(head)
        getattr(transformers, f"BertFor{head}")(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        return str(folder)

    return of


def test_models_that_read_do_so_on_the_card(there, load, reader):
    folder = reader("MaskedLM")
    scored = [request(i, task="score", target=text) for i, text in enumerate(PROMPTS)]
    both(there(folder), load(folder), *scored)
    with pretended.gpu():
        (found,) = run(there(folder), request(1, "the [MASK] sat", task="fill"))
    (wanted,) = run(load(folder), request(1, "the [MASK] sat", task="fill"))
    assert found.end.reading.texts == wanted.end.reading.texts
    folder = reader("SequenceClassification")
    asked = [request(i, text, task="classify") for i, text in enumerate(PROMPTS)]
    with pretended.gpu():
        found = run(there(folder), *asked)
    for mine, theirs in zip(found, run(load(folder), *asked), strict=True):
        labels, lps = zip(*mine.end.reading.labels, strict=True)
        assert labels == tuple(label for label, _ in theirs.end.reading.labels)
        assert lps == pytest.approx([lp for _, lp in theirs.end.reading.labels], abs=1e-4)


@pytest.mark.parametrize(
    "kind", ["llama", "gpt2", "bloom", "mistral-window", "gemma2", "qwen3-moe", "deepseek-mla"]
)
@pytest.mark.parametrize("settings", [{}, {"temperature": 0.8, "seed": 1}, {"min_new": 12}, {"logprobs": 4}])
def test_the_host_waits_once_a_step(kind, settings, there):
    asked = [request(i, prompt, **settings) for i, prompt in enumerate(PROMPTS)]
    assert set(waits(there(kind), *asked)) == {1}


@pytest.mark.parametrize("kind", ["t5", "marian", "bart", "mamba", "qwen3-next"])
def test_so_it_does_for_other_kinds(kind, there):
    together = len(PROMPTS) if kind in support.SEQ2SEQ else 1
    asked = [request(i, prompt, max_new=16) for i, prompt in enumerate(PROMPTS[:together])]
    *each, _ = waits(there(kind), *asked)  # at the limit some models force an end
    assert set(each) == {1}


def test_beams_and_rows_that_come_and_go_wait_no_more_than_that(there):
    assert set(waits(there("llama"), request(1, beam=3, min_new=12))) == {1}
    asked = [request(i, prompt, max_new=6 + 2 * i) for i, prompt in enumerate(PROMPTS)]
    with pretended.gpu() as card:
        for one in asked:
            there("llama").admit(one)
        there("llama").step()
        ended = 0
        while ended < len(asked):
            card.waits.clear()
            events = there("llama").step()
            ended += sum(isinstance(event, Finished) for event in events)
            assert card.waits.total() == 1
        assert not there("llama").step()


class Drawing:
    """A row that is drawn with top-p; see ``sampling.Draws``."""

    processors, forbidden, history, alternatives, whole = [], (), [1], 2, False

    def __init__(self, number, top_p):
        self.warp = Warp(0.9, 0, top_p, 0.0)
        self.noise_key = (7, 0, number)


@pytest.mark.parametrize(("spread", "times"), [(5.0, 1), (0.1, 2)])
def test_few_candidates_are_drawn_from_without_waiting_to_know_that_they_suffice(spread, times):
    torch.manual_seed(0)
    logits = torch.randn(6, 4000) * spread
    rows = [Drawing(number, 0.9 if number % 2 else 0.8) for number in range(6)]
    tokens, choices = sampling.choose(logits.clone(), rows)
    with pretended.gpu() as card:
        there = logits.to(pretended.DEVICE)
        card.waits.clear()
        drawn, found = sampling.choose(there, rows)
        assert card.waits.total() == times
        assert drawn.tolist() == tokens.tolist()
        assert there.tolist() == logits.tolist()
    for mine, theirs in zip(found, choices, strict=True):
        assert (mine.token, mine.rank, len(mine.top)) == (theirs.token, theirs.rank, 2)
        assert mine.proc_lp == pytest.approx(theirs.proc_lp, abs=1e-5)
