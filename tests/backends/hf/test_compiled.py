"""Steps of fixed shapes: the same answers, in the buffer and out of it.

Nothing is compiled here but in one test: the same steps run over the same buffer.
"""

import shutil
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from backends.base import BackendError
from backends.hf import HuggingFace
from backends.hf.compiled import check, packages, steps
from backends.hf.compiled import load as loading
from backends.hf.state.causal import CausalRows
from repl.messages import Failed, ModelSpec
from tests.backends.hf import support
from tests.backends.hf.support import ask, prepared, request, run

KINDS = ["gpt2", "llama", "qwen3"]
PROMPTS = ["the cat", "a model reads a prompt and writes", "早上好", "that was that and the hat sat on"]
LONG = "Every good boy: a model reads a prompt and writes an answer, and that was that"
COMPILED = {"engine": "compiled"}
FOLDER, OPENED = packages.Package.folder, packages.opened


@pytest.fixture(scope="module", autouse=True)
def uncompiled():
    """Compiling takes many seconds for each number of rows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(packages.Package, "folder", lambda self: Path("nowhere"))
        patch.setattr(packages, "opened", lambda folder, step: step.eagerly)
        yield


@pytest.fixture(scope="module")
def static(checkpoint, load):
    """``static(kind)`` is the engine of a kind with compiled steps."""
    engines = {}

    def of(kind):
        if kind not in engines:
            engines[kind] = prepared(load(checkpoint(kind), options=COMPILED))
        return engines[kind]

    return of


class TestAnswers:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("gap", [0, 3])
    def test_requests_that_come_and_go_get_the_networks_tokens(self, kind, gap, static, engine, passes):
        requests = [
            request(i, prompt, max_new=most)
            for i, (prompt, most) in enumerate(zip(PROMPTS, [12, 5, 9, 12], strict=True))
        ]
        found = run(static(kind), *requests, gap=gap)
        assert max(passes) > 1 and min(passes) == 1
        assert [heard.tokens for heard in found] == [
            heard.tokens for heard in run(engine(kind), *requests, gap=gap)
        ]

    @pytest.mark.parametrize("kind", ["opt", "gpt-neox", "phi3", "qwen3-moe", "deepseek-mla"])
    def test_other_kinds_go_too(self, kind, static, engine, passes):
        requests = [request(i, prompt) for i, prompt in enumerate(PROMPTS)]
        found, expected = (run(one(kind), *requests, gap=2) for one in (static, engine))
        assert passes and [heard.tokens for heard in found] == [heard.tokens for heard in expected]

    @pytest.mark.parametrize("kind", KINDS)
    def test_the_same_seed_draws_the_same_tokens(self, kind, static, engine, passes):
        requests = [
            request(i, prompt, temperature=0.9, top_p=0.95, seed=7 + i, logprobs=3)
            for i, prompt in enumerate(PROMPTS)
        ]
        for a, b in zip(run(static(kind), *requests), run(engine(kind), *requests), strict=True):
            assert a.tokens == b.tokens
            for mine, eager in zip(a.steps, b.steps, strict=True):
                assert mine.raw_lp == pytest.approx(eager.raw_lp, abs=1e-4)
                assert [token for token, _, _ in mine.top] == [token for token, _, _ in eager.top]
        assert passes

    def test_more_rows_than_there_is_room_for_go_on_outside(self, static, engine, passes):
        requests = [request(i, prompt, temperature=0.9, seed=i, n=2) for i, prompt in enumerate(PROMPTS)]
        found = run(static("llama"), *requests, gap=2)
        for a, b in zip(found, run(engine("llama"), *requests, gap=2), strict=True):
            assert [h.tokens for h in a.end.hypotheses] == [h.tokens for h in b.end.hypotheses]
            assert a.end.batch == b.end.batch
        assert max(heard.end.batch for heard in found) > 4 >= max(passes)

    def test_a_text_that_grows_too_long_goes_on_outside(self, checkpoint, load, engine, passes):
        made = prepared(load(checkpoint("llama"), options=COMPILED | {"static_tokens": 16}))
        passes.clear()
        requests = [
            request(i, prompt, max_new=most, min_new=most)
            for i, (prompt, most) in enumerate([("the cat", 40), (LONG, 4), ("the hat", 30)])
        ]
        found = run(made, *requests, gap=2)
        assert 0 < len(passes) < 40
        expected = run(engine("llama"), *requests, gap=2)
        assert [heard.tokens for heard in found] == [heard.tokens for heard in expected]

    @pytest.mark.parametrize("settings", [{"beam": 4, "n": 4}, {"lane": "exact"}])
    def test_what_advances_alone_does_so_eagerly(self, settings, static, engine, passes):
        a, b = (ask(one("llama"), PROMPTS[1], logprobs=2, **settings) for one in (static, engine))
        assert not passes
        assert [h.tokens for h in a.end.hypotheses] == [h.tokens for h in b.end.hypotheses]
        assert [step.raw_lp for step in a.steps] == [step.raw_lp for step in b.steps]

    def test_a_text_scores_the_same(self, static, engine):
        asked = request(1, "the cat sat on", task="score", target=" the mat with the hat")
        (a,), (b,) = run(static("qwen3"), asked), run(engine("qwen3"), asked)
        assert [step.raw_lp for step in a.steps] == [step.raw_lp for step in b.steps]

    def test_layers_are_looked_into_between_steps(self, static, engine):
        requests = [request(1, "the cat", max_new=20), request(2, "the hat", task="lens")]
        found, expected = (run(one("llama"), *requests) for one in (static, engine))
        assert found[0].tokens == expected[0].tokens
        assert found[1].end.reading == expected[1].end.reading is not None

    def test_what_was_read_before_is_not_read_again(self, static, engine, passes):
        first = ask(static("llama"), LONG, max_new=12)
        seen = len(passes)
        settings = {"prefix_ids": tuple(first.tokens[:8]), "known": 8, "max_new": 20}
        again = ask(static("llama"), LONG, **settings)
        assert seen and again.started.reused == len(again.started.prompt_ids)
        assert again.tokens == ask(engine("llama"), LONG, max_new=20).tokens

    def test_guessed_tokens_are_the_same(self, checkpoint, load, engine, passes):
        made = prepared(load(checkpoint("gpt2"), options=COMPILED | {"lookup": 4}))
        passes.clear()
        requests = [request(i, "the cat the cat the cat", max_new=60, seed=i) for i in range(2)]
        for gap in (0, 20):
            found = run(made, *requests, gap=gap)
            expected = run(engine("gpt2"), *requests, gap=gap)
            assert [heard.tokens for heard in found] == [heard.tokens for heard in expected]
        assert passes and sum(heard.end.drafted for heard in found) > 0

    def test_a_row_of_what_is_no_number_leaves_nothing_behind(self, static, engine, monkeypatch):
        made = static("llama")
        update = CausalRows._forward

        def broken(self, *arguments):
            logits = update(self, *arguments)
            for layer in self._layers():
                layer.values[:] = torch.nan
            return logits

        with monkeypatch.context() as patch:
            patch.setattr(CausalRows, "_forward", broken)
            assert ask(made, LONG).end.error.kind == "nan_logits"
        made.forget()
        assert ask(made, "the cat").tokens == ask(engine("llama"), "the cat").tokens

    def test_a_step_that_finds_no_memory_is_undone(self, static, engine, monkeypatch):
        made = static("llama")
        made.forget()
        inner, calls = steps.Steps.run, []

        def full(self, tokens, slots, positions):
            calls.append(slots)
            if len(calls) == 4:
                raise MemoryError
            return inner(self, tokens, slots, positions)

        monkeypatch.setattr(steps.Steps, "run", full)
        a, b = run(made, request(1, PROMPTS[0]), request(2, PROMPTS[1]))
        assert a.tokens == ask(engine("llama"), PROMPTS[0]).tokens
        assert isinstance(b.end, Failed) and b.end.error.kind == "out_of_memory"

    def test_what_is_compiled_is_said(self, static, engine):
        told, eager = static("llama").capabilities, engine("llama").capabilities
        assert told.notes == ("steps are compiled for batches of 1, 4, up to 128 tokens; all else is eager",)
        assert (told.tasks, told.dtype, told.slots) == (eager.tasks, eager.dtype, eager.slots)


@pytest.mark.parametrize(
    ("slots", "device", "sizes"),
    [
        (1, "cuda:0", [1]),
        (12, "cuda:0", [1, 2, 4, 8, 12]),
        (1, "cpu", [1]),
        (3, "cpu", [1, 3]),
        (64, "cpu", [1, 4]),
    ],
)
def test_sizes_double_up_to_the_number_of_slots_and_are_few_on_a_cpu(slots, device, sizes):
    assert loading.buckets(slots, device) == sizes


@pytest.mark.parametrize(
    ("most", "device", "found"),
    [
        (4096, "cuda:0", [256, 512, 1024, 2048, 4096]),
        (600, "cuda:0", [256, 512, 600]),
        (256, "cuda:0", [256]),
        (90, "cuda:0", [90]),
        (600, "cpu", [600]),
    ],
)
def test_lengths_double_up_to_the_longest_text_and_are_one_on_a_cpu(most, device, found):
    assert loading.lengths(most, device) == found


class TestRefusals:
    def refused(self, load, folder, **spec):
        return support.refused(load, folder, **({"options": COMPILED} | spec))

    @pytest.mark.parametrize(
        ("kind", "why"),
        [
            ("t5", "only decoder-only models are"),
            ("mamba", "its state is more than keys and values"),
            ("bloom", "it cannot be told the position of a token"),
            ("mistral-window", "some layers look at 9 tokens only"),
        ],
    )
    def test_kinds_that_do_not_go(self, kind, why, load, checkpoint):
        error = self.refused(load, checkpoint(kind))
        assert error.kind == "unsupported" and "'tiny'" in error.message and why in error.message
        assert error.hint.startswith("take 'engine: compiled' out of its options")

    def test_a_window_that_is_no_shorter_does_not_matter(self, load, checkpoint, monkeypatch, passes):
        *kind, settings = support.KINDS["mistral-window"]
        monkeypatch.setitem(support.KINDS, "mistral-20", (*kind, settings | {"sliding_window": 20}))
        folder = checkpoint("mistral-20")
        made = prepared(load(folder, options=COMPILED | {"static_tokens": 20}))
        passes.clear()
        found = ask(made, "the cat", max_new=40, min_new=40)
        assert 10 < len(passes) < 20
        assert found.tokens == ask(load(folder), "the cat", max_new=40, min_new=40).tokens

    @pytest.mark.parametrize("kind", ["dynamic", "longrope"])
    def test_positions_that_depend_on_the_length(self, kind):
        with pytest.raises(BackendError, match="depends on the length of a text"):
            check(ModelSpec(name="tiny", backend="hf", path="tiny"), support.length_dependent(kind))

    def test_several_devices(self, load, checkpoint):
        error = self.refused(load, checkpoint("llama"), gpus=2)
        assert error.kind == "unsupported" and "one device" in error.message

    def test_an_attention_without_masks_of_ones_own(self, load, checkpoint):
        error = self.refused(load, checkpoint("llama"), options=COMPILED | {"attention": "flex_attention"})
        assert error.kind == "unsupported" and "flex_attention" in error.message

    def test_a_buffer_for_which_there_is_no_memory(self, load, checkpoint, monkeypatch):
        monkeypatch.setattr(loading, "capacity", lambda make, share: 1000)
        error = self.refused(load, checkpoint("llama"))
        assert error.kind == "out_of_memory" and "4 compiled rows of 128 tokens" in error.message


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_what_the_compiler_makes_answers_the_same(checkpoint, load, engine, monkeypatch, tmp_path):
    """Of a kind that has all that needs care: shared heads, numbers of its own, calls of torch by name."""
    monkeypatch.setattr(packages.Package, "folder", FOLDER)
    monkeypatch.setattr(packages, "opened", OPENED)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    settings = {"max_new": 40, "min_new": 40, "temperature": 0.8, "seed": 3}
    expected = ask(engine("qwen3-moe"), "the cat", **settings)
    made = prepared(load(checkpoint("qwen3-moe"), slots=1, options=COMPILED))
    assert made.capabilities.notes == (
        "steps are compiled for batches of 1, up to 128 tokens; all else is eager",
    )
    found = ask(made, "the cat", **settings)
    assert found.tokens == expected.tokens
    for mine, eager in zip(found.steps, expected.steps, strict=True):
        assert mine.raw_lp == pytest.approx(eager.raw_lp, abs=1e-4)
    monkeypatch.setattr(packages, "_COMPILER", ("false",))  # another network of its make needs none
    tuned = prepared(
        load(support.changed(checkpoint("qwen3-moe"), tmp_path / "tuned"), slots=1, options=COMPILED)
    )
    assert tuned.capabilities.notes == made.capabilities.notes
    assert ask(tuned, "the cat", **settings).tokens != expected.tokens


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("kind", KINDS)
def test_graphs_answer_as_eager_steps_do(kind, checkpoint):
    made = [
        HuggingFace.load(
            ModelSpec(
                name="tiny",
                backend="hf",
                path=str(checkpoint(kind)),
                dtype="float32",
                options={"engine": how},
            ),
            "cuda:0",
            1,
            lambda stage, fraction: None,
        )
        for how in ("compiled", "eager")
    ]
    prepared(made[0])
    assert any("CUDA graphs for batches of 1, 2, 4, 8, 16," in note for note in made[0].capabilities.notes)
    requests = [request(i, prompt, max_new=20) for i, prompt in enumerate(PROMPTS * 2)]
    found, expected = (run(one, *requests, gap=2) for one in made)
    assert [heard.tokens for heard in found] == [heard.tokens for heard in expected]
