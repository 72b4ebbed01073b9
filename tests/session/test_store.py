"""The record: what comes back, and what trouble with the file does not break."""

import asyncio
import errno
import os
import sqlite3
import subprocess
import sys
import textwrap
from datetime import UTC, datetime

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
    Request,
    Rewound,
    Started,
    Stopped,
)
from repl.params import Params
from repl.pool import Timings
from repl.readings import Filled
from repl.session import database, rows, schema
from repl.session.answer import Answer
from repl.session.database import Database
from repl.session.exchange import Exchange, Identity, Origin
from repl.session.store import State, Store, default_path
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


@pytest.fixture
async def opened():
    stores = []

    def make(path):
        stores.append(Store(path))
        return stores[-1]

    yield make
    for store in stores:
        await store.close()


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


# -- what comes back -------------------------------------------------------------------------------------


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
    rich.feed(Finished(id=1, reason="stop", text="é", hypotheses=(best,), batch=3, padded=17, reading=filled))
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
    for name in (
        "id",
        "line",
        "identity",
        "prompt",
        "request",
        "requested",
        "created",
        "conversation",
        "pin",
        "origin",
        "device",
        "shown",
    ):
        assert getattr(after, name) == getattr(before, name), name
    for name in (
        "marks",
        "notes",
        "state",
        "finish",
        "error",
        "replica",
        "first_token_seconds",
        "total_seconds",
    ):
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


async def test_session_by_its_id_and_unknown_ones(tmp_path, opened):
    await recorded(tmp_path / "r.db", exchange(1))
    first = (await reread(tmp_path / "r.db")).id
    await recorded(tmp_path / "r.db", exchange(2))
    store = opened(tmp_path / "r.db")
    assert await store.resume("nonsense") is None
    assert [x.id for x in (await store.resume(first)).exchanges] == [1]
    latest = (await store.resume()).id
    assert await store.sessions() == [latest, first]
    assert await store.sessions(1) == [latest]


async def test_nothing_to_resume(opened):
    assert await opened(None).resume() is None


async def test_lines_are_kept_as_typed_over_sessions(tmp_path, opened):
    store = opened(tmp_path / "r.db")
    for line in ("one", "two\nlines", "bad \udcff"):
        store.add_line(line)
    await store.close()
    later = opened(tmp_path / "r.db")
    assert (await later.lines())[:2] == ["one", "two\nlines"]
    assert "\udcff" not in (await later.lines())[2]
    assert len(await later.lines(limit=2)) == 2


async def test_search(tmp_path, opened):
    store = opened(tmp_path / "r.db")
    store.record(exchange(1, prompt="The With statement"))
    store.record(exchange(2, text="50 % done"))
    store.record(exchange(3, text="a_b\\c", terminal=Stopped(id=1)))
    assert [f.id for f in await store.search("with")] == [1]
    assert [f.id for f in await store.search("%")] == [2]
    assert [f.id for f in await store.search("a_b\\c")] == [3]
    assert [f.id for f in await store.search("axb")] == []
    assert [f.id for f in await store.search(limit=2)] == [2, 3]
    assert (await store.exchange(2)).answer.text == "50 % done"
    assert await store.exchange(9) is None


async def test_search_finds_parts_of_words_in_any_script(tmp_path, opened):
    store = opened(tmp_path / "r.db")
    store.record(exchange(1, prompt="Überraschung"))
    store.record(exchange(2, prompt='say "AND" NOT*'))
    store.record(exchange(3, text="どこへ行くのか"))
    store.record(exchange(4, request={"task": "score", "target": "a scored sentence"}))
    assert [f.id for f in await store.search("rraschu")] == [1]
    assert [f.id for f in await store.search('"and" not*')] == [2]
    assert [f.id for f in await store.search("へ行く")] == [3]
    assert [f.id for f in await store.search("scored sent")] == [4]


async def test_what_probes_ask_for_themselves_is_recorded_but_not_listed(tmp_path, opened):
    await recorded(tmp_path / "r.db", exchange(1), exchange(2, shown=False))
    store = opened(tmp_path / "r.db")
    assert [f.id for f in await store.search()] == [1]
    assert [x.id for x in (await store.resume()).exchanges] == [1]
    assert (await store.exchange(2)).id == 2


async def test_comparisons_and_notes_are_kept(tmp_path, opened):
    store = opened(tmp_path / "r.db")
    store.record(exchange(1))
    store.record(exchange(2))
    first = rows.Divergence(pos=0, kl=0.5, js=0.1, tv=0.3, argmax_eq=True)
    bound = rows.Divergence(pos=1, kl=0.25, js=None, tv=None, argmax_eq=None, kl_kind="lower_bound")
    store.record_comparison(1, 2, [first, first_again(first)])
    store.record_comparison(1, 2, [first, bound])
    store.annotate(1, "a good one", vote=1)
    store.annotate(1, "on reflection, no", vote=-1)
    notes = await store.notes(1)
    assert [(vote, text) for _, vote, text in notes] == [(1, "a good one"), (-1, "on reflection, no")]
    connection = sqlite3.connect(tmp_path / "r.db")
    assert connection.execute("SELECT * FROM cmp ORDER BY pos").fetchall() == [
        (1, 2, 0, 0.5, 0.1, 0.3, 1, "full"),
        (1, 2, 1, 0.25, None, None, None, "lower_bound"),
    ]
    connection.close()


def first_again(row):
    return msgspec.structs.replace(row, pos=7)


async def test_file_of_the_first_release_is_read_on(tmp_path, monkeypatch, opened):
    """Its rows come back, its texts are found, and new ones go beside them."""
    path = tmp_path / "r.db"
    with monkeypatch.context() as patch:
        patch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:1])
        patch.setattr(schema, "SEARCH", ())
        columns = rows.COLUMNS[: rows.COLUMNS.index("task")]
        places = ", ".join("?" * len(columns))
        patch.setattr(rows, "_INSERT", f"INSERT INTO gen ({', '.join(columns)}) VALUES ({places})")
        full = msgspec.structs.astuple
        patch.setattr(msgspec.structs, "astuple", lambda row: full(row)[: len(columns)])
        await recorded(path, exchange(1, prompt="of old"))
    store = opened(path)
    (old,) = (await store.resume()).exchanges
    assert (old.prompt, old.request.task, old.shown, old.origin) == ("of old", "generate", True, None)
    store.record(exchange(2, prompt="of old and new"))
    assert [f.id for f in await store.search("of old")] == [1, 2]


async def test_record_has_the_documented_queries(tmp_path):
    """What a notebook would ask: surprisal of each answer, and the run that made it."""
    answer = Answer()
    for index, lp in enumerate((-1.0, -0.5)):
        answer.feed(step(index, "x", raw_lp=lp))
    answer.feed(Finished(id=1, reason="eos", text="xx"))
    await recorded(tmp_path / "r.db", exchange(1, answer=answer))
    connection = sqlite3.connect(tmp_path / "r.db")
    query = "SELECT sum_raw_nats, n_tok, n_bytes, t_first, model.name, host FROM gen"
    query += " JOIN model USING (model_id) JOIN run USING (run_id)"
    assert connection.execute(query).fetchone()[:5] == (-1.5, 2, 2, 0.5, "m")
    assert connection.execute("SELECT sum(raw_lp) FROM tok WHERE gen_id = 1").fetchone() == (-1.5,)
    assert connection.execute("PRAGMA user_version").fetchone() == (len(schema.MIGRATIONS),)
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()


async def test_file_is_private(tmp_path):
    await recorded(tmp_path / "new" / "r.db", exchange(1))
    assert (tmp_path / "new" / "r.db").stat().st_mode & 0o077 == 0


def test_default_path_is_in_the_data_folder(own_folders):
    assert default_path() == own_folders / "data" / "multigpu-repl" / "records.db"


# -- numbers ---------------------------------------------------------------------------------------------


async def test_numbers_go_on_where_the_last_session_stopped(tmp_path):
    seen = []
    for _ in range(3):
        store = Store(tmp_path / "r.db")
        seen += [store.next_id() for _ in range(100)]
        await store.close()
    assert seen == list(range(1, 301))


async def test_two_sessions_at_once_share_a_file(tmp_path, opened):
    a, b = opened(tmp_path / "r.db"), opened(tmp_path / "r.db")
    numbers = {a: [], b: []}
    for _ in range(150):
        for store in (a, b):
            numbers[store].append(store.next_id())
            store.record(exchange(numbers[store][-1], prompt=f"{len(numbers)}"))
    assert not set(numbers[a]) & set(numbers[b])
    await a.close()
    await b.close()
    connection = sqlite3.connect(tmp_path / "r.db")
    assert connection.execute("SELECT count(*) FROM gen").fetchone() == (300,)
    assert connection.execute("SELECT count(DISTINCT session_id) FROM gen").fetchone() == (2,)
    connection.close()


async def test_number_taken_meanwhile_gets_another(tmp_path):
    await recorded(tmp_path / "r.db", exchange(1, prompt="theirs"))
    await recorded(tmp_path / "r.db", exchange(1, prompt="ours"))
    connection = sqlite3.connect(tmp_path / "r.db")
    assert connection.execute("SELECT gen_id FROM gen ORDER BY gen_id").fetchall() == [(1,), (65,)]
    assert connection.execute("SELECT DISTINCT gen_id FROM tok ORDER BY gen_id").fetchall() == [(1,), (65,)]
    connection.close()


def test_processes_that_create_the_file_together_do_not_clash(tmp_path):
    code = "import asyncio, sys; from repl.session.store import Store; from pathlib import Path\n"
    code += (
        "async def main():\n store = Store(Path(sys.argv[1])); heard = []; store.warn_with(heard.append)\n"
    )
    code += " store.add_line('x'); print(store.next_id()); await store.close(); assert not heard, heard\n"
    code += "asyncio.run(main())"
    started = [
        subprocess.Popen([sys.executable, "-c", code, tmp_path / "r.db"], stdout=subprocess.PIPE)
        for _ in range(3)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in started]
    assert [process.returncode for process in started] == [0, 0, 0]
    assert all(outputs)
    connection = sqlite3.connect(tmp_path / "r.db")
    assert connection.execute("SELECT count(*) FROM line").fetchone() == (3,)
    connection.close()


# -- trouble ---------------------------------------------------------------------------------------------


def test_crash_loses_at_most_the_running_answer(tmp_path):
    code = """
        import asyncio, os, sys
        from pathlib import Path
        from repl.session.session import Session
        from repl.session.store import Store
        from tests.session.support import Pool, Screen, SUPPORT, config
        from backends import registry
        from types import SimpleNamespace

        registry.find = lambda name: SimpleNamespace(parameters=SUPPORT[name])

        async def main():
            chosen = config("a")
            pool = Pool(list(chosen.models.values()))
            session = Session(chosen, pool, Store(Path(sys.argv[1])))
            for line in ("one", "two"):
                await session.run(line, Screen())
                pool.answer_all(f"re {line}")
            await session.run("three", Screen())
            pool.begin(pool.tickets[-1], "half an")
            await session.store.flush()
            os._exit(9)

        asyncio.run(main())
    """
    process = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), tmp_path / "r.db"], timeout=60, check=False
    )
    assert process.returncode == 9
    store_lines, saved = asyncio.run(_after_crash(tmp_path / "r.db"))
    assert [(x.prompt, x.answer.text) for x in saved.exchanges] == [("one", "re one"), ("two", "re two")]
    assert store_lines == ["one", "two", "three"]


async def _after_crash(path):
    store = Store(path)
    lines, saved = await store.lines(), await store.resume()
    await store.close()
    return lines, saved


async def warned(store):
    heard = []
    store.warn_with(heard.append)
    await store.flush()
    return heard


@pytest.mark.parametrize("where", ["file in the way", "read-only"])
async def test_folder_that_cannot_be_written_leaves_the_session_in_memory(
    tmp_path, opened, monkeypatch, where
):
    path = tmp_path / "folder" / "r.db"
    if where == "file in the way":
        (tmp_path / "folder").touch()
    else:
        real = os.open

        def refuse(name, *rest, **more):
            if str(name).endswith("r.db"):
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(name))
            return real(name, *rest, **more)

        monkeypatch.setattr(database.os, "open", refuse)
    store = opened(path)
    store.record(exchange(store.next_id()))
    store.record(exchange(store.next_id()))
    heard = await warned(store)
    assert len(heard) == 1
    assert str(path) in heard[0].text
    assert "memory" in heard[0].hint
    assert [f.id for f in await store.search()] == [1, 2]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_folder_without_permission_leaves_the_session_in_memory(tmp_path, opened):
    (tmp_path / "folder").mkdir(mode=0o500)
    store = opened(tmp_path / "folder" / "r.db")
    assert len(await warned(store)) == 1
    assert store.next_id() == 1


async def test_damaged_file_is_moved_aside(tmp_path, opened):
    path = tmp_path / "r.db"
    path.write_bytes(b"this is no database " * 500)
    store = opened(path)
    store.record(exchange(store.next_id()))
    (notice,) = await warned(store)
    (aside,) = tmp_path.glob("r.damaged-*.db")
    assert aside.read_bytes().startswith(b"this is no database")
    assert str(aside) in notice.hint
    await store.close()
    assert [x.id for x in (await reread(path)).exchanges] == [1]


async def test_file_damaged_while_it_is_used_is_replaced_and_the_answer_kept(tmp_path, opened):
    path = tmp_path / "r.db"
    store = opened(path)
    store.record(exchange(store.next_id(), text="word " * 5000))
    await store.flush()
    store._submit(lambda d: d.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()).result()
    store._submit(lambda d: d.connection.execute("PRAGMA cache_size = 0").fetchall()).result()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (size - 4096))
    store.record(exchange(store.next_id(), prompt="kept"))
    heard = await warned(store)
    assert any("damaged" in notice.text for notice in heard)
    await store.close()
    assert [(x.id, x.prompt) for x in (await reread(path)).exchanges] == [(2, "kept")]


async def test_file_of_a_later_version_is_left_alone(tmp_path, opened):
    path = tmp_path / "r.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    store = opened(path)
    store.record(exchange(store.next_id()))
    (notice,) = await warned(store)
    assert "later version" in notice.text
    assert path.read_bytes() == before


async def test_full_disk_keeps_answers_until_there_is_room(tmp_path, opened):
    path = tmp_path / "r.db"
    store = opened(path)
    store.record(exchange(store.next_id()))
    await store.flush()

    def limit(pages):
        return store._submit(
            lambda d: d.connection.execute(f"PRAGMA max_page_count = {pages}").fetchone()
        ).result()

    limit(1)  # SQLite makes that the size it has
    heard = []
    store.warn_with(heard.append)
    for _ in range(3):
        store.record(exchange(store.next_id(), text="word " * 3000))
    await store.flush()
    assert len(heard) == 1
    assert "database or disk is full" in heard[0].text
    assert [f.id for f in await store.search()] == [1]
    limit(100_000)
    store.add_line("room again")
    await store.flush()
    assert [f.id for f in await store.search()] == [1, 2, 3, 4]
    assert "again" in heard[1].text
    assert len(heard) == 2


async def test_full_disk_to_the_end_says_what_is_lost(tmp_path):
    store = Store(tmp_path / "r.db")
    store.record(exchange(store.next_id()))
    store._submit(lambda d: d.connection.execute("PRAGMA max_page_count = 1").fetchone()).result()
    store.record(exchange(store.next_id(), text="word " * 3000))
    heard = []
    store.warn_with(heard.append)
    await store.close()
    assert "1 entries could not be written" in heard[-1].text


async def test_what_cannot_be_stored_does_not_block_the_rest(tmp_path):
    store = Store(tmp_path / "r.db")
    heard = []
    store.warn_with(heard.append)
    store.record(exchange(1, marks=("lone \ud800",)))
    store.record(exchange(2))
    await store.close()
    assert "could not be recorded" in heard[0].text
    assert [x.id for x in (await reread(tmp_path / "r.db")).exchanges] == [2]


async def test_fault_in_one_entry_is_said_and_the_rest_goes_on(tmp_path):
    store = Store(tmp_path / "r.db")
    heard = []
    store.warn_with(heard.append)
    store.record(exchange(1, created="not a date"))
    store.record(exchange(2))
    await store.close()
    assert "AttributeError" in heard[0].text
    assert [x.id for x in (await reread(tmp_path / "r.db")).exchanges] == [2]


async def test_closed_record_refuses(tmp_path):
    store = Store(tmp_path / "r.db")
    await store.close()
    await store.close()
    with pytest.raises(RuntimeError, match="closed"):
        store.add_line("x")


def test_failed_migration_leaves_the_file_as_it_was(tmp_path, monkeypatch):
    heard = []
    first = Database(tmp_path / "r.db", heard.append)
    first.connection.execute("UPDATE counter SET value = 41")
    first.close()
    version = len(schema.MIGRATIONS)
    clash = "INSERT INTO counter SELECT * FROM counter WHERE value = 41"
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, ("CREATE TABLE extra (x)", clash)))
    broken = Database(tmp_path / "r.db", heard.append)
    assert broken.path is None
    broken.close()
    connection = sqlite3.connect(tmp_path / "r.db")
    assert connection.execute("PRAGMA user_version").fetchone() == (version,)
    assert connection.execute("SELECT name FROM sqlite_master WHERE name = 'extra'").fetchone() is None
    connection.close()


def test_older_file_is_migrated_and_keeps_its_rows(tmp_path, monkeypatch):
    heard = []
    first = Database(tmp_path / "r.db", heard.append)
    first.connection.execute("UPDATE counter SET value = 41")
    first.close()
    monkeypatch.setattr(
        schema, "MIGRATIONS", (*schema.MIGRATIONS, ("ALTER TABLE counter ADD COLUMN why TEXT",))
    )
    second = Database(tmp_path / "r.db", heard.append)
    assert second.connection.execute("SELECT * FROM counter").fetchall() == [("gen", 41, None)]
    second.close()
    assert heard == []
