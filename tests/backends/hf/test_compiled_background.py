"""Steps that are compiled while the replica serves: nobody waits for them, and no answer changes."""

import gc
import threading
import weakref
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from backends.hf.compiled import load as loading
from backends.hf.compiled import packages, steps, warming
from backends.hf.compiled.making import Capturing
from tests.backends.hf.support import ask, prepared, request, run

COMPILED = {"engine": "compiled"}
PROMPTS = ["the cat", "a model reads a prompt and writes", "早上好", "that was that and the hat sat on"]
READY = "steps are compiled for batches of {}, up to 128 tokens; all else is eager"
WAITING = "compiled: {} of 2 steps are ready, the others are made in the background and eager until then"
PATIENCE = 60.0


@pytest.fixture(autouse=True)
def gate(monkeypatch):
    """What is compiled, the same steps uncompiled, is there once this is set."""
    opened = threading.Event()

    def folder(self):
        assert opened.wait(PATIENCE)
        return Path("nowhere")

    monkeypatch.setattr(packages.Package, "folder", folder)
    monkeypatch.setattr(packages, "opened", lambda folder, step: step.eagerly)
    yield opened
    opened.set()
    all_made()  # before a real compiler is to be had again


@pytest.fixture
def discarded(monkeypatch):
    """The folders that are to be made anew."""
    seen = []
    monkeypatch.setattr(packages, "discard", seen.append)
    return seen


def all_made():
    """Wait until the thread has got everything it waits for."""
    for thread in threading.enumerate():
        if thread.name == "compiling":
            thread.join(PATIENCE)
            assert not thread.is_alive()


def asked(**settings):
    return [request(i, prompt, seed=i, **settings) for i, prompt in enumerate(PROMPTS)]


class Opening:
    """An engine during whose ``at``-th step all that was held back is there at once."""

    def __init__(self, engine, gate, at):
        self.engine, self.gate, self.at, self.steps = engine, gate, at, 0

    def admit(self, asked):
        self.engine.admit(asked)

    def step(self):
        self.steps += 1
        if self.steps == self.at:
            self.gate.set()
            all_made()
        return self.engine.step()


class TestServing:
    @pytest.fixture
    def made(self, checkpoint, load):
        return load(checkpoint("llama"), options=COMPILED)

    def test_requests_are_answered_while_the_compiler_works(self, made, engine, gate, passes):
        made.attend(lambda: None)
        found, expected = (run(one, *asked(max_new=12), gap=2) for one in (made, engine("llama")))
        assert [heard.tokens for heard in found] == [heard.tokens for heard in expected]
        assert not passes and made.preparing
        assert made.capabilities.notes == (WAITING.format(0),)

    @pytest.mark.parametrize("settings", [{}, {"temperature": 0.9, "top_p": 0.95, "logprobs": 3}])
    @pytest.mark.parametrize(("at", "gap"), [(2, 0), (9, 3), (30, 0)])
    def test_answers_that_run_move_over_with_the_same_tokens(
        self, at, gap, settings, made, engine, gate, passes
    ):
        made.attend(lambda: None)
        requests = asked(max_new=90, min_new=90, **settings)
        found = run(Opening(made, gate, at), *requests, gap=gap)
        tested = 6 + 6  # the rows of two tests
        assert len(passes) > tested + 5 and not made.preparing
        for mine, eager in zip(found, run(engine("llama"), *requests, gap=gap), strict=True):
            assert mine.tokens == eager.tokens
            for a, b in zip(mine.steps, eager.steps, strict=True):
                assert a.raw_lp == pytest.approx(b.raw_lp, abs=1e-4)

    def test_no_step_of_the_engine_does_more_than_one_pass_of_a_test(self, made, gate, passes):
        made.attend(lambda: None)
        gate.set()
        all_made()
        before, idle = 0, []
        while made.preparing:
            assert not made.step()
            idle.append(len(passes) - before)
            before = len(passes)
        assert max(idle) == 1 and sum(idle) == 12

    def test_each_size_is_used_as_soon_as_it_is_there(self, made, engine, monkeypatch, passes):
        turns = [threading.Event(), threading.Event()]
        order = iter(turns)

        def folder(self):
            assert next(order).wait(PATIENCE)
            return Path("nowhere")

        monkeypatch.setattr(packages.Package, "folder", folder)
        woken = threading.Event()
        made.attend(woken.set)
        woken.clear()
        turns[0].set()
        while made.capabilities.notes == (WAITING.format(0),):
            assert woken.wait(PATIENCE)
            woken.clear()
            made.step()
        assert made.capabilities.notes == (WAITING.format(1), READY.format(1))
        passes.clear()
        run(made, *asked(max_new=12), gap=3)
        assert set(passes) == {1}
        turns[1].set()
        all_made()
        # The test of the other takes the buffer in turns with an answer.
        found, expected = (ask(one, PROMPTS[1], max_new=60, min_new=60) for one in (made, engine("llama")))
        assert found.tokens == expected.tokens
        assert made.capabilities.notes == (READY.format("1, 4"),)

    def test_an_idle_engine_asks_for_the_steps_that_it_needs(self, made, gate):
        gate.set()
        assert prepared(made).capabilities.notes == (READY.format("1, 4"),)

    def test_nothing_begins_before_the_replica_serves(self, made, monkeypatch):
        monkeypatch.setattr(packages, "Package", None)
        ask(made, "the cat")
        assert made.preparing


class TestFailures:
    def notes(self, load, folder):
        """What is said, one after another, of an engine that goes on answering."""
        made = load(folder, options=COMPILED)
        buffer = weakref.ref(made._model.rows.args[1].buffer._layers[0].keys)
        said = [made.capabilities.notes]
        woken = threading.Event()
        made.attend(woken.set)
        while made.preparing:
            assert woken.wait(PATIENCE)
            woken.clear()
            made.step()
            if made.capabilities.notes != said[-1]:
                said.append(made.capabilities.notes)
        return made, said, buffer

    def test_a_compiler_that_fails_is_told_of_once(self, load, checkpoint, engine, monkeypatch, passes):
        def fails(self):
            raise RuntimeError("no working C++ compiler found\nand much more")

        monkeypatch.setattr(packages.Package, "folder", fails)
        made, said, buffer = self.notes(load, checkpoint("llama"))
        assert said[-1] == ("steps for batches of 1, 4 stay eager: no working C++ compiler found",)
        assert len(said) == 3  # after each size
        found, expected = (run(one, *asked(max_new=12)) for one in (made, engine("llama")))
        assert [heard.tokens for heard in found] == [heard.tokens for heard in expected]
        assert not passes
        all_made()
        gc.collect()
        assert buffer() is None

    @pytest.mark.parametrize(("wrong", "right"), [(1, 4), (4, 1)])
    def test_steps_that_compute_something_else_are_never_used(
        self, wrong, right, load, checkpoint, engine, monkeypatch, gate, passes, discarded
    ):
        def opened(folder, step):
            return lambda: step.eagerly() * (2 if step.size.rows == wrong else 1)

        monkeypatch.setattr(packages, "opened", opened)
        gate.set()
        made, said, _ = self.notes(load, checkpoint("llama"))
        assert said[-1] == (
            READY.format(right),
            f"steps for batches of {wrong} stay eager: {warming.DIFFERS}",
        )
        assert discarded == [Path("nowhere")]
        passes.clear()
        found, expected = (run(one, *asked(max_new=12), gap=2) for one in (made, engine("llama")))
        assert [heard.tokens for heard in found] == [heard.tokens for heard in expected]
        assert passes and max(passes) <= right

    @pytest.mark.parametrize("error", [OSError("step.so: cannot open shared object file"), MemoryError()])
    def test_what_cannot_be_opened_is_made_anew_the_next_time(
        self, error, load, checkpoint, monkeypatch, gate, discarded
    ):
        def opened(folder, step):
            raise error

        monkeypatch.setattr(packages, "opened", opened)
        gate.set()
        _, said, _ = self.notes(load, checkpoint("llama"))
        assert said[-1] == (f"steps for batches of 1, 4 stay eager: {str(error) or 'MemoryError'}",)
        assert len(discarded) == 2

    def test_a_test_that_raises_leaves_the_answers_alone(
        self, load, checkpoint, engine, monkeypatch, gate, discarded
    ):
        """While four of them are running."""

        def broken():
            raise RuntimeError("index out of bounds")

        monkeypatch.setattr(packages, "opened", lambda folder, step: broken)
        made = load(checkpoint("llama"), options=COMPILED)
        made.attend(lambda: None)
        found = run(Opening(made, gate, 5), *asked(max_new=30))
        expected = run(engine("llama"), *asked(max_new=30))
        assert [heard.tokens for heard in found] == [heard.tokens for heard in expected]
        assert made.capabilities.notes == ("steps for batches of 1, 4 stay eager: index out of bounds",)

    def test_a_network_that_cannot_be_told_to_the_compiler(self, load, checkpoint, monkeypatch):
        load_network = loading.choose_rows

        def closing_over(network, slots, device):
            network.own = lambda: network
            return load_network(network, slots, device)

        monkeypatch.setattr(loading, "choose_rows", closing_over)
        _, said, _ = self.notes(load, checkpoint("llama"))
        assert "1, 4 stay eager" in said[-1][0] and "lambda" in said[-1][0]


class TestCaptures:
    """Which CUDA graph is next; none is recorded here."""

    @pytest.fixture
    def source(self, network):
        model = network("llama")
        eager = steps.Pass(model, 32)
        buffer = loading.Buffer(model, 8, 32)
        return Capturing([steps.Step(eager, buffer, rows) for rows in (1, 2, 4, 8)])

    def taken(self, source, running):
        candidate = source.take(running)
        return candidate and candidate.step.size.rows

    def test_short_texts_first_while_requests_run_and_long_ones_while_none_do(self, network):
        model = network("llama")
        eager = steps.Pass(model, 32)
        buffer = loading.Buffer(model, 2, 32)
        source = Capturing([steps.Step(eager, buffer, rows, most) for rows in (1, 2) for most in (16, 32)])
        sizes = [source.take(running).step.size for running in (2, 0, 1, 1)]
        assert sizes == [(2, 16), (2, 32), (1, 16), (1, 32)]

    def test_the_largest_first_while_nothing_runs(self, source):
        assert [self.taken(source, 0) for _ in range(5)] == [8, 4, 2, 1, None]

    def test_only_what_is_needed_while_requests_run(self, source):
        assert [self.taken(source, rows) for rows in (3, 3, 1, 4, 9)] == [4, None, 1, None, None]
        assert [self.taken(source, 0) for _ in range(3)] == [8, 2, None]
