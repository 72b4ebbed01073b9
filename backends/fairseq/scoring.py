"""The task ``score``: a given text after the prompt, each of its tokens as a forced step."""

from collections.abc import Iterator

import torch

from backends.base import BackendError
from backends.fairseq import figures, results
from backends.fairseq import prompt as prompts
from backends.fairseq.answer import step
from backends.fairseq.errors import not_a_number
from backends.fairseq.load import Model
from backends.fairseq.luck import Luck
from backends.fairseq.nodes import Node, grown
from backends.fairseq.passes import Passes
from backends.fairseq.plan import Plan
from backends.fairseq.prompt import Source
from backends.fairseq.routes import Route
from backends.fairseq.started import started
from backends.fairseq.teacher import Forced, Text, looks_ahead
from repl.messages import Event, Finished, Hypothesis, Request

PART = 8 << 20
"""Bytes of log-probabilities that are looked at in one go."""


def score(model: Model, request: Request, passes: Passes) -> Iterator[list[Event]]:
    """The events of a request, in parts of bounded size; raises ``BackendError`` when it cannot be done.

    From its first part on it may share a pass with others, unless its figures are to be compared to the bit.

    The text is read in one pass, so its figures are those of training and of fairseq's ``SequenceScorer``;
    a beginning that is forced on an answer is read token by token and may differ from them by rounding.
    """
    target, unknown = prompts.given(model, request.target_ids, request.target)
    if request.closing:
        target.append(model.codec.eos)
    route = model.routes.find(request.params.source_lang, request.params.target_lang)
    source = _source(model, request, route, len(target))
    before, first = _before(model, request, route, source, target)
    notes = prompts.unknown_words(source.unknown + unknown)
    if not model.causal and request.opening not in ("auto", "eos"):
        notes.append(f"opening = {request.opening}: no effect, a translation begins with </s>")
    read = prompts.fed(model, route, source)
    plan = Plan.of(request.params, len(model.codec.pieces), model.dropout)
    if model.dropout:
        notes += plan.notes
    alone = request.lane == "exact" or model.dropout or looks_ahead(model)
    wait = passes.enter(Text([] if model.causal else read, before), alone=alone) if before else None
    try:
        yield [started(model, request, read, source, notes)]
        if plan.luck is not None:
            Luck(plan.luck, model.device).resume()
        forced = passes.forced(wait) if wait is not None else None
    finally:
        if wait is not None:
            passes.leave(wait)
    texts = model.codec.shares(target)
    nodes: list[Node] = []
    if first < 0:
        nodes.append(Node(None, target[0], forced=True))
        yield [step(request, model.codec, 0, nodes[0], texts[0])]
    size = max(1, PART // (4 * len(model.codec.pieces)))
    while forced is not None and len(nodes) < len(target):
        begun = len(nodes)
        nodes += _nodes(request, plan, forced, target[begun : begun + size], begun, first)
        yield [step(request, model.codec, i, nodes[i], texts[i]) for i in range(begun, len(nodes))]
    hypotheses: tuple[Hypothesis, ...] = ()
    if forced is not None and first >= 0:
        attention = forced.attention
        of_target = None if attention is None else attention[first:]
        hypotheses = (results.of_score(model, request, read, nodes, of_target),)
    yield [_finished(request, model.codec.text(target), hypotheses, forced)]


def _finished(
    request: Request, text: str, hypotheses: tuple[Hypothesis, ...], forced: Forced | None
) -> Finished:
    """The end; ``forced`` is the pass in which the text was read, None where none was needed."""
    return Finished(
        id=request.id,
        reason="done",
        text=text,
        hypotheses=hypotheses,
        batch=forced.rows if forced is not None else 1,
        padded=forced.padded if forced is not None else 0,
    )


def _source(model: Model, request: Request, route: Route, length: int) -> Source:
    """The prompt; a language model needs none, but shares its positions between prompt and text."""
    if not length:
        raise BackendError("empty_prompt", "there is no text to score", "give at least one word")
    most = model.max_target - len(route.opens)
    if length > most:
        raise BackendError(
            "prompt_too_long",
            f"the text has {length} tokens, model '{model.name}' takes {most} at most",
            "score it in parts",
        )
    room = most - length if model.causal else model.max_prompt
    if room is not None:
        room -= len(route.before)
    source = prompts.read(model, request, room)
    if not source.ids and not model.causal:
        raise BackendError("empty_prompt", "the prompt is empty", "give the source of the text to score")
    return source


def _before(
    model: Model, request: Request, route: Route, source: Source, target: list[int]
) -> tuple[list[int], int]:
    """What the decoder reads, and the position that is about the first token of ``target``: -1 for none."""
    if not model.causal:
        # What every answer opens with is given and has no score, unless it is asked for as a token.
        opens = [] if tuple(target[: len(route.opens)]) == route.opens else [*route.opens]
        return [route.begin, *opens, *target[:-1]], len(opens)
    dictionary = model.task.target_dictionary
    begin = [route.begin]
    if not source.ids and request.opening != "auto":
        begin = {"bos": [dictionary.bos()], "eos": [dictionary.eos()], "none": []}[request.opening]
    whole = [*begin, *source.ids, *target]
    return whole[:-1], len(whole) - len(target) - 1


def _nodes(
    request: Request, plan: Plan, forced: Forced, tokens: list[int], begun: int, first: int
) -> list[Node]:
    """The steps of ``tokens``, the first of which has index ``begun``."""
    at = first + begun
    raw, searched = forced.thoughts(at, at + len(tokens), plan.temperature, request.params.unkpen)
    if strange := raw.isnan().any(1).nonzero().flatten().tolist():
        raise not_a_number(begun + strange[0])
    rows = torch.arange(len(tokens), device=raw.device)
    chosen = torch.tensor(tokens, device=raw.device)
    increments = searched[rows, chosen]
    columns = [chosen, increments, increments, torch.full_like(increments, torch.nan)]
    table = figures.table(raw, rows, columns, request.params.logprobs)
    whole = figures.wire(raw) if request.distributions else None
    return [grown(None, row, True, whole(place) if whole else b"") for place, row in enumerate(table)]
