"""The engine's promises: one end for each request, neighbours untouched, cancelled means silent."""

import pytest

torch = pytest.importorskip("torch")

from backends.base import BatchingEngine
from backends.hf.state.causal import CausalRows
from backends.hf.state.growing import GrowingLayer
from tests.backends.hf.support import ask, request, run


@pytest.fixture
def model(engine):
    """The parts of an idle engine that a fault is put into; it remembers no earlier text."""
    llama = engine("llama")
    llama.forget()
    return llama


def oom(*args, **kwargs):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def failing(monkeypatch, method, fault, at):
    """Make the ``at``-th call of a method of ``CausalRows`` fail, the calls before and after it not."""
    calls = []
    original = getattr(CausalRows, method)

    def faulty(self, *args):
        calls.append(self.size)
        if len(calls) == at:
            fault(self, *args)
        return original(self, *args)

    monkeypatch.setattr(CausalRows, method, faulty)
    return calls


def test_it_is_a_batching_engine(model):
    assert isinstance(model, BatchingEngine)


def test_requests_beyond_the_slots_wait(model):
    heard = run(model, *(request(i, f"the cat {i}", min_new=12) for i in range(7)))
    assert [one.end.batch for one in heard] == [4] * 4 + [3] * 3
    assert [one.tokens for one in heard] == [ask(model, f"the cat {i}", min_new=12).tokens for i in range(7)]


def test_a_step_with_nothing_to_do_is_empty(model):
    assert model.step() == []


def test_cancelled_requests_are_silent_and_leave_the_others_as_they_are(model):
    alone = [ask(model, p, max_new=20, min_new=20).tokens for p in ("the cat", "that", "a model reads")]
    for victim in (0, 1, 2):
        for when in (0, 1, 4):
            for i, prompt in enumerate(("the cat", "that", "a model reads")):
                model.admit(request(i, prompt, max_new=20, min_new=20))
            tokens = {0: [], 1: [], 2: []}
            for step in range(40):
                if step == when:
                    model.cancel(victim)
                for event in model.step():
                    assert not (step >= when and event.id == victim)
                    if hasattr(event, "token"):
                        tokens[event.id].append(event.token)
            assert all(tokens[i] == alone[i] for i in range(3) if i != victim)
    model.cancel(12345)


def test_cancelling_what_waits(model):
    for i in range(6):
        model.admit(request(i))
    model.cancel(5)
    model.cancel(0)
    assert {event.id for _ in range(40) for event in model.step()} == {1, 2, 3, 4}


def test_stop_strings_are_cut_and_end_the_answer(model):
    free = ask(model, max_new=30, min_new=30)
    stop = free.end.text[5:8]
    heard = ask(model, max_new=30, min_new=30, stop=("no such", stop))
    assert heard.end.reason == "stop"
    assert heard.end.text == heard.text == free.end.text[: free.end.text.index(stop)]
    assert heard.tokens == free.tokens[: len(heard.tokens)]


def test_not_a_number_ends_only_its_own_row(model, monkeypatch):
    alone = [ask(model, p).tokens for p in ("the cat", "that was")]
    decode = CausalRows.decode

    def poisoned(self, tokens):
        logits = decode(self, tokens)
        if self.size == 3 and self.length > 5:
            logits[1, 7] = float("nan")
        return logits

    monkeypatch.setattr(CausalRows, "decode", poisoned)
    heard = run(model, request(1, "the cat"), request(2, "hat"), request(3, "that was"))
    assert heard[1].end.error.kind == "nan_logits" and "float32" in heard[1].end.error.hint
    assert [heard[0].tokens, heard[2].tokens] == alone


def test_a_sample_that_fails_ends_the_whole_request(model, monkeypatch):
    monkeypatch.setattr(CausalRows, "decode", lambda self, tokens: torch.full((self.size, 340), torch.nan))
    heard = ask(model, n=3, temperature=1.0, seed=1)
    assert heard.end.error.kind == "nan_logits" and len(heard.steps) == 1


def test_nothing_left_to_draw_says_so(model):
    heard = ask(model, no_repeat_ngram=1, max_new=100, prompt="".join(map(chr, range(32, 90))) * 1)
    assert heard.end.reason in ("length", "eos")
    assert len(set(heard.tokens)) == len(heard.tokens)


def test_out_of_memory_in_a_step_costs_the_newest_request(model, monkeypatch):
    alone = [ask(model, p).tokens for p in ("the cat", "that was")]
    requests = [request(1, "the cat"), request(2, "that was"), request(3, "hat")]
    failing(monkeypatch, "decode", oom, at=4)
    heard = run(model, *requests)
    assert heard[2].end.error.kind == "out_of_memory" and "lower max_new" in heard[2].end.error.hint
    assert [heard[0].tokens, heard[1].tokens] == alone


def test_out_of_memory_half_way_through_the_layers_is_undone(model, monkeypatch):
    """The first layer has the token already when the second runs out of memory."""
    alone = [ask(model, p).tokens for p in ("the cat", "that was")]
    update = GrowingLayer.update
    calls = []

    def starved(self, keys, values, *args, **kwargs):
        calls.append(keys.shape)
        if len(calls) == 10:
            oom()
        return update(self, keys, values, *args, **kwargs)

    monkeypatch.setattr(GrowingLayer, "update", starved)
    heard = run(model, request(1, "the cat"), request(2, "that was"), request(3, "hat"))
    assert heard[2].end.error.kind == "out_of_memory"
    assert [heard[0].tokens, heard[1].tokens] == alone


def test_out_of_memory_while_reading_prompts_reads_them_one_by_one(model, monkeypatch):
    alone = [ask(model, p).tokens for p in ("the cat", "that was")]
    calls = failing(monkeypatch, "prefill", oom, at=1)
    heard = run(model, request(1, "the cat"), request(2, "that was"))
    assert [one.tokens for one in heard] == alone and len(calls) == 3


def test_out_of_memory_while_joining_goes_on_side_by_side(model, monkeypatch):
    alone = [ask(model, p).tokens for p in ("the cat", "that was")]
    failing(monkeypatch, "join", oom, at=1)
    heard = run(model, request(1, "the cat"), request(2, "that was"), gap=2)
    assert [one.tokens for one in heard] == alone and heard[0].end.batch == 1


def test_a_join_that_fails_half_way_leaves_both_batches_whole(model, monkeypatch):
    from torch.nn.functional import pad

    alone = [ask(model, p).tokens for p in ("the cat", "that was the hat")]
    calls = []

    def starved(*args):
        calls.append(args)
        if len(calls) == 6:
            oom()
        return pad(*args)

    monkeypatch.setattr("backends.hf.state.causal.pad", starved)
    heard = run(model, request(1, "the cat"), request(2, "that was the hat"), gap=2)
    assert [one.tokens for one in heard] == alone and len(calls) >= 6


def test_a_crash_in_a_step_ends_each_request_of_the_batch_once(model, monkeypatch):
    def crash(*args):
        raise RuntimeError("a kernel\nwas lost")

    failing(monkeypatch, "decode", crash, at=3)
    heard = run(model, request(1), request(2, "that"), request(3, lane="exact", max_new=2))
    kinds = [getattr(one.end, "error", None) and one.end.error.kind for one in heard]
    assert kinds.count("internal") >= 1
    assert all("a kernel" in one.end.error.message for one in heard if hasattr(one.end, "error"))
    assert ask(model).end.reason


def test_memory_that_cannot_be_compacted_fails_the_rest(model, monkeypatch):
    failing(monkeypatch, "select", oom, at=1)
    heard = run(model, request(1, max_new=3), request(2, "that", max_new=9, min_new=9))
    assert heard[0].end.reason == "length" and heard[1].end.error.kind == "out_of_memory"
    assert ask(model).end.reason


def test_bad_ids_are_refused_before_they_reach_the_model(model):
    heard = ask(model, resume=(5, 99999))
    assert heard.end.error.kind == "not_a_checkpoint" and "99999" in heard.end.error.message


def test_notes_about_settings_without_effect(model):
    assert ask(model, n=3).started.notes == ("n has no effect without sampling or beams",)


def test_nothing_is_written_to_the_terminal(model, capfd):
    run(model, request(1, beam=2), request(2, temperature=1.0, seed=1), request(3, "早" * 100))
    assert capfd.readouterr() == ("", "")
