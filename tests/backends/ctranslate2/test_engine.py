"""Requests on their way through the engine: together, cancelled, cut, refused."""

from tests.backends.fairseq import ready  # noqa: F401

# isort: split
import threading
from typing import Any

import pytest

from repl.demo import model_path
from repl.messages import Finished, Step
from tests.backends.ctranslate2.conftest import Load
from tests.backends.ctranslate2.support import Told, ask, fault, request, together

LINES = [
    "two hundred and five",
    "forty two",
    "nine thousand and one",
    "seven",
    "ninety nine thousand nine hundred and ninety nine",
    "six",
    "eleven",
    "one hundred thousand",
]
KINDS = {
    "greedy": {},
    "figures": {"logprobs": 2},
    "samples": {"temperature": 1.3, "seed": 11, "n": 2},
    "beams": {"beam": 3, "n": 2},
    "beams with scores": {"beam": 3, "logprobs": 1},
}


@pytest.fixture(scope="module")
def engine(load: Load) -> Any:
    return load(model_path("num2digits") / "model.pt")


@pytest.fixture(scope="module")
def causal(load: Load) -> Any:
    return load(model_path("numlm") / "model.pt")


class TestTogether:
    @pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
    def test_eight_lines_get_what_each_gets_alone(self, engine: Any, causal: Any, settings: dict[str, Any]):
        for model, lines in ((engine, LINES), (causal, [f"{line} is" for line in LINES])):
            asked = [request(line, number, max_new=16, **settings) for number, line in enumerate(lines, 1)]
            at_once = list(map(Told, together(model, asked)))
            if model is engine:
                assert max(told.finished.batch for told in at_once) >= len(LINES)
            for one, told in zip(asked, at_once, strict=True):
                alone = ask(model, one)
                assert alone.tokens == told.tokens
                mine, other = (answer.finished.hypotheses for answer in (alone, told))
                assert [h.tokens for h in mine] == [h.tokens for h in other]
                scores = pytest.approx([h.score for h in other], abs=1e-4)
                assert [h.score for h in mine] == scores

    def test_requests_of_all_kinds_pass_through_at_once(self, engine: Any):
        settings = list(KINDS.values())
        asked = [request(line, n, **settings[n % len(settings)]) for n, line in enumerate(LINES, 1)]
        for one, told in zip(asked, map(Told, together(engine, asked)), strict=True):
            assert told.tokens == ask(engine, one).tokens

    def test_the_exact_lane_shares_no_call(self, engine: Any):
        asked = [request(line, n, lane="exact") for n, line in enumerate(LINES[:3], 1)]
        assert [told.finished.batch for told in map(Told, together(engine, asked))] == [1, 1, 1]

    def test_each_keeps_its_own_limit(self, engine: Any):
        asked = [request(LINES[4], limit, max_new=limit) for limit in (1, 2, 3, 9)]
        told = list(map(Told, together(engine, asked)))
        assert [len(one.tokens) for one in told] == [1, 2, 3, 6]
        assert [one.finished.reason for one in told] == ["length", "length", "length", "eos"]


class TestStreams:
    @pytest.mark.parametrize("settings", [KINDS["greedy"], KINDS["samples"]])
    def test_tokens_come_one_by_one(self, engine: Any, settings: dict[str, Any]):
        engine.admit(request(LINES[4], min_new=30, max_new=40, **settings))
        seen: list[int] = []
        events: list[Any] = []
        while not any(isinstance(event, Finished) for event in events):
            events = list(engine.step())
            seen.append(sum(isinstance(event, Step) for event in events))
        assert sum(count > 0 for count in seen) > 5

    @pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
    def test_a_cancelled_request_is_heard_of_no_more(self, engine: Any, settings: dict[str, Any]):
        engine.admit(request(LINES[4], 1, min_new=40, max_new=48, **settings))
        engine.admit(request(LINES[0], 2, min_new=40, max_new=48, **settings))
        while not (began := engine.step()):
            pass
        assert began
        engine.cancel(1)
        heard = []
        while not any(isinstance(event, Finished) for event in heard):
            heard += engine.step()
        assert {event.id for event in heard} == {2}

    def test_a_cancelled_stream_ends_its_call(self, engine: Any):
        engine.admit(request(LINES[4], 1, min_new=50, max_new=56))
        while not any(isinstance(event, Step) for event in engine.step()):
            pass
        engine.cancel(1)
        after = ask(engine, request(LINES[1], 2))
        assert after.text == "4 2"

    def test_nobody_waits_for_a_cancelled_beam_search(self, engine: Any, monkeypatch: pytest.MonkeyPatch):
        began, goes_on = threading.Event(), threading.Event()
        decode = engine._library.decode

        def slow(feeds: Any, search: Any, *rest: Any) -> Any:
            if search.beam == 5:
                began.set()
                assert goes_on.wait(60)
            return decode(feeds, search, *rest)

        monkeypatch.setattr(engine._library, "decode", slow)
        try:
            engine.admit(request(LINES[4], 1, beam=5))
            while not began.is_set():
                engine.step()
            engine.cancel(1)
            for settings in ({}, {"beam": 2}):
                assert ask(engine, request(LINES[1], 2, **settings)).text == "4 2"
        finally:
            goes_on.set()
        assert ask(engine, request(LINES[1], 3, beam=5)).text == "4 2"

    def test_an_unknown_id_is_ignored(self, engine: Any):
        engine.cancel(77)
        assert ask(engine, request("six")).text == "6"


class TestStops:
    @pytest.mark.parametrize("settings", KINDS.values(), ids=KINDS)
    def test_a_stop_string_ends_the_answer_and_is_never_seen(self, engine: Any, settings: dict[str, Any]):
        told = ask(engine, request(LINES[4], stop=("9 9 9",), **{**settings, "temperature": 0.0}))
        assert told.text == ""
        assert told.finished.reason == "stop"
        assert [step.text for step in told.steps] == [""] * len(told.steps)

    def test_what_only_begins_as_a_stop_string_is_shown_in_the_end(self, engine: Any):
        told = ask(engine, request(LINES[0], stop=("5 5",)))
        assert (told.text, told.finished.reason) == ("2 0 5", "eos")


class TestResume:
    @pytest.mark.parametrize("settings", [{}, {"temperature": 1.4, "seed": 5}])
    def test_an_answer_goes_on_where_another_replica_left_it(
        self, engine: Any, causal: Any, settings: dict[str, Any]
    ):
        for model, line in ((engine, LINES[4]), (causal, "forty two")):
            whole = ask(model, request(line, **settings))
            for kept in range(len(whole.tokens)):
                resumed = ask(model, request(line, resume=tuple(whole.tokens[:kept]), **settings))
                assert resumed.tokens == whole.tokens
                assert resumed.text == whole.text


class TestFaults:
    def test_an_empty_line_is_a_message(self, engine: Any):
        (heard,) = together(engine, [request("   ")])
        assert heard[-1].error.kind == "empty_prompt"

    def test_a_long_line_is_a_message_and_its_neighbours_are_answered(self, engine: Any):
        long, short = together(engine, [request("one " * 99, 1), request("six", 2)])
        assert long[-1].error.kind == "prompt_too_long"
        assert Told(short).text == "6"

    def test_more_answers_than_beams_are_refused(self, engine: Any):
        (heard,) = together(engine, [request("six", beam=2, n=3)])
        assert heard[-1].error.kind == "bad_parameter"

    def test_what_beams_cannot_honour_is_refused(self, engine: Any):
        (heard,) = together(engine, [request("six", beam=2, unkpen=1.0)])
        assert "unkpen" in heard[-1].error.message

    def test_settings_that_leave_no_token_fail_alone(self, engine: Any):
        asked = [request(LINES[4], 1, no_repeat_ngram=1, min_new=30, max_new=40), request("six", 2)]
        first, second = together(engine, asked)
        assert first[-1].error.kind == "bad_parameter"
        assert Told(second).text == "6"

    def test_when_a_call_breaks_each_goes_on_alone(self, engine: Any, monkeypatch: pytest.MonkeyPatch):
        decode = engine._library.decode

        def breaks(feeds: Any, *rest: Any) -> Any:
            if len(feeds) > 1 or len(feeds[0].source) == 2:
                raise RuntimeError("out of memory")
            return decode(feeds, *rest)

        monkeypatch.setattr(engine._library, "decode", breaks)
        asked = [request(line, number) for number, line in enumerate(["six", *LINES[:2]], 1)]
        first, *others = together(engine, asked)
        assert first[-1].error.kind == "out_of_memory"
        assert [Told(heard).text for heard in others] == ["2 0 5", "4 2"]

    def test_a_model_that_computes_no_numbers_is_said_to(self, engine: Any, monkeypatch: pytest.MonkeyPatch):
        def nan(row: Any, logits: Any, seed: Any, choose: Any = engine._chooser.token) -> Any:
            return choose(row, logits * float("nan"), seed)

        monkeypatch.setattr(engine._chooser, "token", nan)
        assert fault(engine, request("six", logprobs=1)).error.kind == "nan_logits"
