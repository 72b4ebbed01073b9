"""Through the pool and the command line, as a user has it."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from repl import devices
from repl.config import Arguments, ConfigError, choose, load_config
from repl.messages import Failed, Finished, ModelSpec, Request
from repl.params import Params
from repl.pool import Coordinator, ReplicaPlan
from tests.backends.server.scripted import Scripted, Talk, words

PLAIN = "/v1/completions"


async def test_a_server_that_dies_costs_one_answer_and_no_process(server: Scripted) -> None:
    spec = ModelSpec(name="far", backend="server", path=server.url)
    plan = ReplicaPlan(name="far/0", model=spec, device="net:0", threads=1)
    begun = threading.Event()

    def cut(talk: Talk) -> None:
        talk.begin()
        talk.event({"index": 0, "text": "begun"})
        begun.wait()
        talk.hang_up()

    server.scripts[PLAIN] = cut
    request = Request(model="far", prompt="hello", params=Params(), template=False)
    async with asyncio.timeout(200), Coordinator([plan]) as pool:
        await pool.ready()
        (process,) = (status.pid for status in pool.status())
        ticket = pool.submit(request)
        begun.set()
        end = await ticket.wait()
        assert isinstance(end, Failed) and "broke off" in end.error.message
        server.scripts[PLAIN] = words("fine")
        end = await pool.submit(request).wait()
        assert isinstance(end, Finished) and end.text == "fine"
        (status,) = pool.status()
        assert (status.pid, status.restarts, status.device) == (process, 0, "net:0")


def test_a_line_is_answered_and_the_key_is_nowhere(
    server: Scripted, own_folders: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAR_KEY", "sk-very-secret")
    server.scripts[PLAIN] = lambda talk: words("key: ", talk.body["prompt"])(talk)
    file = own_folders / "far.yaml"
    file.write_text(
        f"models: {{far: {{path: '{server.url}', template: off, options: {{api_key: FAR_KEY}}}}}}"
    )
    done = subprocess.run(
        [sys.executable, "-m", "repl", "--config", str(file)],
        input="hello\n",
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert (done.returncode, done.stdout) == (0, "key: hello\n"), done.stderr
    assert server.asked[-1][2]["Authorization"] == "Bearer sk-very-secret"
    kept = [path for path in own_folders.rglob("*") if path.is_file()]
    assert any(b"FAR_KEY" in path.read_bytes() for path in kept)  # the record has the answer ...
    assert not any(b"sk-very-secret" in path.read_bytes() for path in kept)


def test_an_address_is_a_model(tmp_path: Path) -> None:
    urls = ("http://127.0.0.1:8000/v1", "https://far.example/v1", "big=http://127.0.0.1:8000/v1")
    config = choose(Arguments(models=urls), base=tmp_path)
    assert [(m.name, m.backend, m.path) for m in config.models.values()] == [
        ("127.0.0.1-8000", "server", "http://127.0.0.1:8000/v1"),
        ("far.example", "server", "https://far.example/v1"),
        ("big", "server", "http://127.0.0.1:8000/v1"),
    ]
    for wrong in ("http://me:hunter2@127.0.0.1/v1", "http://h/v1?key=hunter2", "http://[hunter2/v1"):
        with pytest.raises(ConfigError, match="address") as caught:
            choose(Arguments(models=(wrong,)), base=tmp_path)
        assert "hunter2" not in str(caught.value)


def test_a_key_in_the_configuration_is_refused_unrepeated(tmp_path: Path) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("models:\n  a:\n    path: http://h/v1\n    options: {api_key: sk-secret}\n")
    with pytest.raises(ConfigError, match=r"my.yaml:4: .*name of an environment variable") as caught:
        load_config(file)
    assert "sk-secret" not in str(caught.value)


def test_a_model_on_a_server_takes_no_device(tmp_path: Path, gpus: object) -> None:
    gpus("GPU-a", "GPU-b")  # type: ignore[operator]
    file = tmp_path / "my.yaml"
    file.write_text(
        "models: {far: {path: 'http://h/v1'}, two: {path: 'http://h/v1', replicas: 2}, here: {backend: echo}}"
    )
    plans = devices.plan(load_config(file))
    assert [(p.name, p.device, p.cores) for p in plans] == [
        ("far/0", "net:0", ()),
        ("two/0", "net:1", ()),
        ("two/1", "net:2", ()),
        ("here/0", "cuda:0", ()),
        ("here/1", "cuda:1", ()),
    ]
    more = devices.place(load_config(file).models["far"], "cuda:1", [])
    assert (more.name, more.device) == ("far/0", "net:0")
