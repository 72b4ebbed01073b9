"""Texts that wait to be scored share passes of the networks."""

from backends.fairseq.load import Model
from backends.fairseq.teacher import Forced, Text, read

LOGITS = 64 << 20
"""Bytes of logits that a pass of several texts may give; one text may give more."""
_RATIO, _SLACK = 2.0, 16
"""How much longer than the shortest text of a pass its longest may be."""


class Wait:
    """A text on its way into a pass."""

    def __init__(self, text: Text, *, alone: bool) -> None:
        self.text, self.alone = text, alone
        self.forced: Forced | None = None
        """Once it has been read."""


class Passes:
    """Of one model; ``most`` texts share one."""

    def __init__(self, model: Model, most: int) -> None:
        self._model, self._most = model, most
        self._waiting: list[Wait] = []

    def enter(self, text: Text, *, alone: bool) -> Wait:
        """From now on it may be read with others, unless it is to be ``alone``."""
        wait = Wait(text, alone=alone)
        self._waiting.append(wait)
        return wait

    def leave(self, wait: Wait) -> None:
        """It need not be read any more."""
        if wait in self._waiting:
            self._waiting.remove(wait)

    def forced(self, wait: Wait) -> Forced:
        """What the networks think of it. Raises what they raise when it is read alone."""
        if wait.forced is None:
            chosen = self._alike(wait)
            try:
                self._read(chosen)
            except Exception:
                if len(chosen) == 1:
                    raise
            if wait.forced is None:  # not in there: what the pass had made would be held meanwhile
                for each in chosen:  # whoever is at fault, and whoever takes too much, is found alone
                    each.alone = True
                self._read([wait])
        assert wait.forced is not None
        return wait.forced

    def _read(self, chosen: list[Wait]) -> None:
        found = read(self._model, [wait.text for wait in chosen])
        for wait, forced in zip(chosen, found, strict=True):
            wait.forced = forced
            self.leave(wait)

    def _alike(self, first: Wait) -> list[Wait]:
        """``first`` and others of similar length, in their order."""
        if first.alone:
            return [first]
        chosen, lengths = [first], _lengths(first)
        shortest, longest = [*lengths], [*lengths]
        width = 4 * len(self._model.codec.pieces) * len(self._model.networks)
        for other in self._waiting:
            if other is first or other.alone or len(chosen) >= self._most:
                continue
            own = _lengths(other)
            least, most = list(map(min, shortest, own)), list(map(max, longest, own))
            similar = all(high <= low * _RATIO + _SLACK for low, high in zip(least, most, strict=True))
            if similar and (len(chosen) + 1) * most[1] * width <= LOGITS:
                chosen.append(other)
                shortest, longest = least, most
        return chosen


def _lengths(wait: Wait) -> tuple[int, int]:
    return len(wait.text.source), len(wait.text.before)
