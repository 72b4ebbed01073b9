"""Files of earlier versions go on; one that cannot be brought up to date stays as it was."""

import sqlite3

import msgspec

from repl.session.record import rows, schema
from repl.session.record.database import Database
from tests.session.recording import exchange, recorded


async def test_file_of_the_first_release_is_read_on(tmp_path, monkeypatch, store_at):
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
    store = store_at(path)
    (old,) = (await store.resume()).exchanges
    assert (old.prompt, old.request.task, old.shown, old.origin) == ("of old", "generate", True, None)
    store.record(exchange(2, prompt="of old and new"))
    assert [f.id for f in await store.search("of old")] == [1, 2]


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
