"""Trouble with the record's file: nothing of it breaks a session."""

import errno
import os
import sqlite3

import pytest

from repl.session.record import database
from repl.session.record.store import Store
from tests.session.recording import exchange, recorded, reread, warned


async def test_file_is_private(tmp_path):
    await recorded(tmp_path / "new" / "r.db", exchange(1))
    assert (tmp_path / "new" / "r.db").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("where", ["file in the way", "read-only"])
async def test_folder_that_cannot_be_written_leaves_the_session_in_memory(
    tmp_path, store_at, monkeypatch, where
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
    store = store_at(path)
    store.record(exchange(store.next_id()))
    store.record(exchange(store.next_id()))
    heard = await warned(store)
    assert len(heard) == 1
    assert str(path) in heard[0].text
    assert "memory" in heard[0].hint
    assert [f.id for f in await store.search()] == [1, 2]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
async def test_folder_without_permission_leaves_the_session_in_memory(tmp_path, store_at):
    (tmp_path / "folder").mkdir(mode=0o500)
    store = store_at(tmp_path / "folder" / "r.db")
    assert len(await warned(store)) == 1
    assert store.next_id() == 1


async def test_damaged_file_is_moved_aside(tmp_path, store_at):
    path = tmp_path / "r.db"
    path.write_bytes(b"this is no database " * 500)
    store = store_at(path)
    store.record(exchange(store.next_id()))
    (notice,) = await warned(store)
    (aside,) = tmp_path.glob("r.damaged-*.db")
    assert aside.read_bytes().startswith(b"this is no database")
    assert str(aside) in notice.hint
    await store.close()
    assert [x.id for x in (await reread(path)).exchanges] == [1]


async def test_file_damaged_while_it_is_used_is_replaced_and_the_answer_kept(tmp_path, store_at):
    path = tmp_path / "r.db"
    store = store_at(path)
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


async def test_file_of_a_later_version_is_left_alone(tmp_path, store_at):
    path = tmp_path / "r.db"
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = path.read_bytes()
    store = store_at(path)
    store.record(exchange(store.next_id()))
    (notice,) = await warned(store)
    assert "later version" in notice.text
    assert path.read_bytes() == before


async def test_full_disk_keeps_answers_until_there_is_room(tmp_path, store_at):
    path = tmp_path / "r.db"
    store = store_at(path)
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
