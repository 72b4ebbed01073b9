"""The record: every line typed and every answer, in one SQLite file that outlives the session.

A thread of its own does all reading and writing, so that a slow disk never holds up the event loop. Several
sessions may use one file at once. What goes wrong is told through ``warn_with``; nothing here raises for it.
"""

import asyncio
import contextlib
import os
import platform
import secrets
import sqlite3
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

import msgspec

from repl.params import Value
from repl.paths import data_dir
from repl.session.exchange import Exchange
from repl.session.frontend import Notice
from repl.session.record import readback, rows
from repl.session.record.database import Database
from repl.session.record.finding import Found, Query, find

T = TypeVar("T")

RESERVED = 64
"""Exchange numbers taken from the file at a time; those left over at the end are given back."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What a session is set to, beside its exchanges."""

    settings: dict[str, Value] = {}
    comparison: tuple[str, ...] = ()
    system: str = ""
    template: bool | None = None
    fresh: tuple[str, ...] = ()
    """Models whose conversation has not begun."""


class Saved(msgspec.Struct, frozen=True):
    """A recorded session."""

    id: str
    state: State
    exchanges: list[Exchange]


def default_path() -> Path:
    """Where the record is kept."""
    return data_dir() / "records.db"


class Store:
    """The record as one run of the program uses it. Belongs to one event loop."""

    def __init__(self, path: Path | None) -> None:
        """Begin to open the file, in the background; None keeps everything in memory only."""
        now = datetime.now(UTC)
        self._run = rows.Run(
            id=_unique(now),
            host=platform.node(),
            pid=os.getpid(),
            argv=rows.to_json(sys.argv),
            started=now.isoformat(),
        )
        self._session = self._run.id
        self._ids: deque[int] = deque()
        self._last_id = 0
        self._closed = False
        self._untold: list[Notice] = []
        self._teller: Callable[[Notice], None] | None = None
        self._telling = threading.Lock()
        self._jobs: SimpleQueue[tuple[Callable[[Database], Any], Future[Any]] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, args=(path,), name="record", daemon=True)
        self._reservation: Future[None] = self._submit(self._reserve)
        self._thread.start()

    def warn_with(self, teller: Callable[[Notice], None]) -> None:
        """Tell ``teller`` of trouble, what there was already included, on the running event loop."""
        loop = asyncio.get_running_loop()

        def pass_on(notice: Notice) -> None:
            with contextlib.suppress(RuntimeError):  # The loop has ended.
                loop.call_soon_threadsafe(teller, notice)

        with self._telling:
            self._teller = pass_on
            untold, self._untold = self._untold, []
        for notice in untold:
            pass_on(notice)

    # -- writing -------------------------------------------------------------------------------------------

    def next_id(self) -> int:
        """A number no exchange of this file has. Waits for the file only at the start or in a burst."""
        if len(self._ids) < RESERVED // 2 and self._reservation.done():
            self._reservation = self._submit(self._reserve)
        if not self._ids:
            self._reservation.result()
        return self._ids.popleft()

    def add_line(self, line: str) -> None:
        """Keep a line as typed, for the input history."""
        typed = datetime.now(UTC).isoformat()
        text = line.encode("utf-8", "surrogatepass").decode("utf-8", "replace")

        def add(connection: sqlite3.Connection) -> None:
            place = self._begin(connection)
            connection.execute(
                "INSERT INTO line (run_id, typed, text) VALUES (?,?,?)", (place.run, typed, text)
            )

        self._submit(lambda database: database.write(add))

    def record(self, exchange: Exchange) -> None:
        """Write an exchange that has ended."""

        def insert(connection: sqlite3.Connection) -> None:
            place = self._begin(connection)
            try:
                rows.insert(connection, place, exchange, exchange.id)
            except sqlite3.IntegrityError:
                # Numbered while the file could not be reached; another session has taken the number since.
                ((number,),) = connection.execute(
                    "UPDATE counter SET value = max(value, (SELECT max(gen_id) FROM gen)) + 1"
                    " WHERE name = 'gen' RETURNING value"
                ).fetchall()
                rows.insert(connection, place, exchange, number)

        self._submit(lambda database: database.write(insert))

    def record_comparison(self, a: int, b: int, positions: Sequence[rows.Divergence]) -> None:
        """Write how far exchange ``b``'s distributions are from those of ``a``."""
        self._submit(lambda database: database.write(lambda c: rows.insert_comparison(c, a, b, positions)))

    def annotate(self, number: int, text: str, vote: int = 0) -> None:
        """Keep what a person thinks of an exchange; ``vote`` is -1, 0 or 1."""
        written = datetime.now(UTC).isoformat()

        def insert(connection: sqlite3.Connection) -> None:
            sql = "INSERT INTO note (gen_id, written, vote, text) VALUES (?,?,?,?)"
            connection.execute(sql, (number, written, vote, text))

        self._submit(lambda database: database.write(insert))

    async def notes(self, number: int) -> list[tuple[str, int, str]]:
        """(when, vote, text) of each note on an exchange, oldest first."""
        sql = "SELECT written, vote, text FROM note WHERE gen_id = ? ORDER BY note_id"
        return await self._read(lambda connection: connection.execute(sql, (number,)).fetchall(), [])

    def save(self, state: State) -> None:
        """Remember what the session is set to."""
        encoded = rows.to_json(state)

        def update(connection: sqlite3.Connection) -> None:
            place = self._begin(connection)
            connection.execute("UPDATE session SET state = ? WHERE session_id = ?", (encoded, place.session))

        self._submit(lambda database: database.write(update))

    async def flush(self) -> None:
        """Wait until everything given so far is written, or known to be unwritable for now."""
        await asyncio.wrap_future(self._submit(lambda database: None))

    async def close(self) -> None:
        """Write everything and close the file."""
        if self._closed:
            return
        self._submit(self._give_back)
        self._closed = True
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    # -- reading -------------------------------------------------------------------------------------------

    async def lines(self, limit: int = 1000) -> list[str]:
        """The lines typed last, in this and earlier sessions, oldest first."""

        def latest(connection: sqlite3.Connection) -> list[str]:
            found = connection.execute("SELECT text FROM line ORDER BY line_id DESC LIMIT ?", (limit,))
            return [text for (text,) in found][::-1]

        return await self._read(latest, [])

    async def resume(self, session: str | None = None) -> Saved | None:
        """A recorded session, the one used last if none is named; what is recorded next belongs to it."""
        saved = await self._read(lambda connection: _load(connection, session), None)
        if saved is not None:
            self._session = saved.id
        return saved

    async def sessions(self, limit: int = 5) -> list[str]:
        """The ids of the sessions used last, the latest first."""
        return await self._read(lambda connection: readback.sessions(connection, limit), [])

    async def exchange(self, number: int) -> Exchange | None:
        """One exchange of any session, with what came before it in its conversation."""
        condition = "conversation = (SELECT conversation FROM gen WHERE gen_id = ?) AND gen_id <= ?"

        def upto(connection: sqlite3.Connection) -> list[Exchange]:
            return readback.load(connection, condition, (number, number))

        found: list[Exchange] = await self._read(upto, [])
        return found[-1] if found else None

    async def versions(self, number: int) -> dict[str, str]:
        """Package to version, of the run that an exchange belongs to; empty where that is not known."""
        sql = "SELECT versions FROM gen JOIN run USING (run_id) WHERE gen_id = ?"
        found = await self._read(lambda connection: connection.execute(sql, (number,)).fetchone(), None)
        return msgspec.json.decode(found[0], type=dict[str, str]) if found and found[0] else {}

    async def search(self, text: str = "", limit: int = 50) -> list[Found]:
        """The latest exchanges with ``text`` in prompt or answer, oldest first; any case (ASCII)."""
        return await self._read(lambda connection: find(connection, Query(text=text), limit), [])

    # -- in the thread -------------------------------------------------------------------------------------

    def _submit(self, job: Callable[[Database], T]) -> Future[T]:
        if self._closed:
            raise RuntimeError("the record is closed")
        future: Future[T] = Future()
        self._jobs.put((job, future))
        return future

    async def _read(self, job: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        return await asyncio.wrap_future(self._submit(lambda database: database.read(job, otherwise)))

    def _work(self, path: Path | None) -> None:
        database = Database(path, self._warn)
        while (item := self._jobs.get()) is not None:
            job, future = item
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(job(database))
                except Exception as error:
                    future.set_exception(error)
        database.close()

    def _warn(self, notice: Notice) -> None:
        with self._telling:
            if self._teller is None:
                self._untold.append(notice)
                return
        self._teller(notice)

    def _begin(self, connection: sqlite3.Connection) -> rows.Place:
        """Make sure that this run and its session are in the file."""
        return rows.begin(connection, self._run, self._session)

    def _reserve(self, database: Database) -> None:
        try:
            ((last,),) = database.connection.execute(
                "UPDATE counter SET value = max(value, ?) + ? WHERE name = 'gen' RETURNING value",
                (self._last_id, RESERVED),
            ).fetchall()
        except sqlite3.Error:
            last = self._last_id + RESERVED
        self._last_id = last
        self._ids.extend(range(last - RESERVED + 1, last + 1))

    def _give_back(self, database: Database) -> None:
        """Unused numbers at the end of the count go back, so that the next session goes on there."""
        unused = set(self._ids)
        first = self._last_id + 1
        while first - 1 in unused:
            first -= 1
        with contextlib.suppress(sqlite3.Error):
            database.connection.execute(
                "UPDATE counter SET value = ? WHERE name = 'gen' AND value = ?", (first - 1, self._last_id)
            )


def _load(connection: sqlite3.Connection, session: str | None) -> Saved | None:
    if session is None:
        latest = connection.execute("SELECT session_id FROM gen ORDER BY gen_id DESC LIMIT 1").fetchone()
        if latest is None:
            return None
        (session,) = latest
    row = connection.execute("SELECT state FROM session WHERE session_id = ?", (session,)).fetchone()
    if row is None or session is None:
        return None
    exchanges = readback.load(connection, "session_id = ? AND shown", (session,))
    return Saved(session, msgspec.json.decode(row[0], type=State), exchanges)


def _unique(now: datetime) -> str:
    """A name that sorts by time and that two programs started at once do not share."""
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(2)}"
