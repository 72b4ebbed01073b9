"""Reads the record's file while sessions may be writing to it."""

import os
import sqlite3
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from repl.session.exchange import Exchange
from repl.session.record import readback
from repl.session.record.finding import Found, Query, find, numbers
from repl.session.record.schema import TooNew, migrate

PATIENCE = 5.0
"""Seconds to wait for a session that writes."""


class RecordError(Exception):
    """The record cannot be read; says why and what to do."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class Sitting(msgspec.Struct, frozen=True):
    """One session in a list."""

    id: str
    begun: datetime
    answers: int
    models: str


class Reader:
    """The file, open. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        """Open ``path``; raises ``RecordError``."""
        self.path = path
        if not os.path.isfile(path):  # noqa: PTH113 (False where the folder may not be looked into)
            raise RecordError(f"there is no record at {path}", "a session makes one; --record names another")
        try:
            self._connection = sqlite3.connect(path, timeout=PATIENCE, isolation_level=None)
            migrate(self._connection)
        except TooNew as error:
            raise RecordError(
                f"the record {path} is of a later version: {error}", "update multigpu-repl"
            ) from None
        except sqlite3.Error as error:
            raise RecordError(f"the record {path} cannot be read: {error}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def find(self, query: Query, limit: int | None) -> list[Found]:
        """What fits, oldest first: the latest ``limit``."""
        return find(self._connection, query, limit)

    def numbers(self, query: Query) -> list[int]:
        """The numbers of all that fit."""
        return numbers(self._connection, query)

    def exchange(self, number: int) -> Exchange:
        """One exchange, without what came before it; raises ``RecordError`` if there is none."""
        found = readback.load(self._connection, "gen_id = ?", (number,))
        if not found:
            hint = "multigpu-repl records list shows what there is"
            raise RecordError(f"there is no answer #{number}", hint)
        return found[0]

    def notes(self, number: int) -> Sequence[tuple[str, int, str]]:
        """(when, vote, text) of each note on an exchange."""
        sql = "SELECT written, vote, text FROM note WHERE gen_id = ? ORDER BY note_id"
        return self._connection.execute(sql, (number,)).fetchall()

    def sessions(self) -> list[Sitting]:
        """All sessions, oldest first."""
        rows = self._connection.execute(
            """SELECT session_id, min(gen.created), count(*), group_concat(DISTINCT model.name)
            FROM gen JOIN model USING (model_id) WHERE shown GROUP BY session_id ORDER BY min(gen_id)"""
        )
        return [
            Sitting(id, datetime.fromisoformat(begun), answers, models) for id, begun, answers, models in rows
        ]
