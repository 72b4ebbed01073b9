"""The task ``lens``: what each layer would predict, read through the model's own last norm and output head.

The logit lens (nostalgebraist 2020). The head is not rebuilt from its parts: the network's own ``forward``
runs with its body replaced by the layer's state, so whatever a family does there (caps, scales, projections)
is done.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from backends import upload
from backends.base import BackendError
from backends.hf.events import not_a_number, started
from backends.hf.model import Model
from backends.hf.probes.scoring import Scoring
from backends.hf.prompt import build
from backends.hf.state.memory import Demand
from backends.hf.state.rows import integers
from repl.messages import Event, Finished, Request, Started
from repl.readings import Lens, LensCell

_NORMS = ("norm", "ln_f", "final_layernorm", "final_layer_norm", "norm_f", "ln_out")
"""What families call the norm after their last layer."""
_PART = 64 << 20
"""Bytes of logits that are looked at in one go."""
_TOLERANCE = 1e-3
"""Of the last layer's log-probabilities against the logits."""


class Looking:
    """A request on its way: a layer at each step of the engine."""

    def __init__(self, model: Model, request: Request) -> None:
        """Raises ``BackendError`` if there is nothing to look at, or too much."""
        self.request = request
        self.done = False
        if request.target or request.target_ids:
            text = Scoring(model, request)
            self._started = text.started()
            ids = [*text.prompt.ids, *text.prompt.forced]
        else:
            prompt = build(model, request)
            self._started = started(request, prompt, prompt.notes, model.codec.piece)
            ids = prompt.ids
        self.demand = Demand(1, len(ids), joins=False)
        self._parts = look(model, ids)

    def started(self) -> Started:
        """The first event."""
        return self._started

    def advance(self) -> Sequence[Event]:
        """The next part; the end with the last one."""
        found = next(self._parts)
        if found is None:
            return ()
        self.done = True
        end = Finished(id=self.request.id, reason="done", text="", padded=self.demand.length, reading=found)
        return (end,)


class _Seen(NamedTuple):
    """One pass over the whole text."""

    states: tuple[Tensor, ...]
    """Each ``[1, tokens, size]``, from the embeddings to the last layer's, which is normed."""
    output: Any
    """What the body returned."""
    logits: Tensor
    """``[tokens, vocab]``."""


def look(model: Model, ids: list[int]) -> Iterator[Lens | None]:
    """The lens over ``ids``, at the end; None before that, after each part of the work.

    Raises ``BackendError`` where the network's last norm and head cannot be told or do not give its logits.
    """
    network = model.network
    body, norm = _parts(model)
    tokens = integers([ids], network)
    seen = _read(model, body, norm, tokens)
    last = seen.logits.log_softmax(-1)
    if not last.isfinite().any(-1).all():
        raise not_a_number(0)
    again = torch.cat(list(_through(network, body, seen, seen.states[-1], tokens)))
    if (again.log_softmax(-1).exp() - last.exp()).abs().max() > _TOLERANCE:
        raise _unknown(model, "its head does more than can be repeated")
    layers = []
    for number, state in enumerate(seen.states):
        yield None
        normed = state if number == len(seen.states) - 1 else norm(state)
        cells: list[LensCell] = []
        for logits in _through(network, body, seen, normed, tokens):
            cells += _cells(model, logits, last, ids, len(cells))
        layers.append(tuple(cells))
    yield Lens(ids=tuple(ids), pieces=tuple(map(model.codec.piece, ids)), layers=tuple(layers))


def _parts(model: Model) -> tuple[Any, Any]:
    """The network's body, and the norm after its last layer."""
    base = model.network.base_model
    for body in (base, getattr(base, "decoder", None)):
        for name in _NORMS:
            norm = getattr(body, name, None)
            if norm is not None:
                return body, norm
    raise _unknown(model, "the norm after its last layer was not found")


def _read(model: Model, body: Any, norm: Any, tokens: Tensor) -> _Seen:
    outputs: list[Any] = []
    normed: list[Tensor] = []
    hooks = [
        body.register_forward_hook(lambda module, given, output: outputs.append(output)),
        norm.register_forward_hook(lambda module, given, output: normed.append(output)),
    ]
    try:
        out = model.network(input_ids=tokens, output_hidden_states=True, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    states = out.hidden_states
    if not states or not outputs or not hasattr(outputs[-1], "last_hidden_state"):
        raise _unknown(model, "it does not tell the states of its layers")
    if not normed or not _same(normed[-1], states[-1]):
        raise _unknown(model, "the norm after its last layer was not found")
    return _Seen(states, outputs[-1], out.logits[0].float())


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether they hold the same numbers, on one device or another."""
    return bool(torch.equal(one.reshape(other.shape).to(other.device), other))


def _through(network: Any, body: Any, seen: _Seen, state: Tensor, tokens: Tensor) -> Iterator[Tensor]:
    """Logits ``[tokens, vocab]`` of a normed state ``[1, tokens, size]``, in parts of bounded size."""
    size = max(1, _PART // (4 * seen.logits.shape[-1]))
    for start in range(0, tokens.shape[1], size):
        part = copy.copy(seen.output)
        part["last_hidden_state"] = state[:, start : start + size]
        with _replaced(body, part):
            yield network(input_ids=tokens[:, start : start + size], use_cache=False).logits[0].float()


@contextmanager
def _replaced(body: Any, output: Any) -> Iterator[None]:
    """Let the network's body return ``output``; nothing else runs meanwhile, the engine has one thread."""
    # A model spread over devices has a forward of its own here.
    own = vars(body).get("forward")
    body.forward = lambda *args, **kwargs: output
    try:
        yield
    finally:
        del body.forward
        if own is not None:
            body.forward = own


def _cells(model: Model, logits: Tensor, last: Tensor, ids: list[int], begin: int) -> list[LensCell]:
    """Of the positions from ``begin`` on."""
    lps = logits.log_softmax(-1)
    end = begin + len(lps)
    truth = last[begin:end]
    # 0 * (-inf) where both exclude a token is 0.
    apart = torch.where(truth.exp() > 0, truth.exp() * (truth - lps), 0.0).sum(-1).clamp(min=0)
    best = lps.max(-1)
    following = upload.integers([*ids[1:], 0][begin:end], lps.device)
    rank = (lps > lps.gather(1, following[:, None])).sum(-1)
    columns = [best.indices, best.values, rank, apart]
    table = torch.stack([column.double() for column in columns], dim=1).tolist()
    return [
        LensCell(
            token=int(token),
            piece=model.codec.piece(int(token)),
            raw_lp=lp,
            rank=int(place) if begin + i + 1 < len(ids) else None,
            kl=kl,
        )
        for i, (token, lp, place, kl) in enumerate(table)
    ]


def _unknown(model: Model, why: str) -> BackendError:
    kind = model.network.config.model_type
    return BackendError(
        "unsupported",
        f"model '{model.name}' ({kind}): no lens, {why}",
        "/logprobs and /score tell what its last layer thinks",
    )
