"""A smaller model of the same vocabulary as a drafter.

It draws as the model itself does, with the same processors and the same noise: coupled draws part only as far
as the two distributions do. What it says costs acceptance at most and never changes a token, so its rows may
lag behind, be cut back at will, and be given up when they do not fit.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from backends.hf.choosing import sampling
from backends.hf.guesses.speculation import Ahead, Following
from backends.hf.state.causal import CausalRows


@dataclass(frozen=True, slots=True)
class Helper:
    """A loaded assistant."""

    network: Any
    context: int | None
    """Most positions it has, where there is a limit."""
    embeddings: int
    """How many token ids it can read."""
    width: int
    """Size of the vocabulary of the model it helps; that of its own may be padded otherwise."""
    part: int
    """Most tokens it reads in one pass."""

    def rows(self) -> CausalRows:
        """State for one text."""
        return CausalRows(self.network)


class Assistant:
    """A ``speculation.Drafter`` for one row."""

    def __init__(self, helper: Helper) -> None:
        self._helper = helper
        self._rows = helper.rows()
        self._held: list[int] = []
        """The tokens that the rows hold."""
        self._sure = 0
        """So many of them are the row's own; those after were drafted."""

    def draft(self, row: Following, most: int) -> list[int]:
        """What the assistant would write; nothing while it still reads a long prompt, or where it cannot."""
        helper, text = self._helper, row.history
        new = self._settle(text)
        if helper.context is not None:
            most = min(most, helper.context - len(text) + 1)
        if most <= 0 or max(new) >= helper.embeddings:
            return []
        part = new[: helper.part]
        logits = self._rows.read(part)
        self._held += part
        self._sure = len(self._held)
        draft: list[int] = []
        while len(part) == len(new):
            ahead = Ahead(row, draft)
            ahead.alternatives = 0
            tokens, [choice] = sampling.choose(self._fitted(logits), [ahead])
            if not (choice.valid and choice.possible):
                break
            draft.append(choice.token)
            if len(draft) == most:
                break
            logits = self._rows.decode(tokens)
            self._held.append(choice.token)
        return draft

    def _settle(self, text: list[int]) -> list[int]:
        """Let go of what the text did not become; returns what is to be read of it, its last token always."""
        right, end = self._sure, min(len(self._held), len(text) - 1)
        while right < end and self._held[right] == text[right]:
            right += 1
        if right < len(self._held):
            self._rows.crop(right)
            del self._held[right:]
        return text[right:]

    def _fitted(self, logits: Tensor) -> Tensor:
        """``logits`` over the vocabulary of the model that is helped; tokens without any are impossible."""
        missing = self._helper.width - logits.shape[1]
        return pad(logits, (0, missing), value=-torch.inf) if missing else logits
