"""The record's file, for the one thread that owns it.

It never lets the session down: what cannot be opened is replaced by a database in memory, a damaged file is
moved aside, and what cannot be written is kept and written as soon as that works again. Each trouble is said
once.
"""

import contextlib
import os
import sqlite3
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from repl.session.frontend import Notice
from repl.session.record.schema import TooNew, migrate

T = TypeVar("T")
Write = Callable[[sqlite3.Connection], None]

PATIENCE = 5.0
"""Seconds to wait for another process that writes."""
_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_IN_MEMORY = "this session is kept in memory only, and /export saves it"


class Database:
    """An SQLite file, or one in memory where ``path`` is None."""

    def __init__(self, path: Path | None, warn: Callable[[Notice], None]) -> None:
        self.path = path
        self._warn = warn
        self._backlog: deque[Write] = deque()
        self._behind = False
        self.connection = self._open()

    def write(self, job: Write) -> None:
        """Run ``job`` in a transaction of its own, after all that waits; it waits too if that fails."""
        self._backlog.append(job)
        self._catch_up()

    def read(self, job: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """What ``job`` finds, or ``otherwise`` when the file cannot be read."""
        try:
            return job(self.connection)
        except sqlite3.Error as error:
            self._warn(Notice("warning", f"the record {self.path} cannot be read: {error}"))
            return otherwise

    def close(self) -> None:
        """Write what waits, if that works by now, and close."""
        self._catch_up()
        if self._backlog:
            lost = f"{len(self._backlog)} entries could not be written to {self.path} and are lost"
            self._warn(Notice("error", lost))
        self.connection.close()

    def _catch_up(self) -> None:
        renewed = False
        while self._backlog:
            try:
                self._transact(self._backlog[0])
            except Exception as error:
                damaged = isinstance(error, sqlite3.DatabaseError) and _code(error) in _DAMAGE
                if damaged and self.path is not None and not renewed:
                    renewed = True
                    self.connection.close()
                    self.connection = self._open_anew(self.path, error)
                    continue
                if damaged or isinstance(error, sqlite3.OperationalError):
                    self._fall_behind(error)
                    return
                # The entry itself cannot be stored: trying again would block all that comes after it.
                self._warn(
                    Notice("error", f"an entry could not be recorded: {type(error).__name__}: {error}")
                )
            self._backlog.popleft()
        if self._behind:
            self._behind = False
            self._warn(Notice("info", f"the record {self.path} is written again; nothing was lost"))

    def _transact(self, job: Write) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            job(self.connection)
            self.connection.execute("COMMIT")
        except BaseException:
            # A full disk makes SQLite roll back by itself.
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")
            raise

    def _fall_behind(self, error: Exception) -> None:
        if self._behind:
            return
        self._behind = True
        hint = "answers are kept in memory and written once that works; /export saves them elsewhere"
        self._warn(Notice("warning", f"the record {self.path} cannot be written: {error}", hint))

    # -- opening -------------------------------------------------------------------------------------------

    def _open(self) -> sqlite3.Connection:
        if self.path is None:
            return _connect(":memory:")
        try:
            _create(self.path)
            return _connect(str(self.path))
        except TooNew as error:
            trouble = f"the record {self.path} is of a later version of multigpu-repl: {error}"
        except sqlite3.Error as error:
            if _code(error) in _DAMAGE:
                return self._open_anew(self.path, error)
            trouble = f"the record {self.path} cannot be opened: {error}"
        except OSError as error:
            trouble = f"the record {self.path} cannot be opened: {error.strerror or error}"
        return self._in_memory(trouble)

    def _open_anew(self, path: Path, error: Exception) -> sqlite3.Connection:
        """Move a damaged file aside, with its log, and begin a new one."""
        aside = path.with_name(f"{path.stem}.damaged-{datetime.now(UTC):%Y%m%dT%H%M%S%f}{path.suffix}")
        try:
            path.rename(aside)
            for suffix in ("-wal", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    path.with_name(path.name + suffix).rename(aside.with_name(aside.name + suffix))
            _create(path)
            connection = _connect(str(path))
        except (OSError, sqlite3.Error) as second:
            return self._in_memory(f"the record {path} is damaged ({error}) and cannot be replaced: {second}")
        self._warn(
            Notice(
                "warning",
                f"the record {path} is damaged ({error}): a new one is begun",
                f"the old one is {aside}",
            )
        )
        return connection

    def _in_memory(self, trouble: str) -> sqlite3.Connection:
        self.path = None
        self._warn(Notice("warning", trouble, _IN_MEMORY))
        return _connect(":memory:")


def _create(path: Path) -> None:
    """Make the file, readable by its owner only: prompts are private."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


def _connect(database: str) -> sqlite3.Connection:
    connection = sqlite3.connect(database, timeout=PATIENCE, isolation_level=None, check_same_thread=False)
    try:
        migrate(connection)  # First: a file of a later version is not to be touched.
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
    except BaseException:
        connection.close()
        raise
    return connection


def _code(error: sqlite3.Error) -> int:
    """The primary result code."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
