"""Exchanges as a session leaves them, and what a record makes of them."""

from datetime import UTC, datetime

from repl.messages import Finished, ModelSpec, Request, Started
from repl.params import Params
from repl.pool import Timings
from repl.session.answer import Answer
from repl.session.exchange import Exchange, Identity
from repl.session.record.store import Store
from tests.session.support import step


def exchange(number, prompt="ask", text="an answer", terminal=None, **fields):
    answer = Answer()
    answer.feed(
        Started(id=1, prompt_ids=(5, 70_000), prompt_text=f"<s>{prompt}", truncated=2, notes=("a note",))
    )
    for index, word in enumerate(text.split()):
        answer.feed(step(index, (" " if index else "") + word))
    answer.feed(terminal or Finished(id=1, reason="eos", text=text))
    request = {"model": "m", "prompt": prompt, "params": Params(seed=2**63 - 1)} | fields.pop("request", {})
    return Exchange(
        **{
            "id": number,
            "line": number,
            "identity": Identity(spec=ModelSpec(name="m", backend="full", path="/m"), dtype="float32"),
            "prompt": prompt,
            "request": Request(**request),
            "requested": {"temperature": 0.5, "stop": ("\n",), "seed": None},
            "created": datetime(2026, 1, 31, 14, 32, 7, 5, tzinfo=UTC),
            "conversation": "c1",
            "answer": answer,
            "replica": "m/0",
            "timings": Timings(submitted=10.0, placed=10.25, first=10.5, ended=12.0),
        }
        | fields
    )


async def recorded(path, *exchanges):
    store = Store(path)
    for one in exchanges:
        store.record(one)
    await store.close()


async def reread(path):
    store = Store(path)
    saved = await store.resume()
    await store.close()
    return saved


async def warned(store):
    heard = []
    store.warn_with(heard.append)
    await store.flush()
    return heard
