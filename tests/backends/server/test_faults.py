"""Servers that are not there, break, lie or refuse: one failure each, in words, and the next answer works."""

import socket
import ssl
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.base import BackendError
from backends.server import client, events
from backends.server.engine import ServerEngine
from repl.messages import Event, Failed, Finished, Step
from tests.backends.server.conftest import answer
from tests.backends.server.scripted import Script, Scripted, Talk, running, says, served, words
from tests.conftest import require_tool

Opened = Callable[..., ServerEngine]
PLAIN = "/v1/completions"
_PAST = "Wed, 21 Oct 2015 07:28:00 GMT"


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long a busy server was waited for; nothing is."""
    waited: list[float] = []

    async def pause(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(client, "pause", pause)
    return waited


def failure(events_: list[Event]) -> str:
    """The one failure at the end, in words."""
    *before, last = events_
    assert isinstance(last, Failed) and not any(isinstance(e, Failed | Finished) for e in before)
    return f"{last.error.kind}: {last.error.message} ({last.error.hint})"


def about(server: Scripted, said: str) -> str:
    """With the model and the address that every message names."""
    kind, _, what = said.partition(": ")
    return f"{kind}: model 'far': {server.url} {what}"


def asked(engine: ServerEngine) -> list[Event]:
    return answer(engine, template=False)


def test_a_server_that_goes_away_and_comes_back(server: Scripted, opened: Opened) -> None:
    port = server.server_address[1]
    with running() as first:
        first.scripts |= {"/v1/models": served("small"), PLAIN: words("one")}
        engine = opened(first.url)
        assert isinstance(asked(engine)[-1], Finished)
        port = first.server_address[1]
    said = failure(asked(engine))
    assert said.startswith(f"unreachable: model 'far': http://127.0.0.1:{port}/v1 ")
    assert "start the server" in said or "is the server running?" in said
    with running(port) as second:
        second.scripts[PLAIN] = words("two")
        last = asked(engine)[-1]
        assert isinstance(last, Finished) and last.text == "two"


def test_nobody_there(opened: Opened) -> None:
    with running() as gone:
        urls = [gone.url, gone.url.replace("127.0.0.1", "localhost")]
    for url in urls:
        with pytest.raises(BackendError) as caught:
            opened(url)
        assert caught.value.error.message == f"model 'far': {url} cannot be reached: Connection refused"
        assert caught.value.error.hint == "when the server is there, /restart far"


def test_names_that_mean_no_machine(opened: Opened) -> None:
    with pytest.raises(BackendError) as caught:
        opened("http://no-such-host.invalid/v1")
    assert caught.value.error.kind == "unreachable" and "cannot be reached" in caught.value.error.message
    with pytest.raises(BackendError) as caught:
        opened("http://é..é/v1")
    assert caught.value.error.kind == "bad_parameter" and "is no address" in caught.value.error.message


def test_certificates_are_looked_at(tmp_path: Path, opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    require_tool("openssl")
    monkeypatch.chdir(tmp_path)
    made = "req -x509 -newkey rsa:2048 -nodes -keyout key -out cert -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    subprocess.run(["openssl", *made.split(), *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain("cert", "key")
    with running() as server:
        server.scripts["/v1/models"] = served("small")
        server.socket = context.wrap_socket(server.socket, server_side=True)
        url = server.url.replace("http:", "https:")
        with pytest.raises(BackendError) as caught:
            opened(url)
        assert "cannot be trusted" in caught.value.error.message, caught.value.error
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert"))
        assert opened(url).capabilities.slots == 16


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (says({"error": {"message": "no key"}}, 401), "unauthorised: says 401: no key"),
        (says({"detail": "no\nright"}, 403), "unauthorised: says 403: no right (it wants a key"),
        (says({}, 404), "unsupported: says 404 (does the address end as in /v1"),
        (says({"error": "bad top_p"}, 400), "bad_parameter: says 400: bad top_p"),
        (
            says({"message": "maximum context length is 8 tokens"}, 400),
            "prompt_too_long: says 400: maximum context length is 8",
        ),
        (says({"error": {"message": "x" * 9000}}, 500), "unreachable: says 500: xxx"),
        (says({}, 307, Location="http://elsewhere.invalid/"), "unsupported: says 307 (redirects"),
        (says({"choices": []}), "internal: answers with 'application/json' where a stream of events"),
        (lambda talk: talk.raw(b"<html>" * 99, 502, "text/html"), "unreachable: says 502 ("),
    ],
)
def test_what_is_no_answer_is_told(script: Script, said: str, server: Scripted, opened: Opened) -> None:
    engine = opened()
    server.scripts[PLAIN] = script
    told = failure(asked(engine))
    assert told.startswith(about(server, said)) and len(told) < 800
    server.scripts[PLAIN] = words("fine")
    assert isinstance(asked(engine)[-1], Finished)


def stream(*data: bytes) -> Script:
    """So many bytes of a stream, after a word of the answer."""

    def play(talk: Talk) -> None:
        talk.begin()
        talk.event({"index": 0, "text": "begun"})
        for each in data:
            talk.send(each)
        talk.end(done=False)

    return play


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (stream(), "unreachable: broke off in the middle of the answer: the stream ended without"),
        (stream(b"data: [DONE]\n\n"), "unreachable: broke off in the middle"),
        (stream(b"data: {nonsense\n\n"), "internal: sends what is no such answer: JSON is malformed"),
        (stream(b'data: {"choices": 3}\n\n'), "internal: sends what is no such answer: Expected"),
        (stream(b'data: {"error": ' + b"[" * 100_000 + b"\n\n"), "internal: sends what is no such"),
        (stream(b"data: \xff\xfe\n\n"), "internal: sends what is no such answer"),
        (stream(b'data: {"choices": [{"index": -1}]}\n\n'), "internal: sends what is no such"),
        (stream(b'data: {"choices": [{"index": 9}]}\n\n'), "internal: sends answer 10 of 1"),
        (stream(b'data: {"error": {"message": "OOM"}}\n\n'), "unreachable: broke off the answer: OOM"),
        (
            stream(b'data: {"choices": [{"finish_reason": "content_filter"}]}\n\n'),
            "unsupported: ended the answer itself (content_filter)",
        ),
    ],
)
def test_what_had_come_stands(script: Script, said: str, server: Scripted, opened: Opened) -> None:
    server.scripts[PLAIN] = script
    told = asked(opened())
    assert [event.text for event in told if isinstance(event, Step)] == ["begun"]
    assert failure(told).startswith(about(server, said))


def test_a_connection_that_is_cut(server: Scripted, opened: Opened) -> None:
    def cut(talk: Talk) -> None:
        talk.begin()
        talk.event({"index": 0, "text": "begun"})
        talk.hang_up()

    server.scripts[PLAIN] = cut
    told = asked(opened())
    assert [event.text for event in told if isinstance(event, Step)] == ["begun"]
    assert "broke off in the middle of the answer" in failure(told)
    assert "what had come stands" in failure(told)


def test_a_kept_connection_that_was_closed_costs_nothing(server: Scripted, opened: Opened) -> None:
    engine = opened()
    left: list[Script] = [Talk.hang_up, words("fine"), Talk.hang_up, Talk.hang_up]
    server.scripts[PLAIN] = lambda talk: left.pop(0)(talk)
    assert isinstance(asked(engine)[-1], Finished)
    assert "did not answer" in failure(asked(engine)) and not left


def test_endless_lines_and_endless_answers_are_bounded(
    server: Scripted, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    def endless(line: bytes) -> Script:
        def play(talk: Talk) -> None:
            talk.begin()
            while True:
                talk.send(line)

        return play

    monkeypatch.setattr(events, "LONGEST", 1000)
    engine = opened()
    server.scripts[PLAIN] = endless(b"data: " + b"x" * 500)
    assert "sends an event that does not end" in failure(asked(engine))
    server.scripts[PLAIN] = endless(b": nothing\n\n" * 5000)
    assert "MiB that an answer may have" in failure(answer(engine, template=False, max_new=1))


def test_a_busy_server_is_asked_again(server: Scripted, opened: Opened, pauses: list[float]) -> None:
    engine = opened()
    left = [says({}, 429, Retry_After="7"), says({}, 503), says({}, 429, Retry_After=_PAST)]
    left += [says({}, 429), words("now")]
    server.scripts[PLAIN] = lambda talk: left.pop(0)(talk)
    assert isinstance(asked(engine)[-1], Finished)
    assert pauses == [7.0, 1.0, 0.0, 4.0]


def test_but_not_for_ever(server: Scripted, opened: Opened, pauses: list[float]) -> None:
    engine = opened()
    server.scripts[PLAIN] = says({"error": {"message": "slow down"}}, 429)
    told = failure(asked(engine))
    assert "says 429: slow down (it is busy or not ready" in told
    assert pauses == [0.5, 1.0, 2.0, 4.0] and len(server.bodies(PLAIN)) == 5
    server.scripts[PLAIN] = says({}, 429, Retry_After="86400")
    asked(engine)
    assert len(server.bodies(PLAIN)) == 6


def test_silence_is_not_waited_for_without_end(server: Scripted, opened: Opened) -> None:
    quiet = socket.create_server(("127.0.0.1", 0))
    with quiet, pytest.raises(BackendError) as caught:
        opened(f"http://127.0.0.1:{quiet.getsockname()[1]}/v1", silence=0.05)
    assert "did not answer in time (ReadTimeout)" in caught.value.error.message


def test_proxies_of_the_environment_are_not_asked(
    server: Scripted, opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # where nobody listens
    monkeypatch.setenv("no_proxy", "")
    assert opened().capabilities.slots == 16
    with pytest.raises(BackendError):
        opened(proxy=True)
