"""Compiled steps on a GPU, pretended where there is none: recorded once, done again, as on the CPU."""

import pytest

torch = pytest.importorskip("torch")

from backends.hf import HuggingFace
from backends.hf.compiled import load as compiled_load
from repl.messages import Finished, ModelSpec
from tests.backends.hf import pretended
from tests.backends.hf.pretended_graphs import Graph, graphs
from tests.backends.hf.support import REPETITIVE, alike, prepared, request, run

KINDS = ["gpt2", "opt", "gpt-neox", "llama", "qwen3", "phi3", "qwen3-moe", "deepseek-mla"]
PROMPTS = ["the cat", "a model reads a prompt and writes", "that was that", "hat"]
READY = "steps are CUDA graphs for batches of 1, 2, up to 96 tokens; all else is eager"


@pytest.fixture
def card():
    with pretended.gpu() as card, graphs(card):
        yield card


def loaded(checkpoint, kind, **options):
    path, options = str(checkpoint(kind)), {"engine": "compiled", "static_tokens": 96} | options
    spec = ModelSpec(name="tiny", backend="hf", path=path, dtype="float32", slots=2, options=options)
    return HuggingFace.load(spec, "cuda:0", 1, lambda stage, fraction: None)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_recorded_and_answers_as_on_the_cpu(kind, card, checkpoint, engine):
    made = prepared(loaded(checkpoint, kind))
    assert made.capabilities.notes == (READY,)
    asked = [request(i, prompt, max_new=5 + 4 * i) for i, prompt in enumerate(PROMPTS)]
    before = Graph.replays
    found = run(made, *asked, gap=2)
    assert Graph.replays > before + 10
    for mine, theirs in zip(found, run(engine(kind), *asked, gap=2), strict=True):
        alike(mine, theirs)


def test_a_step_looks_no_further_than_the_texts_reach(card, checkpoint, engine, monkeypatch):
    monkeypatch.setattr(compiled_load, "GPU_LEAST", 24)
    made = prepared(loaded(checkpoint, "llama"))
    assert made.capabilities.notes == (READY,)
    asked = request(1, PROMPTS[1], max_new=60)
    seen = []
    replay = Graph.replay
    monkeypatch.setattr(Graph, "replay", lambda graph: (seen.append(id(graph)), replay(graph)))
    (found,) = run(made, asked)
    alike(found, run(engine("llama"), asked)[0])
    used = list(dict.fromkeys(seen))
    assert len(used) == 3 and seen == sorted(seen, key=used.index)
    reach = [len(found.started.prompt_ids) + at for at in range(1, len(seen) + 1)]
    for step, most in zip(used, (24, 48, 96), strict=True):
        assert max(reach[at] for at, one in enumerate(seen) if one == step) <= most


@pytest.fixture(scope="module")
def llama(checkpoint):
    with pretended.gpu() as card, graphs(card):
        return prepared(loaded(checkpoint, "llama"))


def test_the_host_waits_once_a_step_with_them_too(card, llama):
    for i, prompt in enumerate(PROMPTS[:2]):
        llama.admit(request(i, prompt, temperature=0.9, seed=2))
    for _ in range(3):
        llama.step()
    over = False
    while not over:
        replays = Graph.replays
        card.waits.clear()
        over = any(isinstance(event, Finished) for event in llama.step())
        assert card.waits.total() == 1 and Graph.replays == replays + 1
    while llama.step():
        pass


def test_samples_beams_and_texts_beyond_the_buffer(card, llama, engine):
    asked = [
        request(1, n=2, temperature=0.8, seed=4),
        request(2, beam=2),
        request(3, REPETITIVE, max_new=80),
        request(4, task="score", target=" sat on the mat"),
        request(5, lane="exact"),
    ]
    for mine, theirs in zip(run(llama, *asked), run(engine("llama"), *asked), strict=True):
        alike(mine, theirs)


def test_requests_are_served_while_steps_are_recorded(card, checkpoint, engine):
    made = loaded(checkpoint, "llama")
    made.attend(lambda: None)
    asked = [request(i, prompt, max_new=20) for i, prompt in enumerate(PROMPTS[:2])]
    before = Graph.replays
    for mine, theirs in zip(run(made, *asked, gap=3), run(engine("llama"), *asked, gap=3), strict=True):
        alike(mine, theirs)
    assert Graph.replays > before
    assert prepared(made).capabilities.notes == (READY,)


def test_a_network_that_asks_the_device_stays_eager(card, checkpoint, engine, monkeypatch):
    from transformers.models.llama import modeling_llama

    inner = modeling_llama.LlamaMLP.forward

    def asking(self, hidden):
        assert not hidden.isnan().any()
        return inner(self, hidden)

    monkeypatch.setattr(modeling_llama.LlamaMLP, "forward", asking)
    usual, before = torch.cuda.current_stream(), Graph.made
    made = prepared(loaded(checkpoint, "llama"))
    assert torch.cuda.current_stream() == usual
    if not pretended.REAL:
        assert Graph.made == before + 1 and card.claimed is None
    (note,) = made.capabilities.notes
    assert note.startswith("steps for batches of 1, 2 stay eager: CUDA error: operation not permitted")
    alike(run(made, request(1))[0], run(engine("llama"), request(1))[0])


def test_a_network_that_counts_its_passes_is_not_trusted_to_a_graph(card, checkpoint, monkeypatch):
    from transformers.models.llama import modeling_llama

    inner = modeling_llama.LlamaMLP.forward
    passes = []

    def counting(self, hidden):
        passes.append(self)
        return inner(self, hidden) * (1 + len(passes) % 4)

    made = loaded(checkpoint, "llama")
    monkeypatch.setattr(modeling_llama.LlamaMLP, "forward", counting)
    assert "differ from eager ones" in prepared(made).capabilities.notes[-1]


def test_a_step_without_memory_stays_eager_alone(card, checkpoint, monkeypatch):
    from transformers.models.llama import modeling_llama

    inner = modeling_llama.LlamaMLP.forward

    def full(self, hidden):
        if len(hidden) == 2 and torch.cuda.current_stream() != usual:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return inner(self, hidden)

    usual = torch.cuda.current_stream()
    monkeypatch.setattr(modeling_llama.LlamaMLP, "forward", full)
    assert prepared(loaded(checkpoint, "llama")).capabilities.notes == (
        READY.replace("1, 2", "1"),
        "steps for batches of 2 stay eager: CUDA out of memory. Tried to allocate 2.00 GiB.",
    )
    assert torch.cuda.current_stream() == usual
