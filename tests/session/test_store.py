"""What a session writes into the record, beside other sessions and over a crash."""

import asyncio
import sqlite3
import subprocess
import sys
import textwrap

import msgspec
import pytest

from repl.messages import (
    Finished,
)
from repl.session.answer import Answer
from repl.session.record import rows, schema
from repl.session.record.store import Store, default_path
from tests.session.recording import exchange, recorded, reread
from tests.session.support import step


def test_default_path_is_in_the_data_folder(own_folders):
    assert default_path() == own_folders / "data" / "multigpu-repl" / "records.db"


async def test_lines_are_kept_as_typed_over_sessions(tmp_path, store_at):
    store = store_at(tmp_path / "r.db")
    for line in ("one", "two\nlines", "bad \udcff"):
        store.add_line(line)
    await store.close()
    later = store_at(tmp_path / "r.db")
    assert (await later.lines())[:2] == ["one", "two\nlines"]
    assert "\udcff" not in (await later.lines())[2]
    assert len(await later.lines(limit=2)) == 2


async def test_comparisons_and_notes_are_kept(tmp_path, store_at):
    store = store_at(tmp_path / "r.db")
    store.record(exchange(1))
    store.record(exchange(2))
    first = rows.Divergence(pos=0, kl=0.5, js=0.1, tv=0.3, argmax_eq=True)
    bound = rows.Divergence(pos=1, kl=0.25, js=None, tv=None, argmax_eq=None, kl_kind="lower_bound")
    store.record_comparison(1, 2, [first, msgspec.structs.replace(first, pos=7)])
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


async def test_numbers_go_on_where_the_last_session_stopped(tmp_path):
    seen = []
    for _ in range(3):
        store = Store(tmp_path / "r.db")
        seen += [store.next_id() for _ in range(100)]
        await store.close()
    assert seen == list(range(1, 301))


async def test_two_sessions_at_once_share_a_file(tmp_path, store_at):
    a, b = store_at(tmp_path / "r.db"), store_at(tmp_path / "r.db")
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
    code = "import asyncio, sys; from repl.session.record.store import Store; from pathlib import Path\n"
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


def test_crash_loses_at_most_the_running_answer(tmp_path):
    code = """
        import asyncio, os, sys
        from pathlib import Path
        from repl.session.session import Session
        from repl.session.record.store import Store
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
