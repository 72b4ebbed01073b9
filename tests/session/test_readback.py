"""What comes back from the record: every field of an answer, and a session with its state."""

import sqlite3

import msgspec
import pytest

from repl.messages import (
    Error,
    Failed,
    Finished,
    Hypothesis,
    Lost,
    Message,
    ModelSpec,
    Rewound,
    Started,
    Stopped,
)
from repl.params import Params
from repl.readings import Filled
from repl.session.answer import Answer
from repl.session.exchange import Identity, Origin
from repl.session.record.store import State, Store
from tests.session.recording import exchange, recorded, reread
from tests.session.support import step


async def test_exchange_comes_back_as_it_was(tmp_path):
    rich = Answer()
    rich.feed(Started(id=1, prompt_ids=(), prompt_text="ask", reused=3, prompt_pieces=(b"a", b"\xff")))
    rich.feed(
        step(
            0, "é", raw_lp=-0.5, proc_lp=-0.25, search_lp=-1.0, rank=0, entropy=1.5,
            top=((100, -0.5, b"\xc3\xa9"), (7, float("-inf"), b"\xff")), forced=True,
        )
    )  # fmt: skip
    rich.feed(step(1, "x"))
    rich.feed(Rewound(id=1, keep=1))
    unlikely = float("-inf")
    best = Hypothesis(
        text="é",
        tokens=(100, 2),
        score=-0.7,
        token_scores=(-1.0, unlikely),
        alignment=((0, 0),),
        attention=((1.0,),),
    )
    filled = Filled(gaps=(((5, unlikely, b"\xff"),),), texts=("t",))
    rich.feed(
        Finished(
            id=1,
            reason="stop",
            text="é",
            hypotheses=(best,),
            batch=3,
            padded=17,
            reading=filled,
            drafted=9,
            accepted=4,
        )
    )
    params = Params(temperature=0.5, stop=("\n", ","), seed=0, max_new=7, truncate="left")
    history = (
        Message(role="system", text="s"),
        Message(role="user", text="u"),
        Message(role="assistant", text="a"),
    )
    spec = ModelSpec(name="m", backend="full", path="/m", trust=("sha256:1",), options={"k": [1]})
    before = exchange(
        4,
        answer=rich,
        request={
            "params": params,
            "history": history,
            "prefix": "p",
            "sample": 2,
            "lane": "exact",
            "template": False,
            "task": "fill",
            "target": "a target",
            "target_ids": (1, 70_000),
            "prefix_ids": (3,),
            "opening": "none",
            "closing": True,
        },
        origin=Origin(2, 5, "branch"),
        device="cuda:1",
        identity=Identity(spec=spec, dtype="float32", checkpoint_hash="h", vocab_fingerprint="v"),
        pin="cuda:1",
        marks=("a mark",),
    )
    await recorded(tmp_path / "r.db", before)
    (after,) = (await reread(tmp_path / "r.db")).exchanges
    without = msgspec.structs.replace
    kept = "id line identity prompt request requested created conversation pin origin device shown marks"
    derived = "notes state finish error replica first_token_seconds total_seconds"
    for name in f"{kept} {derived}".split():
        assert getattr(after, name) == getattr(before, name), name
    assert after.answer.steps == [without(s, id=0) for s in rich.steps]
    assert (after.answer.text, after.answer.rewrites) == ("é", 1)
    assert after.answer.terminal == without(rich.terminal, id=0)
    assert after.answer.started == without(rich.started, id=0)


@pytest.mark.parametrize(
    "terminal",
    [
        Stopped(id=0),
        Stopped(id=0, reason="deadline"),
        Failed(id=0, error=Error(kind="nan_logits", message="m", hint="h", detail="d")),
        Lost(id=0, error=Error(kind="crashed", message="m")),
        Finished(id=0, reason="length", text="part of"),
    ],
)
async def test_every_end_comes_back_with_its_text(tmp_path, terminal):
    await recorded(tmp_path / "r.db", exchange(1, text="part of", terminal=terminal))
    (after,) = (await reread(tmp_path / "r.db")).exchanges
    assert (after.answer.terminal, after.answer.text) == (terminal, "part of")


async def test_exchange_that_never_ran_comes_back(tmp_path):
    answer = Answer()
    answer.feed(Failed(id=0, error=Error(kind="queue_full", message="full")))
    await recorded(tmp_path / "r.db", exchange(1, answer=answer, timings=None, replica=None))
    (after,) = (await reread(tmp_path / "r.db")).exchanges
    assert (after.state, after.answer.started, after.total_seconds) == ("failed", None, None)


async def test_conversation_is_stored_once_and_linked(tmp_path):
    first = exchange(1, prompt="one", text="re one")
    turns = (Message(role="user", text="one"), Message(role="assistant", text="re one"))
    second = exchange(2, prompt="two", request={"history": turns}, parent=first)
    await recorded(tmp_path / "r.db", first, second)
    saved = await reread(tmp_path / "r.db")
    assert saved.exchanges[1].parent is saved.exchanges[0]
    assert saved.exchanges[1].request.history == turns
    with sqlite3.connect(tmp_path / "r.db") as connection:
        assert connection.execute("SELECT count(*) FROM node").fetchone() == (4,)
        assert connection.execute("SELECT count(*) FROM model").fetchone() == (1,)
    connection.close()


async def test_parent_that_was_never_recorded_is_bridged(tmp_path):
    first = exchange(1)
    unrecorded = exchange(2, parent=first)
    await recorded(tmp_path / "r.db", first, exchange(3, parent=unrecorded))
    one, three = (await reread(tmp_path / "r.db")).exchanges
    assert three.parent is one


async def test_last_session_comes_back_with_its_state_and_goes_on(tmp_path):
    path = tmp_path / "r.db"
    await recorded(path, exchange(1, prompt="older session"))
    store = Store(path)
    state = State(settings={"stop": ("x",), "seed": None, "temperature": 1.0}, comparison=("m",), system="s")
    store.record(exchange(2))
    store.save(state)
    await store.close()
    again = Store(path)
    saved = await again.resume()
    assert ([x.id for x in saved.exchanges], saved.state) == ([2], state)
    again.record(exchange(3))
    await again.close()
    assert [x.id for x in (await reread(path)).exchanges] == [2, 3]


async def test_session_by_its_id_and_unknown_ones(tmp_path, store_at):
    await recorded(tmp_path / "r.db", exchange(1))
    first = (await reread(tmp_path / "r.db")).id
    await recorded(tmp_path / "r.db", exchange(2))
    store = store_at(tmp_path / "r.db")
    assert await store.resume("nonsense") is None
    assert [x.id for x in (await store.resume(first)).exchanges] == [1]
    latest = (await store.resume()).id
    assert await store.sessions() == [latest, first]
    assert await store.sessions(1) == [latest]


async def test_nothing_to_resume(store_at):
    assert await store_at(None).resume() is None
