"""vLLM and llama.cpp's server, which tell tokens: what they are sent, and what is made of what they say."""

from collections.abc import Callable

import pytest

from backends.server.engine import ServerEngine
from backends.server.tokens import number
from repl.messages import Failed, Finished, Message, Started, Step
from repl.readings import Tokenized
from tests.backends.server.conftest import answer
from tests.backends.server.scripted import Scripted, Talk, says, served, vllm, words

Opened = Callable[..., ServerEngine]
PLAIN = "/v1/completions"


@pytest.fixture
def engine(server: Scripted, opened: Opened) -> ServerEngine:
    vllm(server)
    server.scripts[PLAIN] = tokens
    return opened()


def tokens(talk: Talk) -> None:
    """Three tokens in two chunks: one alone, whose text is held back, and two at once."""
    talk.begin()
    figures = {"tokens": [" caf"], "token_logprobs": [-0.25], "top_logprobs": [{" caf": -0.25, " tea": -2.0}]}
    talk.event({"index": 0, "text": "", "token_ids": [200], "logprobs": figures})
    figures = {
        "tokens": ["é", "!"],
        "token_logprobs": [-3.0, 0.001],
        "top_logprobs": [{"é": -3.0, "e": -0.1, "\ufffd": -9999.0}, {"!": 0.001}],
    }
    talk.event({"index": 0, "text": " café!", "token_ids": [201, 202], "logprobs": figures})
    talk.event({"index": 0, "text": "", "token_ids": [], "finish_reason": "stop", "stop_reason": None})
    talk.end()


def test_a_conversation_is_read_as_tokens_by_the_models_own_template(
    server: Scripted, engine: ServerEngine
) -> None:
    history = (Message(role="system", text="be kind"),)
    started, *_ = answer(engine, prompt="hi", history=history)
    assert isinstance(started, Started)
    assert started.prompt_text == "<system> be kind <user> hi <assistant>"
    assert len(started.prompt_ids) == 6
    assert server.bodies(PLAIN)[0]["prompt"] == list(started.prompt_ids)


def test_a_plain_prompt_begins_as_the_model_has_it(server: Scripted, engine: ServerEngine) -> None:
    started, *_ = answer(engine, prompt="naïve hi", template=False)
    assert isinstance(started, Started) and started.prompt_ids[0] == 1
    assert started.prompt_text == "<s>naïve hi"


def test_tokens_have_their_ids_and_figures(engine: ServerEngine) -> None:
    _, *steps, last = answer(engine, logprobs=2)
    assert all(isinstance(step, Step) for step in steps)
    assert [(s.token, s.piece, s.text, s.raw_lp, s.rank) for s in steps if isinstance(s, Step)] == [
        (200, b" caf", "", -0.25, 0),
        (201, "é".encode(), "", -3.0, 1),
        (202, b"!", " café!", 0.0, 0),
    ]
    assert isinstance(steps[0], Step) and isinstance(steps[1], Step)
    assert steps[0].top == ((200, -0.25, b" caf"), (number(b" tea"), -2.0, b" tea"))
    assert [lp for _, lp, _ in steps[1].top] == [-0.1, -3.0]
    assert isinstance(last, Finished) and (last.text, last.reason) == (" café!", "eos")


def test_every_sampler_is_told_what_it_is_not_to_do(server: Scripted, engine: ServerEngine) -> None:
    answer(engine, template=False)
    body = server.bodies(PLAIN)[0]
    assert {name: body[name] for name in ("top_k", "min_p", "repetition_penalty", "logprobs")} == {
        "top_k": -1,
        "min_p": 0.0,
        "repetition_penalty": 1.0,
        "logprobs": 1,
    }
    assert body["return_token_ids"] is True and "seed" not in body


def test_what_only_vllm_has_is_sent(server: Scripted, engine: ServerEngine) -> None:
    answer(engine, ban=("bad word", "#7"), min_new=3, stop_tokens=("#9",), top_k=4, repetition_penalty=1.5)
    body = server.bodies(PLAIN)[0]
    assert (body["bad_words"], body["logit_bias"]) == (["bad word"], {"7": -100})
    assert (body["min_tokens"], body["stop_token_ids"], body["top_k"]) == (3, [9], 4)
    assert body["repetition_penalty"] == 1.5


def test_which_stop_it_was_is_told(server: Scripted, engine: ServerEngine) -> None:
    server.scripts[PLAIN] = words("a", stop_reason="b")
    last = answer(engine, stop=("b",))[-1]
    assert isinstance(last, Finished) and last.reason == "stop"
    server.scripts[PLAIN] = words("a")
    last = answer(engine, stop=("b",))[-1]
    assert isinstance(last, Finished) and last.reason == "eos"


def test_sglang_names_the_end_token_too(server: Scripted, opened: Opened) -> None:
    server.scripts["/v1/models"] = served("org/big", owner="sglang")
    engine = opened()
    reasons = []
    for matched in (2, 9, "b"):
        server.scripts[PLAIN] = words("a", matched_stop=matched)
        last = answer(engine, template=False, stop=("b",), stop_tokens=("#9",))[-1]
        assert isinstance(last, Finished)
        reasons.append(last.reason)
    assert reasons == ["eos", "stop", "stop"]


def test_sglangs_figures_are_those_after_the_temperature(server: Scripted, opened: Opened) -> None:
    server.scripts |= {"/v1/models": served("org/big", owner="sglang"), PLAIN: tokens}
    engine = opened()
    for temperature, raw, processed in ((0.0, -0.25, None), (0.5, None, -0.25)):
        step = answer(engine, template=False, temperature=temperature)[1]
        assert isinstance(step, Step) and (step.raw_lp, step.proc_lp) == (raw, processed)


def test_an_answer_is_branched_on_tokens(server: Scripted, engine: ServerEngine) -> None:
    first = answer(engine, logprobs=2, max_new=8)
    tea = next(step.top[1][0] for step in first if isinstance(step, Step))
    started, one, two, *_ = answer(engine, prefix_ids=(200, tea), max_new=8)
    assert isinstance(started, Started) and isinstance(one, Step) and isinstance(two, Step)
    assert (one.token, one.piece, one.forced) == (200, b" caf", True)
    assert (two.piece, two.text, two.forced) == (b" tea", " tea", True) and two.token >= 100
    body = server.bodies(PLAIN)[1]
    assert body["prompt"] == [*started.prompt_ids, one.token, two.token] and body["max_tokens"] == 6


def test_a_beginning_that_fills_the_answer_is_all_of_it(server: Scripted, engine: ServerEngine) -> None:
    _, one, two, last = answer(engine, prefix="a b c", max_new=2)
    assert isinstance(one, Step) and isinstance(two, Step) and (one.text, two.text) == ("a", " b")
    assert isinstance(last, Finished) and (last.text, last.reason) == ("a b", "length")
    assert not server.bodies(PLAIN)


def test_a_text_is_shown_as_tokens(engine: ServerEngine) -> None:
    started, last = answer(engine, task="tokenize", prompt="naïve text")
    assert isinstance(last, Finished) and isinstance(last.reading, Tokenized)
    assert last.reading.pieces == ("naïve".encode(), b" text") and last.reading.decoded == "naïve text"
    assert isinstance(started, Started) and started.prompt_ids == last.reading.ids


def figures_of_the_prompt(talk: Talk) -> None:
    """Token ``t`` has a log-probability of ``-t / 100``; none is told for the first."""
    told: list[object] = [None]
    for at, token in enumerate(talk.body["prompt"][1:], start=1):
        own = {"logprob": -token / 100, "rank": at, "decoded_token": "?"}
        told.append({str(token): own, "7": {"logprob": -0.5, "rank": 1, "decoded_token": "seven"}})
    talk.json({"choices": [{"index": 0, "text": "x", "finish_reason": "length", "prompt_logprobs": told}]})


def test_a_text_is_scored_token_by_token(server: Scripted, engine: ServerEngine) -> None:
    server.scripts[PLAIN] = figures_of_the_prompt
    started, *steps, last = answer(
        engine, task="score", prompt="we like", target=" tea a lot", template=False, logprobs=1
    )
    assert isinstance(started, Started) and started.prompt_text == "<s>we like"
    assert started.prompt_pieces == (b"<s>", b"we", b" like")
    scored = [step for step in steps if isinstance(step, Step)]
    assert [(s.text, s.piece, s.forced) for s in scored] == [
        (" tea", b" tea", True),
        (" a", b" a", True),
        (" lot", b" lot", True),
    ]
    assert [s.raw_lp for s in scored] == [-s.token / 100 for s in scored]
    assert [s.rank for s in scored] == [2, 3, 4] and scored[0].top == ((7, -0.5, b"seven"),)
    assert isinstance(last, Finished) and (last.text, last.reason) == (" tea a lot", "done")
    body = server.bodies(PLAIN)[0]
    assert (body["max_tokens"], body["prompt_logprobs"], "stream" in body) == (1, 1, False)


def test_without_a_prompt_it_says_what_it_begins_with(server: Scripted, engine: ServerEngine) -> None:
    server.scripts[PLAIN] = figures_of_the_prompt
    started, first, *_ = answer(engine, task="score", prompt="", target="tea a")
    assert isinstance(started, Started) and started.notes == ("begins with <s>",)
    assert isinstance(first, Step) and first.raw_lp is not None
    started, first, second, _ = answer(engine, task="score", prompt="", target="tea a", opening="none")
    assert isinstance(started, Started) and "no score" in started.notes[0] and started.prompt_ids == ()
    assert isinstance(first, Step) and isinstance(second, Step)
    assert first.raw_lp is None and second.raw_lp is not None
    (failed,) = answer(engine, task="score", prompt="", target="tea", opening="bos")
    assert isinstance(failed, Failed) and failed.error.kind == "unsupported"


def test_a_server_that_does_not_tell_figures_is_found_out(server: Scripted, engine: ServerEngine) -> None:
    server.scripts[PLAIN] = says({"choices": [{"index": 0, "text": "x"}]})
    (failed,) = answer(engine, task="score", target="x")
    assert isinstance(failed, Failed) and "does not tell the log-probabilities" in failed.error.message


def test_llamacpp_reads_by_its_own_endpoints(server: Scripted, opened: Opened) -> None:
    def tokenize(talk: Talk) -> None:
        found = [{"id": 198, "piece": [195]}, {"id": 164, "piece": [161]}, {"id": 5, "piece": "!"}]
        talk.json({"tokens": ([{"id": 1, "piece": ""}] if talk.body["add_special"] else []) + found})

    def play(talk: Talk) -> None:
        talk.begin()
        best = [{"id": 41, "token": " b", "bytes": [32, 98], "logprob": -0.1}]
        for token, text, data in ((198, "", [195]), (164, "á", [161])):
            told = {"id": token, "token": "", "bytes": data, "logprob": -1.0, "top_logprobs": best}
            talk.event({"index": 0, "text": text, "logprobs": {"content": [told]}})
        talk.event({"index": 0, "text": "", "finish_reason": "stop"})
        talk.end()

    server.scripts |= {
        "/v1/models": served("tiny", owner="llamacpp"),
        "/tokenize": tokenize,
        "/apply-template": lambda talk: talk.json({"prompt": "<user>" + talk.body["messages"][0]["content"]}),
        "/detokenize": says({"content": "á!"}),
        PLAIN: play,
    }
    engine = opened()
    assert engine.capabilities.chat and engine.capabilities.tasks == ("generate", "tokenize")
    started, one, two, last = answer(engine, logprobs=1, temperature=0.5, seed=2**32, typical_p=0.9)
    assert isinstance(started, Started) and started.prompt_ids == (1, 198, 164, 5)
    assert isinstance(one, Step) and isinstance(two, Step) and isinstance(last, Finished)
    assert (one.token, one.piece, one.text, one.raw_lp) == (198, b"\xc3", "", -1.0)
    assert (two.token, two.piece, two.text) == (164, b"\xa1", "á") and two.top == ((41, -0.1, b" b"),)
    body = server.bodies(PLAIN)[0]
    assert (body["repeat_penalty"], body["repeat_last_n"], body["top_k"], body["typical_p"]) == (
        1,
        -1,
        0,
        0.9,
    )
    assert body["seed"] == 1
    (_, read) = answer(engine, task="tokenize", prompt="á!")
    assert isinstance(read, Finished) and isinstance(read.reading, Tokenized)
    assert read.reading.pieces == (b"\xc3", b"\xa1", b"!")
