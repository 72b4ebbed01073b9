"""Exchanges as a Parquet file: a row for each, its tokens as a list of structs.

``UNNEST(tokens)`` in DuckDB, or ``explode`` in pandas, makes a row of each token. Needs pyarrow (the extra
``parquet``).
"""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from repl.params import changed
from repl.session.errors import InputError
from repl.session.exchange import Exchange

GROUP = 500
"""Rows of a row group: what is held in memory at once."""


def write(path: Path, exchanges: Iterable[Exchange]) -> int:
    """Write them all; returns how many. ``InputError`` where pyarrow is missing."""
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise InputError(
            "Parquet files need pyarrow", "pip install 'multigpu-repl[parquet]', or choose .jsonl"
        ) from None
    schema = _schema(pyarrow)
    count = 0
    left = iter(exchanges)
    with pyarrow.parquet.ParquetWriter(path, schema, compression="zstd") as writer:
        while group := list(islice(left, GROUP)):
            writer.write_table(pyarrow.Table.from_pylist([row(x) for x in group], schema))
            count += len(group)
    return count


def row(x: Exchange) -> dict[str, Any]:
    """An exchange as plain values; the names are those of the record."""
    timings, origin = x.timings, x.origin
    return {
        "gen_id": x.id,
        "line": x.line,
        "created": x.created,
        "model": x.model,
        "backend": x.identity.spec.backend,
        "path": x.identity.spec.path,
        "dtype": x.identity.dtype,
        "weights_sha": x.identity.checkpoint_hash,
        "vocab_fp": x.identity.vocab_fingerprint,
        "replica": x.replica,
        "device": x.device,
        "task": x.request.task,
        "lane": x.request.lane,
        "origin_id": origin.exchange if origin is not None else None,
        "origin_how": origin.how if origin is not None else None,
        "prompt": _text(x.prompt),
        "target": _text(x.request.target),
        "answer": _text(x.answer.text),
        "state": x.state,
        "finish": x.finish,
        "seed": x.seed,
        "sample": x.request.sample,
        "params": msgspec.json.encode(changed(x.params)).decode(),
        "t_queue": timings.queue_seconds if timings is not None else None,
        "t_first": timings.first_seconds if timings is not None else None,
        "t_total": timings.total_seconds if timings is not None else None,
        "tokens": [
            {
                "pos": step.index,
                "id": step.token,
                "bytes": step.piece,
                "raw_lp": step.raw_lp,
                "proc_lp": step.proc_lp,
                "search_lp": step.search_lp,
                "rank": step.rank,
                "entropy": step.entropy,
                "forced": step.forced,
                "top": [{"id": t, "raw_lp": lp, "bytes": piece} for t, lp, piece in step.top],
            }
            for step in x.answer.steps
        ],
    }


def _text(text: str) -> str:
    return text.encode(errors="replace").decode()


def _schema(pyarrow: Any) -> Any:
    text, whole, real, binary = pyarrow.string(), pyarrow.int64(), pyarrow.float64(), pyarrow.binary()
    top = pyarrow.struct({"id": whole, "raw_lp": real, "bytes": binary})
    token = pyarrow.struct(
        {
            "pos": whole,
            "id": whole,
            "bytes": binary,
            "raw_lp": real,
            "proc_lp": real,
            "search_lp": real,
            "rank": whole,
            "entropy": real,
            "forced": pyarrow.bool_(),
            "top": pyarrow.list_(top),
        }
    )
    fields: dict[str, Any] = {"gen_id": whole, "line": whole, "created": pyarrow.timestamp("us", tz="UTC")}
    names = "model backend path dtype weights_sha vocab_fp replica device task lane"
    fields |= dict.fromkeys(names.split(), text)
    fields |= {"origin_id": whole, "origin_how": text}
    fields |= dict.fromkeys(["prompt", "target", "answer", "state", "finish"], text)
    fields |= {"seed": whole, "sample": whole, "params": text}
    fields |= dict.fromkeys(["t_queue", "t_first", "t_total"], real)
    return pyarrow.schema(fields | {"tokens": pyarrow.list_(token)})
