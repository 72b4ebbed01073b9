"""One JSON object for each exchange, with all that is needed to ask again and compare token by token.

Log-probabilities are in nats, times in seconds. JSON has no infinities: a log-probability of minus
infinity is null, and its name stands in the token's ``minus_infinity``. ``bytes`` are lists of numbers,
since a token may be part of a character.
"""

import math
from typing import Any

import msgspec

from repl.messages import Finished, Step
from repl.session.exchange import Exchange


def as_object(x: Exchange) -> dict[str, Any]:
    """An exchange as plain values."""
    named = msgspec.structs.asdict
    started, terminal, timings = x.answer.started, x.answer.terminal, x.timings
    return {
        "id": x.id,
        "line": x.line,
        "created": x.created,
        "model": named(x.identity.spec)
        | {
            "dtype_loaded": x.identity.dtype,
            "checkpoint_hash": x.identity.checkpoint_hash,
            "vocab_fingerprint": x.identity.vocab_fingerprint,
        },
        "replica": x.replica,
        "pin": x.pin,
        "conversation": x.conversation,
        "parent": x.parent.id if x.parent is not None else None,
        "history": [named(message) for message in x.request.history],
        "prompt": x.prompt,
        "template": x.request.template,
        "prefix": x.request.prefix,
        "requested": x.requested,
        "params": named(x.params),
        "seed": x.seed,
        "sample": x.request.sample,
        "lane": x.request.lane,
        "task": x.request.task,
        "target": x.request.target,
        "prefix_ids": x.request.prefix_ids,
        "origin": named(x.origin) if x.origin is not None else None,
        "device": x.device,
        "batch": terminal.batch if isinstance(terminal, Finished) else None,
        "padded": terminal.padded if isinstance(terminal, Finished) else None,
        "drafted": terminal.drafted if isinstance(terminal, Finished) else None,
        "accepted": terminal.accepted if isinstance(terminal, Finished) else None,
        "prompt_ids": started.prompt_ids if started is not None else None,
        "prompt_text": started.prompt_text if started is not None else None,
        "truncated": started.truncated if started is not None else None,
        "notes": x.notes,
        "text": x.answer.text,
        "state": x.state,
        "finish": x.finish,
        "error": named(x.error) if x.error is not None else None,
        "rewrites": x.answer.rewrites,
        "tokens": [_token(step) for step in x.answer.steps],
        "hypotheses": [named(hypothesis) for hypothesis in x.answer.hypotheses],
        "seconds": {
            "queue": timings.queue_seconds if timings is not None else None,
            "first": timings.first_seconds if timings is not None else None,
            "total": timings.total_seconds if timings is not None else None,
        },
    }


def _token(step: Step) -> dict[str, Any]:
    infinite = [name for name in ("raw_lp", "proc_lp", "search_lp") if getattr(step, name) == -math.inf]
    token = {
        "index": step.index,
        "token": step.token,
        "bytes": list(step.piece),
        "text": step.text,
        "raw_lp": step.raw_lp,
        "proc_lp": step.proc_lp,
        "search_lp": step.search_lp,
        "rank": step.rank,
        "entropy": step.entropy,
        "top": [{"token": t, "raw_lp": lp, "bytes": list(piece)} for t, lp, piece in step.top],
        "forced": step.forced,
    }
    return token | {"minus_infinity": infinite} if infinite else token
