"""Who may fill how much of the memory for keys and values.

An answer seldom becomes as long as its ``max_new`` allows. So a plain one gets room for what is read and for
a part of what it may write, and more whenever that is full; where there is no more the newest steps back,
once at most, and comes back when there is room for all it may write. Everything else has all its room from
the beginning on. What is granted never adds up to more than there is.
"""

from collections.abc import Iterable

from backends.hf.answer import Answer
from backends.hf.model import Model
from backends.hf.probes.lens import Looking
from backends.hf.reading import Work, demand
from backends.hf.state import memory
from backends.hf.state.memory import Demand
from backends.hf.state.prefixes import PrefixStore

PART = 64
"""Tokens that an answer may write before it has to have more room."""

Running = Work | Looking


class Reserve:
    """The room of one model; finished texts make way for whoever needs it."""

    def __init__(self, model: Model, prefixes: PrefixStore | None) -> None:
        self._model = model
        self._prefixes = prefixes

    def begin(self, work: Running) -> None:
        """Say what ``work`` gets at first; refuses what would not even fit alone."""
        if self._model.cache_tokens is None:
            return
        memory.check(self.whole(work), self._model.cache_tokens)
        if isinstance(work, Answer) and self._may_return(work):
            work.settled = False
            work.granted = min(work.longest, len(work.prompt.ids) + len(work.prompt.forced) + PART)

    def whole(self, work: Running) -> Demand:
        """What ``work`` may come to hold."""
        return work.demand if isinstance(work, Looking) else demand(self._model, work)

    def granted(self, work: Running) -> Demand:
        """What ``work`` may hold for now."""
        whole = self.whole(work)
        return whole._replace(length=min(whole.length, work.granted)) if isinstance(work, Answer) else whole

    def account(self, running: Iterable[Running]) -> "Account":
        """Of all that is running."""
        return Account(self, running)

    def extends(self, running: Iterable[Running], answer: Answer) -> bool:
        """Give one of those that are running another part, if there is room for it."""
        before = answer.granted
        answer.granted = min(answer.longest, before + PART)
        if self.fits(map(self.granted, running)):
            return True
        answer.granted = before
        return False

    def fits(self, demands: Iterable[Demand]) -> bool:
        """Whether there is room for all of these together; if so, finished texts let go of it."""
        if self._model.cache_tokens is None:
            return True
        free = self._model.cache_tokens - memory.tokens(demands)
        if self._prefixes is not None and free >= 0:
            self._prefixes.shrink(free)
        return free >= 0

    def _may_return(self, answer: Answer) -> bool:
        """Whether what was read can be read again, beside others and in parts, and changes no token."""
        request = answer.request
        plain = request.lane == "fast" and not request.distributions and len(answer.rows) == 1
        return plain and self._model.divisible and self._model.drafts is None


class Account:
    """What all that is running may hold, now and in the end."""

    def __init__(self, reserve: Reserve, running: Iterable[Running]) -> None:
        self._reserve = reserve
        self._now: list[Demand] = []
        self._whole: list[Demand] = []
        for work in running:
            self.add(work)

    def __len__(self) -> int:
        return len(self._now)

    def add(self, work: Running) -> None:
        """It runs too."""
        self._now.append(self._reserve.granted(work))
        self._whole.append(self._reserve.whole(work))

    def admits(self, work: Running) -> bool:
        """Whether one more may run: one that cannot step back must never have others do so."""
        if isinstance(work, Answer) and not work.settled:
            return self._reserve.fits([*self._now, self._reserve.granted(work)])
        return self._reserve.fits([*self._whole, self._reserve.whole(work)])
