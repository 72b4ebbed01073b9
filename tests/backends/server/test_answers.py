"""Answers of a server that tells no more than OpenAI's API asks of it."""

import threading
from collections.abc import Callable

import pytest

from backends.server.engine import ServerEngine
from backends.server.tokens import number
from repl.messages import Failed, Finished, Hypothesis, Message, Started, Step
from repl.pool.driver import Driver
from tests.backends.server.conftest import answer, answers, asking
from tests.backends.server.scripted import Scripted, Talk, turns, words

Opened = Callable[..., ServerEngine]
PLAIN = "/v1/completions"
CHAT = "/v1/chat/completions"


def steps(events: list[object]) -> list[Step]:
    return [event for event in events if isinstance(event, Step)]


def test_a_plain_prompt_is_completed_as_it_comes(server: Scripted, opened: Opened) -> None:
    server.scripts[PLAIN] = words("né", " wo", "rld")
    started, *told, last = answer(opened(), prompt="hello", template=False, max_new=7, stop=("\n",))
    assert started == Started(id=1, prompt_ids=(), prompt_text="hello")
    assert [(s.index, s.text, s.piece) for s in told] == [
        (0, "né", "né".encode()),
        (1, " wo", b" wo"),
        (2, "rld", b"rld"),
    ]
    assert last == Finished(id=1, reason="stop", text="né world")
    assert server.bodies(PLAIN) == [
        {
            "model": "small",
            "prompt": "hello",
            "temperature": 0.0,
            "top_p": 1.0,
            "max_tokens": 7,
            "stop": ["\n"],
            "stream": True,
        }
    ]


def test_a_conversation_goes_as_turns(server: Scripted, opened: Opened) -> None:
    server.scripts[CHAT] = turns("good", " day")
    history = (Message(role="system", text="be kind"), Message(role="user", text="hi"))
    history += (Message(role="assistant", text="yes?"),)
    started, *_, last = answer(opened(prompt_template="[{prompt}]"), prompt="hello", history=history)
    assert isinstance(started, Started) and started.prompt_text.endswith("assistant: yes?\nuser: [hello]")
    assert isinstance(last, Finished) and (last.text, last.reason) == ("good day", "eos")
    assert server.bodies(CHAT)[0]["messages"] == [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "yes?"},
        {"role": "user", "content": "[hello]"},
    ]


def test_reasoning_stands_where_the_model_wrote_it(server: Scripted, opened: Opened) -> None:
    def think(talk: Talk) -> None:
        talk.begin()
        for delta in ({"reasoning_content": "hm"}, {"reasoning_content": "m"}, {"content": "yes"}):
            talk.event({"index": 0, "delta": delta})
        talk.event({"index": 0, "delta": {}, "finish_reason": "stop"})
        talk.end()

    server.scripts[CHAT] = think
    *_, last = answer(opened())
    assert isinstance(last, Finished) and last.text == "<think>hmm</think>yes"


def test_tokens_come_with_their_figures(server: Scripted, opened: Opened) -> None:
    def play(talk: Talk) -> None:
        talk.begin()
        best = [{"token": " a", "logprob": -0.5}, {"token": " b", "logprob": -1.5}]
        content = [{"token": " b", "logprob": -1.5, "bytes": [32, 98], "top_logprobs": best}]
        talk.event({"index": 0, "delta": {"content": " b"}, "logprobs": {"content": content}})
        talk.event({"index": 0, "delta": {}, "finish_reason": "length"})
        talk.end(done=False)  # as transformers serve ends

    server.scripts[CHAT] = play
    _, step, last = answer(opened(), logprobs=2)
    assert isinstance(step, Step) and isinstance(last, Finished)
    assert (step.raw_lp, step.rank, step.piece) == (-1.5, 1, b" b")
    assert step.top == ((number(b" a"), -0.5, b" a"), (step.token, -1.5, b" b"))
    assert step.token == number(b" b") < 0
    assert last.reason == "length"
    asked = server.bodies(CHAT)[0]
    assert (asked["logprobs"], asked["top_logprobs"]) == (True, 2)


def test_several_samples_come_mixed_and_the_first_is_shown(server: Scripted, opened: Opened) -> None:
    def play(talk: Talk) -> None:
        talk.begin()
        for index, text in ((1, "b"), (0, "a"), (1, "B"), (0, "A")):
            talk.event({"index": index, "text": text})
        talk.event({"index": 1, "text": "", "finish_reason": "stop"})
        talk.event({"index": 0, "text": "", "finish_reason": "length"})
        talk.end()

    server.scripts[PLAIN] = play
    events = answer(opened(), template=False, n=2, temperature=0.7, seed=5)
    assert [step.text for step in steps(events)] == ["a", "A"]
    last = events[-1]
    assert isinstance(last, Finished) and last.reason == "length"
    assert last.hypotheses == (
        Hypothesis(text="aA", tokens=(number(b"a"), number(b"A"))),
        Hypothesis(text="bB", tokens=(number(b"b"), number(b"B"))),
    )
    body = server.bodies(PLAIN)[0]
    assert (body["n"], body["seed"], body["temperature"]) == (2, 5, 0.7)


def test_a_sampled_answer_without_a_seed_gets_one_and_says_so(server: Scripted, opened: Opened) -> None:
    server.scripts[PLAIN] = words("x")
    started, *_ = answer(opened(), template=False, temperature=1.0)
    assert isinstance(started, Started)
    assert started.notes == (f"seed {server.bodies(PLAIN)[0]['seed']}",)


def test_samples_of_one_seed_differ(server: Scripted, opened: Opened) -> None:
    server.scripts[PLAIN] = words("x")
    engine = opened()
    for sample in (0, 1, 2):
        answer(engine, template=False, temperature=1.0, seed=9, sample=sample)
    seeds = [body["seed"] for body in server.bodies(PLAIN)]
    assert seeds[0] == 9 and len(set(seeds)) == 3


def test_an_answer_goes_on_from_a_text_and_from_its_own_tokens(server: Scripted, opened: Opened) -> None:
    server.scripts[PLAIN] = words(" c", " d")
    engine = opened()
    first = answer(engine, template=False, prefix=" a b", max_new=9)
    forced, *rest = steps(first)
    assert (forced.text, forced.forced) == (" a b", True) and [s.text for s in rest] == [" c", " d"]
    assert isinstance(first[-1], Finished) and first[-1].text == " a b c d"
    begun = tuple(step.token for step in steps(first)[:2])
    again = answer(engine, template=False, prefix_ids=begun)
    assert [(s.text, s.forced) for s in steps(again)[:2]] == [(" a b", True), (" c", True)]
    assert [body["prompt"] for body in server.bodies(PLAIN)] == ["hello a b", "hello a b c"]
    assert server.bodies(PLAIN)[0]["max_tokens"] == 8


def test_tokens_that_nobody_told_cannot_be_gone_on_with(server: Scripted, opened: Opened) -> None:
    (failed,) = answer(opened(), template=False, prefix_ids=(7,))
    assert isinstance(failed, Failed) and "does not tell what token 7 stands for" in failed.error.message
    (failed,) = answer(opened(), prefix="Well")
    assert isinstance(failed, Failed) and failed.error.kind == "unsupported"


def test_a_stop_string_is_never_shown(server: Scripted, opened: Opened) -> None:
    server.scripts[PLAIN] = words("one ", "EN", "D", " more")  # as transformers serve leaves it in
    events = answer(opened(), template=False, stop=("END",))
    assert [step.text for step in steps(events)] == ["one ", "", "", ""]
    last = events[-1]
    assert isinstance(last, Finished) and (last.text, last.reason) == ("one ", "stop")
    server.scripts[PLAIN] = words("one ", "EN", reason="length")
    last = answer(opened(), template=False, stop=("END",))[-1]
    assert isinstance(last, Finished) and (last.text, last.reason) == ("one EN", "length")


def test_requests_stream_side_by_side_and_one_is_stopped(server: Scripted, opened: Opened) -> None:
    gates = {prompt: threading.Semaphore(0) for prompt in ("one", "two")}
    gone = threading.Event()

    def play(talk: Talk) -> None:
        talk.begin()
        try:
            for at in range(3):
                gates[talk.body["prompt"]].acquire()
                talk.event({"index": 0, "text": f"{talk.body['prompt']}{at}"})
                if talk.body["prompt"] == "two":
                    while True:  # a closed connection shows when it is written to
                        talk.send(b": still there\n\n")
        except OSError:
            gone.set()
            return
        talk.event({"index": 0, "text": "", "finish_reason": "stop"})
        talk.end()

    server.scripts[PLAIN] = play
    driver = Driver(opened())
    for number_, prompt in enumerate(gates, start=1):
        driver.admit(asking(number_, prompt, template=False))
    events: list[object] = []

    def until(text: str) -> None:
        while text not in [step.text for step in steps(events)]:
            events.extend(driver.step())

    gates["two"].release()
    until("two0")
    gates["one"].release()
    until("one0")
    assert [type(e).__name__ for e in driver.cancel(2)] == ["Stopped"]
    assert gone.wait(60)
    gates["one"].release(2)
    while driver.busy:
        events += driver.step()
    assert [step.text for step in steps(events) if step.id == 1] == ["one0", "one1", "one2"]
    assert [step.text for step in steps(events) if step.id == 2] == ["two0"]
    assert [e.id for e in events if isinstance(e, Finished)] == [1]


def test_many_are_answered_each_once(server: Scripted, opened: Opened) -> None:
    server.scripts[PLAIN] = lambda talk: words(talk.body["prompt"].upper())(talk)
    requests = [asking(i, f"word {i}", template=False) for i in range(1, 41)]
    for number_, events in answers(opened(), *requests).items():
        assert [type(event).__name__ for event in events] == ["Started", "Step", "Finished"], events
        assert isinstance(events[-1], Finished) and events[-1].text == f"WORD {number_}"


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ({"top_k": 5}, "top_k"),
        ({"logit_bias": ("the=2",)}, "logit_bias of words such as 'the'"),
        ({"ban": ("the",)}, "ban of words such as 'the'"),
        ({"beam": 2}, "beam"),
    ],
)
def test_what_the_server_does_not_have_is_refused(
    setting: dict[str, object], what: str, opened: Opened
) -> None:
    (failed,) = answer(opened(), **setting)
    assert isinstance(failed, Failed) and failed.error.kind == "bad_parameter"
    assert failed.error.message == f"a server of unknown kind cannot honour {what}"


def test_tasks_that_the_api_does_not_have_are_refused(opened: Opened) -> None:
    (failed,) = answer(opened(), task="score", target="x")
    assert isinstance(failed, Failed) and failed.error.kind == "unsupported"
    assert "a server of unknown kind cannot score by its API" in failed.error.message


def test_tokens_by_id_are_banned_and_biased(server: Scripted, opened: Opened) -> None:
    server.scripts[PLAIN] = words("x")
    answer(opened(), template=False, ban=("#5",), logit_bias=("#7=1.5",))
    assert server.bodies(PLAIN)[0]["logit_bias"] == {"7": 1.5, "5": -100}
