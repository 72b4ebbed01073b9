"""What fairseq returns when a request is complete, as the messages of ``repl.messages``."""

from collections.abc import Sequence
from typing import Any

from backends.fairseq.answer import Answer, visible
from backends.fairseq.generation import Hypotheses
from backends.fairseq.load import Model
from backends.fairseq.nodes import Ends
from backends.fairseq.plan import Plan
from backends.fairseq.prompt import Prompt
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
) -> list[Event]:
    """The steps that complete the best answer, and ``Finished``.

    The n-best list of a beam search, best first; of sampling the samples in their order, the first of which
    was shown. ``found`` and ``ends`` are those of each sentence; ``batch`` counts all hypotheses that were
    decoded together. An end token that the length limit or a stop string forced is not a step.
    """
    if plan.seed is None:
        chosen = [(0, hypothesis) for hypothesis in found[0][: request.params.n]]
    else:
        chosen = [(sentence, hypotheses[0]) for sentence, hypotheses in enumerate(found)]
    hypotheses = [_hypothesis(request, model, prompt, hypothesis) for _, hypothesis in chosen]
    best = hypotheses[0]
    path = ends[chosen[0][0]][best.tokens].path()
    _, stopped = visible(model.codec, best.tokens, request.params.stop)
    reason: FinishReason = "stop" if stopped else "length" if len(path) > prompt.limit else "eos"
    events = answer.finish(path if reason == "eos" else path[:-1], best.text)
    return [
        *events,
        Finished(id=request.id, reason=reason, text=best.text, hypotheses=tuple(hypotheses), batch=batch),
    ]


def _hypothesis(request: Request, model: Model, prompt: Prompt, found: dict[str, Any]) -> Hypothesis:
    """One of fairseq's hypotheses, without a language model's prompt; its score counts the prompt."""
    tokens = found["tokens"][prompt.start :].tolist()
    text, _ = visible(model.codec, tokens, request.params.stop)
    raw = model.codec.raw(tokens)
    return Hypothesis(
        text=text,
        tokens=tuple(tokens),
        score=float(found["score"]),
        token_scores=tuple(found["positional_scores"][prompt.start :].tolist()),
        alignment=() if model.causal else _alignment(model, prompt, found),
        raw_text=raw if raw != text else "",
    )


def _alignment(model: Model, prompt: Prompt, found: dict[str, Any]) -> tuple[tuple[int, int], ...]:
    """For each token of the answer the prompt token most attended to, as ``--print-alignment hard``.

    fairseq averages the heads of the decoder's last layer, or takes the head that was trained to align.
    """
    import torch
    from fairseq.utils import extract_hard_alignment

    attention = found["attention"]
    if not attention.numel():
        return ()
    dictionary = model.task.target_dictionary
    source = torch.tensor(prompt.ids)
    pairs = extract_hard_alignment(
        attention.float().cpu().T, source, found["tokens"].cpu(), dictionary.pad(), dictionary.eos()
    )
    return tuple((int(source_at), int(target_at)) for source_at, target_at in pairs)
