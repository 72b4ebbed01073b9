"""An inference server that does what a test tells it, on a port of its own."""

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Script = Callable[["Talk"], None]


class Talk(BaseHTTPRequestHandler):
    """One request; a script answers it."""

    protocol_version = "HTTP/1.1"
    server: "Scripted"
    body: dict[str, Any]

    def do_GET(self) -> None:
        self._play({})

    def do_POST(self) -> None:
        self._play(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _play(self, body: dict[str, Any]) -> None:
        self.body = body
        self.server.asked.append((self.path, body, dict(self.headers)))
        script = self.server.scripts.get(self.path)
        if script is None:
            self.json({"error": {"message": f"nothing at {self.path}"}}, status=404)
        else:
            script(self)

    def json(self, answer: Any, status: int = 200, **headers: str) -> None:
        """A whole answer."""
        self.raw(json.dumps(answer).encode(), status, "application/json", **headers)

    def raw(self, data: bytes, status: int = 200, form: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": form, "Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def begin(self) -> None:
        """A stream of events, in chunks."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream; charset=utf-8")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def send(self, data: bytes) -> None:
        """A chunk of it; raises ``OSError`` when nobody listens any more."""
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def event(self, *choices: dict[str, Any], **more: Any) -> None:
        """An event with choices."""
        self.send(b"data: " + json.dumps({"choices": list(choices), **more}).encode() + b"\n\n")

    def end(self, *, done: bool = True) -> None:
        """The end of the stream."""
        if done:
            self.send(b"data: [DONE]\n\n")
        self.wfile.write(b"0\r\n\r\n")

    def hang_up(self) -> None:
        """Break off without an end."""
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing to standard error."""


class Scripted(ThreadingHTTPServer):
    """What it was asked, and what it answers at each path."""

    daemon_threads = True
    request_queue_size = 100

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), Talk)
        self.asked: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        self.scripts: dict[str, Script] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def bodies(self, path: str) -> list[dict[str, Any]]:
        """What was asked at a path."""
        return [body for at, body, _ in self.asked if at == path]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is no news."""


@contextmanager
def running(port: int = 0) -> Iterator[Scripted]:
    """A server with no scripts yet."""
    with Scripted(port) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def says(answer: Any, status: int = 200, **headers: str) -> Script:
    """A script that answers with JSON."""
    return lambda talk: talk.json(answer, status, **headers)


def served(*names: str, owner: str = "someone", **more: Any) -> Script:
    """A list of models."""
    return says({"object": "list", "data": [{"id": name, "owned_by": owner, **more} for name in names]})


def words(*texts: str, reason: str = "stop", **last: Any) -> Script:
    """A completion in so many chunks, without any figures."""

    def play(talk: Talk) -> None:
        talk.begin()
        for text in texts:
            talk.event({"index": 0, "text": text})
        talk.event({"index": 0, "text": "", "finish_reason": reason, **last})
        talk.end()

    return play


def turns(*texts: str, reason: str = "stop") -> Script:
    """A chat completion in so many chunks."""

    def play(talk: Talk) -> None:
        talk.begin()
        talk.event({"index": 0, "delta": {"role": "assistant", "content": ""}})
        for text in texts:
            talk.event({"index": 0, "delta": {"content": text}})
        talk.event({"index": 0, "delta": {}, "finish_reason": reason})
        talk.end()

    return play


def vllm(server: Scripted, *, template: bool = True) -> None:
    """A vLLM whose vocabulary is the words of a text, each with the space before it, in GPT-2's alphabet.

    Token ``100 + i`` is the i-th word that was ever seen.
    """
    known: list[str] = []

    def ids(text: str) -> list[int]:
        found = []
        for written in re.findall(r" ?[^ ]+", text):
            if written not in known:
                known.append(written)
            found.append(100 + known.index(written))
        return found

    def tokenize(talk: Talk) -> None:
        if "messages" in talk.body:
            if not template:
                talk.json({"error": {"message": "no chat template"}}, 400)
                return
            text = " ".join(f"<{m['role']}> {m['content']}" for m in talk.body["messages"]) + " <assistant>"
        else:
            text = talk.body["prompt"]
        tokens = ids(text)
        strings = ["".join(_ALPHABET[byte] for byte in known[token - 100].encode()) for token in tokens]
        if talk.body.get("add_special_tokens"):
            tokens, strings = [1, *tokens], ["<s>", *strings]
        talk.json({"count": len(tokens), "tokens": tokens, "token_strs": strings, "max_model_len": 64})

    def detokenize(talk: Talk) -> None:
        text = "".join("<s>" if token == 1 else known[token - 100] for token in talk.body["tokens"])
        talk.json({"prompt": text})

    server.scripts |= {
        "/v1/models": served("org/big", owner="vllm", max_model_len=64),
        "/tokenize": tokenize,
        "/detokenize": detokenize,
    }


def _alphabet() -> list[str]:
    """GPT-2's, by its definition: a byte that cannot be printed is the next character from U+0100 on."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    letters, other = [], 0x100
    for byte in range(256):
        letters.append(chr(byte) if byte in printable else chr(other))
        other += byte not in printable
    return letters


_ALPHABET = _alphabet()
