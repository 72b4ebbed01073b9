"""Prompts on their way into the model: a part at each step, so that running answers never wait for long."""

from collections.abc import Sequence

from torch import Tensor

from backends.hf.answer import Answer
from backends.hf.beams import BeamSearch
from backends.hf.choosing import sampling
from backends.hf.model import Model
from backends.hf.probes.scoring import Scoring
from backends.hf.state.causal import CausalRows, Snapshot
from backends.hf.state.memory import Demand
from backends.hf.state.rows import Rows
from repl.messages import Event

Work = Answer | BeamSearch | Scoring


class Reading:
    """Requests whose prompts are read together; those with equal prompts share a row.

    One long prompt is read in as many parts as it takes, several short ones in one pass. The forced beginning
    of an answer, whose request is then the only one, is read in parts after the prompt.
    """

    def __init__(self, model: Model, works: Sequence[Work], before: Snapshot | None = None) -> None:
        """``before`` is what an earlier request left of the beginning of the only prompt, and of ``known``
        tokens after it."""
        self.works = list(works)
        self.rows: Rows = model.rows()
        self.logits: Tensor | None = None
        """``[prompts, vocab]``, after all that was read."""
        self.choices: list[sampling.Choice] = []
        """The forced beginning."""
        self._divisible = model.divisible and isinstance(self.rows, CausalRows)
        self._shares = model.ragged and all(map(_plain, works))
        self._prompts = _different(works)
        self._told = 0
        self._read = 0
        """Tokens of the prompt that the rows hold."""
        if before:
            assert isinstance(self.rows, CausalRows)
            self.rows.restore(before)
            self._read = min(self.rows.length, len(self._prompts[0]))
            self.choices = sampling.bare(self._forced[: self.rows.length - self._read])

    @property
    def sources(self) -> list[int]:
        """For each of ``works`` the row that holds its prompt."""
        return [self._prompts.index(text_of(work)) for work in self.works]

    @property
    def done(self) -> bool:
        """Whether everything is read."""
        return self._rest == 0 and len(self.choices) == len(self._forced)

    @property
    def _rest(self) -> int:
        return max(map(len, self._prompts)) - self._read

    @property
    def _forced(self) -> list[int]:
        return [] if _begun(self.works[0]) else self.works[0].prompt.forced

    def takes(self, work: Work, most: int) -> bool:
        """Whether ``work`` can be read along: its prompt is here already, or one pass is enough for all."""
        if not self._shares or not _plain(work):
            return False
        if work.prompt.ids in self._prompts:
            return True
        longest = max(len(work.prompt.ids), *map(len, self._prompts))
        return not self._read and longest * (len(self._prompts) + 1) <= most

    def add(self, work: Work) -> None:
        """Read ``work`` along."""
        self.works.append(work)
        if work.prompt.ids not in self._prompts:
            self._prompts.append(work.prompt.ids)

    def drop(self, request_id: int) -> None:
        """Leave out a request."""
        self.works = [work for work in self.works if work.request.id != request_id]
        if not self._read:
            self._prompts = _different(self.works)

    def part(self, left: int, budget: int) -> int:
        """Tokens, padding included, of what comes next when ``left`` of a step's ``budget`` is not yet spent.

        It is more than ``left`` where the prompts cannot be read in parts of any size.
        """
        # On the exact lane the parts must not depend on what else is read.
        most = budget if self.works[0].request.lane == "exact" else left
        if self._rest == 0:
            return min(most, len(self._forced) - len(self.choices))
        if self._divisible and len(self._prompts) == 1:
            return min(most, self._rest)
        return len(self._prompts) * self._rest

    def tell(self) -> list[Event]:
        """What is known of a text that is being scored and was not told yet."""
        first = self.works[0]
        if not isinstance(first, Scoring):
            return []
        events = first.take(self.choices[self._told :])
        # Whole distributions are large.
        self.choices = [choice._replace(distribution=b"") for choice in self.choices]
        self._told = len(self.choices)
        return events

    def advance(self, count: int) -> None:
        """Read ``count`` tokens, as ``part`` told them."""
        at = len(self.choices)
        if self._rest == 0 and at < len(known := known_tokens(self.works[0])):
            choices, self.logits = sampling.skip(self.rows, known[at : at + count])
            self.choices += choices
        elif self._rest == 0:
            assert self.logits is not None
            choices, self.logits = sampling.force(
                self.rows,
                self.logits,
                self._forced[at : at + count],
                self.works[0].alternatives,
                self.works[0].request.distributions,
                self.works[0].process if isinstance(self.works[0], Scoring) else None,
            )
            self.choices += choices
        elif len(self._prompts) > 1 or count >= self._rest + self._read:
            self.logits = self.rows.prefill(self._prompts)
            self._read += self._rest
        else:
            assert isinstance(self.rows, CausalRows)
            self.logits = self.rows.read(self._prompts[0][self._read : self._read + count])
            self._read += count


def known_tokens(work: Work) -> list[int]:
    """The beginning of what is forced whose figures nobody asks for."""
    known = work.request.known if isinstance(work, Answer) and not work.begun else 0
    return work.prompt.forced[:known]


def demand(model: Model, work: Work) -> Demand:
    """What ``work`` may come to hold."""
    prompt = work.prompt
    length = len(model.start) + len(prompt.ids) + prompt.limit
    if isinstance(work, BeamSearch):
        return Demand(work.request.params.beam, length, joins=False)
    if isinstance(work, Scoring):
        return Demand(1, length, joins=False)
    return Demand(len(work.rows), length, joins=model.ragged and work.request.lane == "fast")


def _plain(work: Work) -> bool:
    """Whether nothing keeps the request from sharing its forward passes with others."""
    return isinstance(work, Answer) and work.request.lane == "fast" and not (work.prompt.forced or work.begun)


def _begun(work: Work) -> bool:
    """Whether it stepped back amid its answer, which is read again like a prompt."""
    return isinstance(work, Answer) and work.begun


def text_of(work: Work) -> list[int]:
    """What is read of ``work`` before anything that is forced."""
    return work.reads if isinstance(work, Answer) else work.prompt.ids


def _different(works: Sequence[Work]) -> list[list[int]]:
    """Each prompt once, in order."""
    prompts: list[list[int]] = []
    for work in works:
        if (text := text_of(work)) not in prompts:
            prompts.append(text)
    return prompts
