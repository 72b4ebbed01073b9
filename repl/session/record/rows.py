"""Exchanges as rows of the record. Runs in the record's own thread; ``readback`` is the way back."""

import contextlib
import hashlib
import platform
import sqlite3
from array import array
from collections.abc import Iterable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

import msgspec

from repl.messages import Finished, Message, Step, Task
from repl.session.exchange import Exchange, Identity

PACKAGES = ("multigpu-repl", "torch", "transformers", "fairseq", "ctranslate2", "onnxruntime", "numpy")
"""Those whose versions are recorded with a run."""


class Place(msgspec.Struct, frozen=True):
    """The run and the session that new rows belong to."""

    run: str
    session: str


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One start of the program."""

    id: str
    host: str
    pid: int
    argv: str
    started: str


class Gen(msgspec.Struct, frozen=True, kw_only=True):
    """One row of ``gen``; the fields are its columns."""

    gen_id: int
    run_id: str
    session_id: str
    line: int
    conversation: str
    parent_id: int | None
    created: str
    in_hash: bytes
    out_hash: bytes | None
    model_id: int
    replica: str | None
    pin: str | None
    template: bool
    prefix: str
    params_req: str
    params_eff: str
    seed: int | None
    sample: int
    lane: Literal["fast", "exact"]
    batch_size: int | None
    prompt_ids: bytes | None
    prompt_text: str | None
    truncated: int | None
    state: str
    finish: str
    native_score: float | None
    sum_raw_nats: float | None
    n_tok: int
    n_bytes: int
    rewrites: int
    t_queue: float | None
    t_first: float | None
    t_total: float | None
    marks: str
    notes: str
    hypotheses: str | None
    error: str | None
    task: Task = "generate"
    target: str = ""
    target_ids: bytes | None = None
    prefix_ids: bytes | None = None
    opening: Literal["auto", "bos", "eos", "none"] = "auto"
    closing: bool = False
    prompt_pieces: bytes | None = None
    reused: int | None = None
    padded_len: int | None = None
    reading: bytes | None = None
    device: str | None = None
    shown: bool = True
    origin_id: int | None = None
    origin_pos: int | None = None
    origin_how: str | None = None
    drafted: int = 0
    accepted: int = 0


class Divergence(msgspec.Struct, frozen=True, kw_only=True):
    """How far two models are apart at one position, in nats; one row of ``cmp``."""

    pos: int
    kl: float | None
    """KL(a || b)."""
    js: float | None
    tv: float | None
    """Total variation, 0 to 1."""
    argmax_eq: bool | None
    kl_kind: Literal["full", "lower_bound"] = "full"


COLUMNS = Gen.__struct_fields__
_INSERT = f"INSERT INTO gen ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))})"


def begin(connection: sqlite3.Connection, run: Run, session: str) -> Place:
    """Write the run and its session where they are not there yet."""
    if not connection.execute(
        "SELECT 1 FROM run WHERE run_id = ? AND session_id = ?", (run.id, session)
    ).fetchone():
        connection.execute("INSERT OR IGNORE INTO session VALUES (?,?,'{}')", (session, run.started))
        connection.execute(
            "INSERT OR REPLACE INTO run VALUES (?,?,?,?,?,?,?)",
            (run.id, session, run.host, run.pid, run.argv, to_json(_versions()), run.started),
        )
    return Place(run.id, session)


def insert(connection: sqlite3.Connection, place: Place, exchange: Exchange, number: int) -> None:
    """Write an ended exchange with its tokens; a number already taken raises ``sqlite3.IntegrityError``."""
    steps = exchange.answer.steps
    connection.execute(_INSERT, msgspec.structs.astuple(_gen(connection, place, exchange, number)))
    connection.executemany("INSERT INTO tok VALUES (?,?,?,?,?,?,?,?,?,?,?)", _tokens(number, steps))
    connection.executemany("INSERT INTO top VALUES (?,?,?,?,?,?)", _alternatives(number, steps))


def insert_comparison(
    connection: sqlite3.Connection, a: int, b: int, positions: Sequence[Divergence]
) -> None:
    """Write the divergences of two exchanges; those of an earlier comparison make way."""
    connection.execute("DELETE FROM cmp WHERE gen_a = ? AND gen_b = ?", (a, b))
    connection.executemany(
        "INSERT INTO cmp VALUES (?,?,?,?,?,?,?,?)",
        ((a, b, p.pos, p.kl, p.js, p.tv, p.argmax_eq, p.kl_kind) for p in positions),
    )


def _versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        with contextlib.suppress(PackageNotFoundError):
            versions[package] = version(package)
    return versions


def to_json(value: object) -> str:
    """``value`` as it stands in a JSON column."""
    return msgspec.json.encode(value).decode()


def _gen(connection: sqlite3.Connection, place: Place, exchange: Exchange, number: int) -> Gen:
    """The row, its nodes and its model being written on the way."""
    request, answer, timings = exchange.request, exchange.answer, exchange.timings
    started, origin = answer.started, exchange.origin
    finished = answer.terminal if isinstance(answer.terminal, Finished) else None
    asked, said = _nodes(connection, exchange)
    logprobs = [step.raw_lp for step in answer.steps if step.raw_lp is not None]
    return Gen(
        gen_id=number,
        run_id=place.run,
        session_id=place.session,
        line=exchange.line,
        conversation=exchange.conversation,
        parent_id=exchange.parent.id if exchange.parent is not None else None,
        created=exchange.created.isoformat(),
        in_hash=asked,
        out_hash=said,
        model_id=_model(connection, exchange.identity),
        replica=exchange.replica,
        pin=exchange.pin,
        template=request.template,
        prefix=request.prefix,
        params_req=to_json(exchange.requested),
        params_eff=to_json(msgspec.structs.asdict(request.params)),
        seed=exchange.seed,
        sample=request.sample,
        lane=request.lane,
        batch_size=finished.batch if finished is not None else None,
        prompt_ids=array("q", started.prompt_ids).tobytes() if started is not None else None,
        prompt_text=started.prompt_text if started is not None else None,
        truncated=started.truncated if started is not None else None,
        state=exchange.state,
        finish=exchange.finish,
        native_score=answer.hypotheses[0].score if answer.hypotheses else None,
        sum_raw_nats=sum(logprobs) if logprobs and len(logprobs) == len(answer.steps) else None,
        n_tok=len(answer.steps),
        n_bytes=len(answer.text.encode()),
        rewrites=answer.rewrites,
        t_queue=timings.queue_seconds if timings is not None else None,
        t_first=exchange.first_token_seconds,
        t_total=exchange.total_seconds,
        marks=to_json(exchange.marks),
        notes=to_json(started.notes if started is not None else ()),
        hypotheses=to_json(answer.hypotheses) if answer.hypotheses else None,
        error=to_json(exchange.error) if exchange.error is not None else None,
        task=request.task,
        target=request.target,
        target_ids=_ids(request.target_ids),
        prefix_ids=_ids(request.prefix_ids),
        opening=request.opening,
        closing=request.closing,
        prompt_pieces=_pieces(started.prompt_pieces) if started is not None else None,
        reused=started.reused if started is not None else None,
        padded_len=finished.padded if finished is not None else None,
        reading=_reading(finished),
        device=exchange.device,
        shown=exchange.shown,
        origin_id=origin.exchange if origin is not None else None,
        origin_pos=origin.position if origin is not None else None,
        origin_how=origin.how if origin is not None else None,
        drafted=finished.drafted if finished is not None else 0,
        accepted=finished.accepted if finished is not None else 0,
    )


def _ids(ids: tuple[int, ...]) -> bytes | None:
    return array("q", ids).tobytes() if ids else None


def _reading(finished: Finished | None) -> bytes | None:
    if finished is None or finished.reading is None:
        return None
    return msgspec.msgpack.encode(finished.reading)  # JSON has no infinities, and these are to come back


def _pieces(pieces: tuple[bytes, ...]) -> bytes | None:
    return msgspec.msgpack.encode(pieces) if pieces else None


def _nodes(connection: sqlite3.Connection, exchange: Exchange) -> tuple[bytes, bytes | None]:
    """Write the messages up to the prompt, and the answer; the hashes of these two, None for no text."""
    asked = None
    for message in (*exchange.request.history, Message(role="user", text=exchange.prompt)):
        asked = _node(connection, asked, message)
    assert asked is not None
    text = exchange.answer.text
    return asked, _node(connection, asked, Message(role="assistant", text=text)) if text else None


def _node(connection: sqlite3.Connection, parent: bytes | None, message: Message) -> bytes:
    content = message.role.encode() + b"\0" + message.text.encode()
    digest = hashlib.sha256((parent or bytes(32)) + content).digest()
    connection.execute(
        "INSERT OR IGNORE INTO node VALUES (?,?,?,?)", (digest, parent, message.role, message.text)
    )
    return digest


def _model(connection: sqlite3.Connection, identity: Identity) -> int:
    spec = identity.spec
    known = (
        to_json(msgspec.structs.asdict(spec)),
        identity.dtype,
        identity.checkpoint_hash,
        identity.vocab_fingerprint,
    )
    connection.execute(
        "INSERT OR IGNORE INTO model (name, backend, path, spec, dtype, weights_sha, vocab_fp)"
        " VALUES (?,?,?,?,?,?,?)",
        (spec.name, spec.backend, spec.path, *known),
    )
    (number,) = connection.execute(
        "SELECT model_id FROM model WHERE (spec, dtype, weights_sha, vocab_fp) = (?,?,?,?)", known
    ).fetchone()
    return int(number)


def _tokens(number: int, steps: Iterable[Step]) -> Iterable[tuple[object, ...]]:
    for s in steps:
        logprobs = (s.raw_lp, s.proc_lp, s.search_lp)
        yield (number, s.index, s.token, s.piece, s.text, *logprobs, s.rank, s.entropy, s.forced)


def _alternatives(number: int, steps: Iterable[Step]) -> Iterable[tuple[object, ...]]:
    for step in steps:
        for k, (token, raw_lp, piece) in enumerate(step.top):
            yield number, step.index, k, token, piece, raw_lp
