"""Rows of the record as exchanges again. Runs in the record's own thread."""

import math
import sqlite3
from array import array
from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec

from repl.messages import (
    Error,
    Failed,
    Finished,
    FinishReason,
    Hypothesis,
    Lost,
    Message,
    ModelSpec,
    Request,
    Started,
    Step,
    Stopped,
    Terminal,
)
from repl.params import Params, Value
from repl.pool.ticket import StopReason, Timings
from repl.readings import Reading
from repl.session.answer import Answer
from repl.session.exchange import Exchange, Identity, Origin
from repl.session.record.rows import COLUMNS, Gen

_SELECT = f"SELECT {', '.join(COLUMNS)} FROM gen WHERE {{}} ORDER BY gen_id"


def load(connection: sqlite3.Connection, condition: str, values: Sequence[object]) -> list[Exchange]:
    """The exchanges for which an SQL ``condition`` on ``gen`` holds, in the order they were asked."""
    rows = [
        msgspec.convert(dict(zip(COLUMNS, row, strict=True)), Gen, strict=False)
        for row in connection.execute(_SELECT.format(condition), values).fetchall()
    ]
    threads = _Threads(connection)
    exchanges: dict[int, Exchange] = {}
    latest: dict[str, Exchange] = {}
    for row in rows:
        # A parent that still ran when the program died is not there: the one before it stands in.
        parent = exchanges.get(row.parent_id) or latest.get(row.conversation) if row.parent_id else None
        identity = _identity(connection, row.model_id)
        exchange = _exchange(row, identity, threads.upto(row.in_hash), parent)
        exchange.answer = _answer(row, threads.text(row.out_hash), _steps(connection, row.gen_id))
        exchanges[exchange.id] = latest[exchange.conversation] = exchange
    return list(exchanges.values())


def sessions(connection: sqlite3.Connection, limit: int) -> list[str]:
    """The ids of the sessions used last, the latest first."""
    query = "SELECT session_id FROM gen GROUP BY session_id ORDER BY max(gen_id) DESC LIMIT ?"
    return [session for (session,) in connection.execute(query, (limit,))]


class _Threads:
    """Conversations by the hash of their last message; shared beginnings are read once."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._known: dict[bytes, tuple[Message, ...]] = {}

    def upto(self, digest: bytes) -> tuple[Message, ...]:
        """All messages up to and including the one with this hash."""
        missing: list[tuple[bytes, Message]] = []
        at: bytes | None = digest
        while at is not None and at not in self._known:
            here = at
            at, role, text = self._row(here)
            missing.append((here, Message(role=role, text=text)))
        messages = self._known[at] if at is not None else ()
        for here, message in reversed(missing):
            messages = self._known[here] = (*messages, message)
        return messages

    def text(self, digest: bytes | None) -> str:
        """The text of one message; empty for None."""
        return str(self._row(digest)[2]) if digest is not None else ""

    def _row(self, digest: bytes) -> Any:
        return self._connection.execute(
            "SELECT parent_hash, role, text FROM node WHERE hash = ?", (digest,)
        ).fetchone()


def _identity(connection: sqlite3.Connection, model: int) -> Identity:
    spec, dtype, checkpoint, vocabulary = connection.execute(
        "SELECT spec, dtype, weights_sha, vocab_fp FROM model WHERE model_id = ?", (model,)
    ).fetchone()
    fields = msgspec.json.decode(spec)
    return Identity(
        spec=ModelSpec(**{**fields, "trust": tuple(fields["trust"])}),
        dtype=dtype,
        checkpoint_hash=checkpoint,
        vocab_fingerprint=vocabulary,
    )


def _exchange(
    row: Gen, identity: Identity, messages: tuple[Message, ...], parent: Exchange | None
) -> Exchange:
    prompt = messages[-1].text
    return Exchange(
        id=row.gen_id,
        line=row.line,
        identity=identity,
        prompt=prompt,
        request=Request(
            model=identity.spec.name,
            prompt=prompt,
            params=Params(**_values(row.params_eff)),
            history=messages[:-1],
            template=row.template,
            prefix=row.prefix,
            sample=row.sample,
            lane=row.lane,
            task=row.task,
            target=row.target,
            target_ids=_ids(row.target_ids),
            prefix_ids=_ids(row.prefix_ids),
            opening=row.opening,
            closing=row.closing,
        ),
        requested=_values(row.params_req),
        created=datetime.fromisoformat(row.created),
        conversation=row.conversation,
        parent=parent,
        pin=row.pin,
        marks=msgspec.json.decode(row.marks, type=tuple[str, ...]),
        origin=_origin(row),
        shown=row.shown,
        replica=row.replica,
        device=row.device,
        timings=Timings(submitted=0.0, placed=row.t_queue, first=row.t_first, ended=row.t_total),
    )


def _origin(row: Gen) -> Origin | None:
    if row.origin_how is None:
        return None
    return Origin(row.origin_id, row.origin_pos or 0, row.origin_how)


def _ids(ids: bytes | None) -> tuple[int, ...]:
    return tuple(array("q", ids)) if ids else ()


def _values(text: str) -> dict[str, Any]:
    return msgspec.json.decode(text, type=dict[str, Value])


def _answer(row: Gen, text: str, steps: list[Step]) -> Answer:
    answer = Answer()
    if row.prompt_ids is not None:
        answer.feed(
            Started(
                id=0,
                prompt_ids=tuple(array("q", row.prompt_ids)),
                prompt_text=row.prompt_text or "",
                truncated=row.truncated or 0,
                notes=msgspec.json.decode(row.notes, type=tuple[str, ...]),
                reused=row.reused or 0,
                prompt_pieces=_pieces(row.prompt_pieces),
            )
        )
    answer.steps = steps
    answer.rewrites = row.rewrites
    answer.feed(_terminal(row, text))
    return answer


def _hypotheses(text: str) -> tuple[Hypothesis, ...]:
    """JSON has no infinities: a token's score of minus infinity was written as null."""
    found = msgspec.json.decode(text)
    scores = Hypothesis.__struct_fields__.index("token_scores")
    for hypothesis in found:
        if len(hypothesis) > scores:
            hypothesis[scores] = [-math.inf if score is None else score for score in hypothesis[scores]]
    return msgspec.convert(found, tuple[Hypothesis, ...])


def _pieces(packed: bytes | None) -> tuple[bytes, ...]:
    return msgspec.msgpack.decode(packed, type=tuple[bytes, ...]) if packed else ()


def _terminal(row: Gen, text: str) -> Terminal:
    if row.state == "stopped":
        return Stopped(id=0, reason=msgspec.convert(row.finish, StopReason))
    if row.error is not None:
        error = msgspec.json.decode(row.error, type=Error)
        return Lost(id=0, error=error) if row.state == "lost" else Failed(id=0, error=error)
    hypotheses = _hypotheses(row.hypotheses) if row.hypotheses else ()
    reason = msgspec.convert(row.finish, FinishReason)
    return Finished(
        id=0,
        reason=reason,
        text=text,
        hypotheses=hypotheses,
        batch=row.batch_size or 1,
        padded=row.padded_len or 0,
        reading=msgspec.msgpack.decode(row.reading, type=Reading) if row.reading else None,
        drafted=row.drafted,
        accepted=row.accepted,
    )


def _steps(connection: sqlite3.Connection, number: int) -> list[Step]:
    tops: defaultdict[int, list[tuple[int, float, bytes]]] = defaultdict(list)
    for pos, token, raw_lp, piece in connection.execute(
        "SELECT pos, id, raw_lp, bytes FROM top WHERE gen_id = ? ORDER BY pos, k", (number,)
    ):
        tops[pos].append((token, raw_lp, piece))
    columns = "pos, id, bytes, text, raw_lp, proc_lp, search_lp, rank, entropy, forced"
    return [
        Step(
            id=0,
            index=pos,
            token=token,
            piece=piece,
            text=text,
            raw_lp=raw_lp,
            proc_lp=proc_lp,
            search_lp=search_lp,
            rank=rank,
            entropy=entropy,
            top=tuple(tops.get(pos, ())),
            forced=bool(forced),
        )
        for pos, token, piece, text, raw_lp, proc_lp, search_lp, rank, entropy, forced in connection.execute(
            f"SELECT {columns} FROM tok WHERE gen_id = ? ORDER BY pos",
            (number,),
        )
    ]
