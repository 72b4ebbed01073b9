import asyncio

import pytest

from repl.messages import Error, Lost, Message
from repl.params import ParamError
from repl.session.errors import InputError
from tests.session.support import config, pool_of


def history(ticket):
    return [(m.role, m.text) for m in ticket.request.history]


async def test_line_goes_to_every_chosen_model_with_one_seed(session, screen):
    a, b = session.ask("hello")
    pool = pool_of(session)
    assert [(t.request.model, t.request.prompt) for t in pool.tickets] == [("a", "hello"), ("b", "hello")]
    assert a.seed is not None
    assert a.seed == b.seed == pool.tickets[0].request.params.seed
    assert a.line == b.line == a.id
    assert session.ask("hello")[0].seed != a.seed


async def test_set_seed_is_used(session):
    session.set("seed", 7)
    assert [x.seed for x in session.ask("hello")] == [7, 7]
    with pytest.raises(ParamError):
        session.set("seed", -1)


async def test_listeners_hear_start_events_and_one_end_in_order(session, screen):
    (x,) = session.ask("@a hello")
    pool_of(session).answer(pool_of(session).tickets[0], "hi there")
    assert screen.log == [
        (what, x.id) for what in ("started", "Started", "Step", "Step", "Finished", "ended")
    ]
    assert (x.state, x.finish, x.answer.text, x.replica) == ("finished", "eos", "hi there", "a/0")
    assert x.identity.checkpoint_hash == "sha-a"
    assert x.first_token_seconds >= 0
    assert x.total_seconds >= x.first_token_seconds


async def test_ended_listener_is_told_no_more(session, screen):
    unlisten = session.listen(screen)
    unlisten()
    session.ask("@a x")
    assert screen.log.count(("started", 1)) == 1


async def test_trouble_with_the_record_waits_for_a_listener(opened, screen, tmp_path):
    (tmp_path / "file").touch()
    session = opened(path=tmp_path / "file" / "r.db")
    await session.store.flush()
    await asyncio.sleep(0)
    session.listen(screen)
    (notice,) = screen.shown
    assert "cannot be opened" in notice.text


async def test_states_follow_the_request(session):
    (x,) = session.ask("@a hello")
    pool = pool_of(session)
    assert (x.state, x.done) == ("queued", False)
    pool.tickets[0].place("a/0")
    assert x.state == "placed"


async def test_refused_request_ends_its_exchange(session, screen):
    pool_of(session).refusal = Error(kind="queue_full", message="the queue is full", hint="wait")
    (x,) = session.ask("@a hello")
    assert (x.state, x.error.kind) == ("failed", "queue_full")
    assert screen.log == [("started", x.id), ("Failed", x.id), ("ended", x.id)]


async def test_lost_answer_keeps_its_text(session):
    (x,) = session.ask("@a hello")
    pool = pool_of(session)
    pool.begin(pool.tickets[0], "half an")
    pool.tickets[0].deliver(Lost(id=1, error=Error(kind="crashed", message="a/0 died")))
    assert (x.state, x.answer.text, x.error.message) == ("lost", "half an", "a/0 died")


async def test_stop_is_for_one_model_or_all(session):
    session.ask("one")
    assert session.stop("a") == 1
    assert [x.state for x in session.exchanges] == ["stopped", "queued"]
    assert session.stop() == 1
    assert session.stop() == 0


async def test_nobody_chosen_is_an_input_error(session):
    session.comparison = []
    with pytest.raises(InputError, match="no model is chosen"):
        session.ask("x")


# -- settings --------------------------------------------------------------------------------------------


async def test_settings_lie_over_the_models_defaults(opened):
    session = opened(config(a={"defaults": {"temperature": 0.5, "top_k": 5}}))
    session.set("top_k", 9)
    params = session.effective("a")
    assert (params.temperature, params.top_k) == (0.5, 9)
    (x,) = session.ask("hello")
    assert x.requested == {"temperature": 0.5, "top_k": 9}


async def test_alone_a_model_refuses_what_its_backend_cannot_honour(opened):
    session = opened(config(a={"backend": "narrow"}))
    session.set("top_k", 5)
    (x,) = session.ask("hello")
    assert (x.state, x.error.kind) == ("failed", "bad_parameter")
    assert "top_k" in x.error.message
    assert "/set top_k default" in x.error.hint
    assert pool_of(session).tickets == []


async def test_refusal_names_the_configuration_where_the_value_comes_from_there(opened):
    narrow = {"backend": "narrow", "defaults": {"top_k": 5}, "origin": "x.yaml:3"}
    (x,) = opened(config(a=narrow)).ask("hello")
    assert "x.yaml:3" in x.error.hint


async def test_in_a_comparison_the_answer_is_marked_instead(opened):
    session = opened(config("b", a={"backend": "narrow"}, compare=("a", "b")))
    session.set("top_k", 5)
    a, b = session.ask("hello")
    assert (a.state, b.state) == ("queued", "queued")
    assert (a.params.top_k, b.params.top_k) == (0, 5)
    assert a.requested["top_k"] == 5
    assert "top_k 5" in a.notes[0]
    assert b.notes == ()


# -- conversations ---------------------------------------------------------------------------------------


@pytest.fixture
async def chat(opened):
    return opened(config(a={"options": {"chat": True}}))


async def test_chat_model_gets_the_earlier_turns_and_others_do_not(opened):
    session = opened(config("b", a={"options": {"chat": True}}, compare=("a", "b")))
    session.system = "be brief"
    pool = pool_of(session)
    session.ask("one")
    pool.answer_all("first")
    session.ask("two")
    assert history(pool.tickets[2]) == [("system", "be brief"), ("user", "one"), ("assistant", "first")]
    assert history(pool.tickets[3]) == []
    assert session.exchanges[2].system == "be brief"


async def test_only_answered_turns_count(chat):
    pool = pool_of(chat)
    chat.ask("failed")
    pool.tickets[0].deliver(Lost(id=1, error=Error(kind="crashed", message="x")))
    chat.ask("stopped")
    pool.begin(pool.tickets[1], "some text")
    chat.stop()
    chat.ask("stopped with nothing")
    chat.stop()
    chat.ask("running")
    chat.ask("now")
    assert history(pool.tickets[-1]) == [("user", "stopped"), ("assistant", "some text")]


async def test_template_off_sends_the_bare_line(chat):
    chat.ask("one")
    pool_of(chat).answer_all()
    chat.template = False
    chat.system = "x"
    (x,) = chat.ask("two")
    assert (x.request.history, x.request.template) == ((), False)


async def test_conversation_returns_to_its_replica(chat):
    pool = pool_of(chat)
    chat.ask("one")
    pool.answer(pool.tickets[0], "first", replica="a/1")
    chat.ask("two")
    assert [ticket.home for ticket in pool.tickets] == [None, "a/1"]


async def test_history_is_withdrawn_where_the_model_turns_out_to_have_no_template(opened):
    """Before a model has loaded nobody knows; the record must not claim a history that nobody read."""
    session = opened(config("a"))
    session.system = "be brief"
    pool = pool_of(session)
    loaded = dict(pool.replicas)
    pool.replicas.clear()
    (x,) = session.ask("@@one")
    assert x.request.history == (Message(role="system", text="be brief"),)
    pool.replicas.update(loaded)
    pool.answer_all()
    assert x.request.history == ()


async def test_retry_takes_the_place_of_the_answer(chat):
    pool = pool_of(chat)
    for line in ("one", "two"):
        chat.ask(line)
        pool.answer_all(f"re {line}")
    (again,) = chat.retry([chat.exchanges[1]])
    assert again.prompt == "two"
    assert history(pool.tickets[-1]) == [("user", "one"), ("assistant", "re one")]
    assert again.parent is chat.exchanges[0]
    pool.answer_all("better")
    chat.ask("three")
    assert history(pool.tickets[-1])[-1] == ("assistant", "better")


async def test_retry_keeps_the_seed_unless_told_otherwise(session):
    first = session.ask("one")
    assert [x.seed for x in session.retry(first)] == [x.seed for x in first]
    assert [x.seed for x in session.retry(first, seed=5)] == [5, 5]
    session.set("seed", 9)
    assert [x.seed for x in session.retry(first)] == [9, 9]
    assert [x.seed for x in session.retry(first, seed=5)] == [5, 5]


async def test_retry_stops_what_runs_and_stays_one_line(session):
    first = session.ask("one")
    again = session.retry(first)
    assert [x.state for x in first] == ["stopped", "stopped"]
    assert {x.line for x in again} == {again[0].id}


async def test_retry_keeps_the_pin(session):
    (x,) = session.ask("@a/1 one")
    (again,) = session.retry([x])
    assert again.pin == "a/1"
    assert pool_of(session).tickets[-1].pin == "a/1"


async def test_retry_needs_the_model(session):
    first = session.ask("one")
    del session.models["b"]
    with pytest.raises(InputError, match="not configured"):
        session.retry(first)
    assert len(session.exchanges) == 2


# -- the end ---------------------------------------------------------------------------------------------


async def test_close_stops_and_records_what_runs(opened, tmp_path):
    session = opened(config("a"), tmp_path / "r.db")
    session.ask("one")
    pool = pool_of(session)
    pool.begin(pool.tickets[0], "half an answer")
    await session.close()
    (x,) = session.exchanges
    assert (x.state, x.finish, x.answer.text) == ("stopped", "closing", "half an answer")
    again = opened(config("a"), tmp_path / "r.db")
    assert await again.resume()
    assert [(x.state, x.finish, x.answer.text) for x in again.exchanges] == [
        ("stopped", "closing", "half an answer")
    ]


async def test_an_unknown_session_is_refused_with_those_there_are(opened, tmp_path):
    session = opened(config("a"), tmp_path / "r.db")
    session.ask("one")
    await session.close()
    again = opened(config("a"), tmp_path / "r.db")
    with pytest.raises(InputError, match="no session 'nonsense'") as refused:
        await again.resume("nonsense")
    (known,) = await again.store.sessions()
    assert known in refused.value.hint
    nowhere = opened(config("a"))
    with pytest.raises(InputError) as refused:
        await nowhere.resume("nonsense")
    assert refused.value.hint == "nothing has been recorded yet"


async def test_close_does_not_wait_for_a_replica_that_hangs(opened, monkeypatch):
    session = opened(config("a"))
    monkeypatch.setattr("repl.session.underway.FAREWELL", 0.01)
    pool = pool_of(session)
    session.ask("one")
    pool.tickets[0].deaf = True
    async with asyncio.timeout(30):
        await session.close()
    assert session.exchanges[0].finish == "closing"
