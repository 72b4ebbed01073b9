"""What fairseq returns when a request is complete, as the messages of ``repl.messages``."""

from collections.abc import Sequence
from typing import Any

import torch
from fairseq.utils import extract_hard_alignment
from torch import Tensor

from backends.fairseq.answer import Answer
from backends.fairseq.generation import Hypotheses
from backends.fairseq.load import Model
from backends.fairseq.nodes import Ends, Node, end_of
from backends.fairseq.plan import Plan
from backends.fairseq.prompt import Prompt
from backends.fairseq.teacher import Text, looks_ahead, read
from backends.stops import cut
from repl.messages import Event, Finished, FinishReason, Hypothesis, Request


def finished(
    request: Request,
    model: Model,
    prompt: Prompt,
    plan: Plan,
    found: Sequence[Hypotheses],
    ends: Sequence[Ends],
    answer: Answer,
    batch: int,
    padded: int,
) -> list[Event]:
    """The steps that complete the best answer, and ``Finished``.

    The n-best list of a beam search, best first; of sampling the samples in their order, the first of which
    was shown. ``found`` and ``ends`` are those of each sentence; ``batch`` counts all hypotheses that were
    decoded together, ``padded`` is the length of the longest prompt among them.
    An end token that the length limit or a stop string forced is not a step.
    """
    if plan.seed is None:
        chosen = [(0, hypothesis) for hypothesis in found[0][: request.params.n]]
    else:
        chosen = [(sentence, hypotheses[0]) for sentence, hypotheses in enumerate(found)]
    hypotheses = [_hypothesis(request, model, prompt, hypothesis) for _, hypothesis in chosen]
    best = hypotheses[0]
    path = end_of(ends[chosen[0][0]], best.tokens, best.token_scores).path()
    text = model.codec.text(prompt.said(best.tokens))
    stopped = prompt.halts(best.tokens) or any(stop in text for stop in request.params.stop)
    reason: FinishReason = "eos"
    if stopped:
        reason = "stop"
    elif len(path) > prompt.limit and not prompt.ends:
        reason = "length"
    events = answer.finish(path if reason == "eos" else path[:-1], best.text)
    return [
        *events,
        Finished(
            id=request.id,
            reason=reason,
            text=best.text,
            hypotheses=tuple(hypotheses),
            batch=batch,
            padded=max(padded, max(len(hypothesis.tokens) for hypothesis in hypotheses)),
        ),
    ]


def of_score(
    model: Model, request: Request, source: Sequence[int], nodes: Sequence[Node], attention: Tensor | None
) -> Hypothesis:
    """A text that was scored, as fairseq's ``SequenceScorer`` has it: the score is the mean."""
    tokens = tuple(node.token for node in nodes)
    scores = tuple(node.search_lp for node in nodes if node.search_lp is not None)
    text, raw = model.codec.text(tokens), model.codec.raw(tokens)
    return Hypothesis(
        text=text,
        tokens=tokens,
        score=sum(scores) / len(scores),
        token_scores=scores,
        alignment=_alignment(model, source, tokens, attention),
        raw_text=raw if raw != text else "",
        attention=_rows(attention) if request.attention else (),
    )


def _hypothesis(request: Request, model: Model, prompt: Prompt, found: dict[str, Any]) -> Hypothesis:
    """One of fairseq's hypotheses, without a language model's prompt; its score counts the prompt."""
    tokens = found["tokens"][prompt.start :].tolist()
    attention = _attended(model, prompt, tokens, found["attention"])
    alignment = _alignment(model, prompt.ids, tokens, attention)
    known = _known(model, prompt, tokens, alignment) if request.params.replace_unk == "on" else {}
    said = prompt.said(tokens)
    text, _ = cut(model.codec.text(said, known), request.params.stop)
    raw = model.codec.raw(said, known)
    return Hypothesis(
        text=text,
        tokens=tuple(tokens),
        score=float(found["score"]),
        token_scores=tuple(found["positional_scores"][prompt.start :].tolist()),
        alignment=alignment,
        raw_text=raw if raw != text else "",
        attention=_rows(attention) if request.attention else (),
    )


def _known(
    model: Model, prompt: Prompt, tokens: Sequence[int], alignment: Sequence[tuple[int, int]]
) -> dict[int, str]:
    """For each unknown token of the answer the word it attends to, or what the user's dictionary has for it.

    fairseq's own ``--replace-unk`` fails: it takes the pairs of an alignment for places in the source.
    """
    unknown = model.task.target_dictionary.unk()
    words = {target_at: prompt.words[source_at] for source_at, target_at in alignment}
    return {
        place: model.translations.get(words[place], words[place])
        for place, token in enumerate(tokens)
        if token == unknown and place in words
    }


def _attended(model: Model, prompt: Prompt, tokens: Sequence[int], found: Tensor) -> Tensor | None:
    """The weight of each source token for each of ``tokens``, ``[target, source]``.

    fairseq averages the heads of the decoder's last layer; a model that was trained to align with the whole
    answer before it reads it once more.
    """
    if model.causal:
        return None
    if looks_ahead(model):
        (forced,) = read(model, [Text(prompt.ids, [prompt.begin, *tokens[:-1]])])
        return forced.attention
    return found.float().T if found.numel() else None


def _rows(attention: Tensor | None) -> tuple[tuple[float, ...], ...]:
    return () if attention is None else tuple(map(tuple, attention.tolist()))


def _alignment(
    model: Model, source: Sequence[int], tokens: Sequence[int], attention: Tensor | None
) -> tuple[tuple[int, int], ...]:
    """For each token of the answer the prompt token most attended to, as ``--print-alignment hard``."""
    if attention is None:
        return ()
    dictionary = model.task.target_dictionary
    pairs = extract_hard_alignment(
        attention.cpu().clone(),
        torch.tensor(source),
        torch.tensor(tokens),
        dictionary.pad(),
        dictionary.eos(),
    )
    return tuple((int(source_at), int(target_at)) for source_at, target_at in pairs)
