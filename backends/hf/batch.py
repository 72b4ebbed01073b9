"""Rows that share their forward passes, and the requests they belong to."""

from collections.abc import Sequence

import torch
from torch import Tensor

from backends import upload
from backends.faults import is_out_of_memory
from backends.hf.answer import Answer, Row
from backends.hf.choosing import sampling
from backends.hf.events import no_token_left, not_a_number
from backends.hf.guesses.speculation import Ahead
from backends.hf.state.causal import CausalRows
from backends.hf.state.prefixes import PrefixStore
from backends.hf.state.rows import Rows
from repl.messages import Event, Failed


class Batch:
    """Members and the model's state for them, in the same order."""

    def __init__(self, rows: Rows, answers: Sequence[Answer]) -> None:
        self.rows = rows
        self._members: list[tuple[Answer, Row]] = [(answer, answer.rows[0]) for answer in answers]
        self._last: Tensor | None = None
        self._before = 0

    @property
    def answers(self) -> list[Answer]:
        """Each member's request once, oldest first."""
        return list(dict.fromkeys(answer for answer, _ in self._members))

    def begin(self, logits: Tensor, sources: Sequence[int], forced: Sequence[sampling.Choice]) -> list[Event]:
        """The forced beginning and the first token of each row.

        ``logits`` ``[prompts, vocab]`` follow what was read; ``sources`` tells for each answer which of the
        prompts is its own. An answer with a forced beginning is the only one, and so is one that stepped
        back: all but its last token is read again, which the next ``advance`` does.
        """
        answers = self.answers
        events: list[Event] = []
        if answers[0].begun:
            self._last = upload.integers([row.history[-1] for _, row in self._members], logits.device)
            self.reserve()
            return events
        for answer in answers:
            answer.batch, answer.padded = max(answer.batch, 1), max(answer.padded, self.rows.length)
            for row in answer.rows:
                events += answer.force(row, forced)
        if all(answer.done for answer in answers):  # the beginning was all there is
            return events
        order = [source for answer, source in zip(answers, sources, strict=True) for _ in answer.rows]
        if order != list(range(self.rows.size)):  # samples of one prompt part here
            self.rows.select(order)
            logits = logits.index_select(0, upload.integers(order, logits.device))
        self._members = [(answer, row) for answer in answers for row in answer.rows]
        self.reserve()
        return events + self._take(logits)

    def reserve(self) -> None:
        """Tell the rows how long they may become for now."""
        if isinstance(self.rows, CausalRows):
            self.rows.reserve(max(answer.granted for answer, _ in self._members))

    def advance(self) -> list[Event]:
        """One token more for each row, or several for a row that is alone and has a draft."""
        assert self._last is not None
        self._before = self.rows.length
        if len(self._members) == 1 and (draft := self._members[0][1].draft()):
            return self._verify(draft)
        return self._take(self.rows.decode(self._last))

    def _verify(self, draft: list[int]) -> list[Event]:
        """Read a draft for the only row in one pass, and write what the row would have written without it."""
        [(answer, row)] = self._members
        assert isinstance(self.rows, CausalRows) and row.drafts is not None
        ahead = [Ahead(row, draft[:count]) for count in range(len(draft) + 1)]
        tokens, choices = sampling.choose(self.rows.feed([row.history[-1], *draft]), ahead)
        answer.padded = max(answer.padded, self.rows.length)
        row.drafts.offer(len(draft))
        events: list[Event] = []
        for index, choice in enumerate(choices):
            right = draft[index : index + 1] == [choice.token]
            if right:
                row.drafts.confirm()
            events += _write(answer, row, choice)
            if row.reason or answer.failed or not right:
                break
        self.rows.crop(len(row.history) - 1)  # the last token is read by the next pass
        self._last = tokens[index : index + 1]
        return events

    def retreat(self) -> bool:
        """Undo an ``advance`` that ran out of memory, so that it can be tried again; False if impossible."""
        if not isinstance(self.rows, CausalRows):
            return False
        self.rows.crop(self._before)
        return True

    def compact(self, store: PrefixStore | None) -> None:
        """Take out the rows that are complete, failed, cancelled or stepped back; ``store`` keeps texts."""
        keep = [i for i, (answer, row) in enumerate(self._members) if not _leaves(answer, row)]
        if len(keep) == len(self._members):
            return
        if store is not None and isinstance(self.rows, CausalRows):
            for i in set(range(len(self._members))).difference(keep):
                self._preserve(i, self.rows, store)
        self._members = [self._members[i] for i in keep]
        if keep and self._last is not None:
            self.rows.select(keep)
            self.reserve()
            self._last = self._last.index_select(0, upload.integers(keep, self._last.device))

    def _preserve(self, index: int, rows: CausalRows, store: PrefixStore) -> None:
        """Keep what a row holds; of several samples only the first."""
        answer, row = self._members[index]
        ids = row.history[: rows.held(index)]
        # There is no room for what stepped back.
        if row is not answer.rows[0] or answer.failed or answer.away or not store.wants(ids):
            return
        try:
            store.add(ids, rows.snapshot(index))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            store.shrink(0)

    def join(self, other: "Batch") -> None:
        """Take in another batch; both must have ``CausalRows``, and ``other`` is used up."""
        assert isinstance(self.rows, CausalRows) and isinstance(other.rows, CausalRows)
        assert self._last is not None and other._last is not None
        self.rows.join(other.rows)
        self._members += other._members
        self.reserve()
        self._last = torch.cat([self._last, other._last])

    def _take(self, logits: Tensor) -> list[Event]:
        """Draw from ``logits`` ``[rows, vocab]``."""
        self._last, choices = sampling.choose(logits, [row for _, row in self._members])
        size = len(self._members)
        events: list[Event] = []
        for (answer, row), choice in zip(self._members, choices, strict=True):
            if answer.failed:
                continue
            answer.batch = max(answer.batch, size)
            answer.padded = max(answer.padded, self.rows.length)
            events += _write(answer, row, choice)
        return events


def _leaves(answer: Answer, row: Row) -> bool:
    return row.reason is not None or answer.failed or answer.cancelled or answer.away


def _write(answer: Answer, row: Row, choice: sampling.Choice) -> list[Event]:
    """One token of one row; what cannot be one fails the request."""
    if choice.valid and choice.possible:
        return answer.push(row, choice)
    answer.failed = True
    fault = no_token_left if choice.valid else not_a_number
    return [Failed(id=answer.request.id, error=fault(len(row.tokens)).error)]
