"""One request on its way through the engine: read, waiting, in a batch, complete."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import msgspec

from backends.fairseq import prompt as prompts
from backends.fairseq.answer import Answer
from backends.fairseq.generation import Hypotheses, Sentence
from backends.fairseq.load import Model
from backends.fairseq.nodes import Ends, Node
from backends.fairseq.plan import Plan
from backends.fairseq.prompt import Prompt, matches
from backends.fairseq.results import finished
from backends.fairseq.started import started
from repl.messages import Event, Request
from repl.params import Params

_NEUTRAL = {
    name: getattr(Params(), name)
    for name in (
        *("seed", "n", "max_new", "max_new_ratio", "min_new", "truncate", "match_source_len", "replace_unk"),
        *("source_lang", "target_lang", "max_time"),
        "constraints",  # the plan says whether there are any
    )
}


@dataclass(eq=False)
class Member:
    """What is known of a request, and what it has been told."""

    model: Model
    request: Request
    prompt: Prompt
    plan: Plan
    answer: Answer
    alone: bool
    """It shares no batch: numbers are to be compared, or the batch it was in has failed."""
    told: bool = False
    """``Started`` was sent."""
    found: dict[int, Hypotheses] = field(default_factory=dict)
    """By sample."""

    @classmethod
    def of(cls, model: Model, request: Request) -> "Member":
        """Raises ``BackendError`` for a request that cannot be begun."""
        prompt = prompts.build(model, request)
        plan = Plan.of(request.params, len(model.codec.pieces), model.dropout)
        if prompt.ends:  # nothing is left to search
            plan = replace(plan, beam=1)
        answer = Answer(request, model.codec, prompt)
        return cls(model, request, prompt, plan, answer, request.lane == "exact" or model.dropout)

    @property
    def sentences(self) -> list[Sentence]:
        """Its rows of a batch: one, or one for each sample."""
        return [
            Sentence(self.request, self.prompt, self.plan, matches(self.model, self.request.params), sample)
            for sample in range(self.plan.sentences)
        ]

    @property
    def hypotheses(self) -> int:
        """Rows of its tensors."""
        return self.plan.sentences * self.plan.beam

    @property
    def size(self) -> tuple[int, int]:
        """Hypotheses, and their greatest length."""
        return self.hypotheses, self.prompt.start + self.prompt.limit

    @property
    def kind(self) -> tuple[bool, str, int, int, bool, Params]:
        """Equal for requests that one generation can serve: what may differ is left out."""
        neutral = msgspec.structs.replace(self.request.params, **_NEUTRAL)
        return (
            self.plan.seed is None,
            self.plan.searching,
            self.plan.beam,
            self.prompt.begin,
            self.request.distributions,
            neutral,
        )

    def started(self) -> list[Event]:
        """The first event, once."""
        if self.told:
            return []
        self.told = True
        notes = self.prompt.notes + self.plan.notes
        return [started(self.model, self.request, self.prompt.ids, self.prompt, notes)]

    def follow(self, leads: Node) -> list[Event]:
        """What is new in the answer that is shown."""
        return self.answer.follow(leads)

    def finish(self, ends: Sequence[Ends], batch: int, padded: int) -> list[Event]:
        """The last events; ``ends`` for each sample, ``batch`` and ``padded`` as in ``Finished``."""
        found = [self.found[sample] for sample in range(self.plan.sentences)]
        return finished(
            self.request, self.model, self.prompt, self.plan, found, ends, self.answer, batch, padded
        )

    def again(self) -> None:
        """Back to the start, to be decoded alone."""
        self.alone = True
        self.found.clear()
