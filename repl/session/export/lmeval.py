"""Exchanges as the samples that lm-evaluation-harness writes, one object a line.

A scored text becomes a ``loglikelihood`` request, an answer a ``generate_until`` one. As in the harness's
files, the leaves of ``resps`` are strings.
"""

import hashlib
from typing import Any

import msgspec

from repl.session.exchange import Exchange


def as_object(x: Exchange) -> dict[str, Any]:
    """An exchange as a sample; its number is the document's."""
    scored = x.request.task == "score"
    target = x.request.target if scored else ""
    doc = {"id": x.id, "prompt": x.prompt, "target": target, "model": x.model, "seed": x.seed}
    context = x.answer.started.prompt_text if x.answer.started is not None else x.prompt
    resps = [[_likelihood(x)]] if scored else [[x.answer.text]]
    return {
        "doc_id": x.id,
        "doc": doc,
        "target": target,
        "arguments": {"gen_args_0": {"arg_0": context, "arg_1": target if scored else _until(x)}},
        "resps": resps,
        "filtered_resps": resps[0],
        "filter": "none",
        "metrics": [],
        "doc_hash": _hash(msgspec.json.encode(doc).decode()),
        "prompt_hash": _hash(context),
        "target_hash": _hash(target),
    }


def _likelihood(x: Exchange) -> list[str]:
    """The log-probability in nats, and whether greedy decoding would have written the text."""
    steps = [step for step in x.answer.steps if step.raw_lp is not None]
    total = sum(step.raw_lp for step in steps if step.raw_lp is not None)
    return [str(total), str(all(step.rank == 0 for step in steps))]


def _until(x: Exchange) -> dict[str, Any]:
    params = x.params
    return {
        "until": list(params.stop),
        "max_gen_toks": params.max_new,
        "do_sample": params.temperature > 0,
        "temperature": params.temperature,
    }


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
