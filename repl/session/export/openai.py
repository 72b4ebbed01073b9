"""Answers in the form of OpenAI's chat completions with ``logprobs``, one object a line.

Tools that read that form (calibration, confidence highlighting) read these. Fields that the form does not
have are left out; ``jsonl`` has them all.
"""

import math
from typing import Any

from repl.messages import Step
from repl.session.exchange import Exchange

LOWEST = -9999.0
"""What the form says of a token that is impossible, or whose log-probability is not known."""
_REASONS = {"eos": "stop", "stop": "stop", "length": "length"}


def as_object(x: Exchange) -> dict[str, Any]:
    """An exchange as a completion."""
    steps = x.answer.steps
    prompt = len(x.answer.started.prompt_ids) if x.answer.started is not None else 0
    return {
        "id": f"multigpu-repl-{x.id}",
        "object": "chat.completion",
        "created": int(x.created.timestamp()),
        "model": x.model,
        "system_fingerprint": x.identity.checkpoint_hash,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": x.answer.text},
                "finish_reason": _REASONS.get(x.finish),
                "logprobs": {"content": [_token(step) for step in steps]},
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": len(steps),
            "total_tokens": prompt + len(steps),
        },
    }


def _token(step: Step) -> dict[str, Any]:
    top = [_entry(piece, lp) for _, lp, piece in step.top]
    return {**_entry(step.piece, step.raw_lp), "top_logprobs": top}


def _entry(piece: bytes, logprob: float | None) -> dict[str, Any]:
    known = logprob is not None and math.isfinite(logprob)
    return {
        "token": piece.decode(errors="replace"),
        "logprob": logprob if known else LOWEST,
        "bytes": list(piece),
    }
