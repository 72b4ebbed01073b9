"""From a request to the work that it is."""

from collections.abc import Sequence

from backends.base import BackendError
from backends.hf.answer import Answer
from backends.hf.beams import BeamSearch
from backends.hf.model import Model
from backends.hf.probes.lens import Looking
from backends.hf.probes.scoring import Scoring
from backends.hf.prompt import build
from backends.hf.reading import Work
from repl.messages import Request

_INSTEAD = {
    "classify": "/classify asks classifiers; /target compares how likely this model finds given answers",
    "fill": "/cloze asks masked language models; /logprobs shows what else could stand at a token",
    "lens": "/lens asks decoder-only models that torch runs on one device",
}
"""What to do about a task that a model cannot do."""


def check(model: Model, tasks: Sequence[str], request: Request) -> None:
    """Refuse what is not among the ``tasks`` of the model."""
    if request.task not in tasks:
        raise BackendError(
            "unsupported",
            f"model '{model.name}' writes text: it cannot {request.task} here",
            _INSTEAD.get(request.task, "/score tells how likely a text is"),
        )


def work_of(model: Model, request: Request) -> Work | Looking:
    """What is to be done; raises ``BackendError`` for what cannot be."""
    if request.task == "lens":
        return Looking(model, request)
    if request.task == "score":
        return Scoring(model, request)
    prompt = build(model, request)
    if request.params.beam > 1:
        return BeamSearch(model, request, prompt)
    return Answer(model, request, prompt)
