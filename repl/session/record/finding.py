"""Finds exchanges in the record: by what was asked or answered, by model, session, time and task."""

import sqlite3
from datetime import datetime

import msgspec

from repl.session.record.schema import searchable

SHORTEST = 3
"""Characters an index of trigrams can look for; shorter texts are looked for in every row."""
EXCERPT = 500
"""Characters of prompt and answer that a list gives."""


class Found(msgspec.Struct, frozen=True):
    """One exchange as a search lists it; long texts are cut."""

    id: int
    created: datetime
    model: str
    prompt: str
    answer: str
    state: str
    task: str = "generate"
    origin: int | None = None
    """The exchange it was made from."""
    how: str = ""
    """By which command."""


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for; what is not given does not matter."""

    text: str = ""
    """Part of the prompt, the answer or a scored text; in any case of ASCII letters."""
    model: str | None = None
    session: str | None = None
    task: str | None = None
    since: str | None = None
    """ISO 8601 in UTC, or the beginning of it."""
    probes: bool = False
    """Also what probes asked for their own ends."""


def find(connection: sqlite3.Connection, query: Query, limit: int | None = 50) -> list[Found]:
    """The latest that fit, oldest first."""
    where, values = conditions(connection, query)
    found = connection.execute(
        f"""SELECT gen_id, gen.created, model.name, substr(asked.text, 1, {EXCERPT}),
            substr(said.text, 1, {EXCERPT}), state, task, origin_id, origin_how
        FROM gen JOIN model USING (model_id)
        JOIN node AS asked ON asked.hash = in_hash LEFT JOIN node AS said ON said.hash = out_hash
        WHERE {where} ORDER BY gen_id DESC LIMIT :limit""",
        {**values, "limit": -1 if limit is None else limit},
    )
    return [
        Found(
            number,
            datetime.fromisoformat(created),
            model,
            prompt,
            answer or "",
            state,
            task,
            origin,
            how or "",
        )
        for number, created, model, prompt, answer, state, task, origin, how in found
    ][::-1]


def numbers(connection: sqlite3.Connection, query: Query) -> list[int]:
    """The numbers of all that fit, in order."""
    where, values = conditions(connection, query)
    found = connection.execute(
        f"""SELECT gen_id FROM gen JOIN model USING (model_id)
        JOIN node AS asked ON asked.hash = in_hash LEFT JOIN node AS said ON said.hash = out_hash
        WHERE {where} ORDER BY gen_id""",
        values,
    )
    return [number for (number,) in found]


def conditions(connection: sqlite3.Connection, query: Query) -> tuple[str, dict[str, object]]:
    """The query in SQL, and its values."""
    where: list[str] = []
    values: dict[str, object] = {}
    if query.text:
        where.append(_text_condition(connection, query.text))
        escaped = query.text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        phrase = query.text.replace('"', '""')
        values |= {"like": f"%{escaped}%", "phrase": f'"{phrase}"'}
    for column, value in (("model.name", query.model), ("session_id", query.session), ("task", query.task)):
        if value is not None:
            key = column.replace(".", "_")
            where.append(f"{column} = :{key}")
            values[key] = value
    if query.since is not None:
        where.append("gen.created >= :since")
        values["since"] = query.since
    if not query.probes:
        where.append("shown")
    return " AND ".join(where) or "1", values


def _text_condition(connection: sqlite3.Connection, text: str) -> str:
    target = "target LIKE :like ESCAPE '\\'"
    if len(text) >= SHORTEST and searchable(connection):
        nodes = "SELECT hash FROM node WHERE rowid IN (SELECT rowid FROM search WHERE search MATCH :phrase)"
        return f"(in_hash IN ({nodes}) OR out_hash IN ({nodes}) OR {target})"
    return f"(asked.text LIKE :like ESCAPE '\\' OR said.text LIKE :like ESCAPE '\\' OR {target})"
