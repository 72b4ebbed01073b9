"""The cursor that walks the tokens of an answer, and what stands to choose where it is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len

from repl.probe.figure import likelier, nats_to_bits, piece_text
from repl.probe.table import cut
from repl.tui.words import join

if TYPE_CHECKING:
    from collections.abc import Sequence

    from repl.messages import Step
    from repl.tui.status import Words
    from repl.tui.views.answers import AnswerBlock

BAR = 10
"""Cells of a bar that stands for certainty."""
WIDEST_PIECE = 24
KEYS = "←→ walk · ↑↓ 1-9 choose · Enter branches · h hands on · c copies · Esc"
NONE_KEPT = (
    "no alternatives were kept here:",
    "f scores the answer again to have them;",
    "/logprobs on keeps them from now on",
)


class Choice(NamedTuple):
    """A token that could have stood at a place."""

    token: int
    piece: bytes
    nats: float | None
    answered: bool
    """It is the one that stands there."""


def choices(step: Step) -> list[Choice]:
    """The likeliest tokens, best first, and last the one that was answered if it is not among them."""
    found = [Choice(token, piece, nats, token == step.token) for token, nats, piece in step.top]
    if found and not any(choice.answered for choice in found):
        found.append(Choice(step.token, step.piece, step.raw_lp, True))
    return found


class TokenCursor:
    """A place in the answer of ``block``. A view that has it draws it anew with ``TokenView.point``."""

    def __init__(self, block: AnswerBlock, index: int) -> None:
        self.block = block
        self.index = index
        self.picked: int | None = None
        """Which of ``choices`` is picked; None is the token that stands there."""
        self.scored: Sequence[Step] = ()
        """The same tokens scored again, for answers that were kept without alternatives."""

    @property
    def steps(self) -> Sequence[Step]:
        """All tokens, with their alternatives as far as they are known."""
        steps = self.block.exchange.answer.steps
        same = len(self.scored) == len(steps) and all(
            a.token == b.token for a, b in zip(self.scored, steps, strict=True)
        )
        return self.scored if same else steps

    @property
    def step(self) -> Step | None:
        """The token here; None while an answer that was taken back has none."""
        return self.steps[self.index] if self.index < len(self.steps) else None

    @property
    def choices(self) -> list[Choice]:
        """What could stand here."""
        return choices(self.step) if self.step is not None else []

    @property
    def number(self) -> int | None:
        """The picked alternative's place from 1; None unless it differs from the answer."""
        found = self.choices
        if self.picked is None or not self.picked < len(found) or found[self.picked].answered:
            return None
        return self.picked + 1

    @property
    def piece(self) -> bytes:
        """The bytes of the picked alternative, or of the token here."""
        if self.picked is not None and self.picked < len(self.choices):
            return self.choices[self.picked].piece
        return self.step.piece if self.step is not None else b""

    @property
    def branch(self) -> str:
        """The command that goes on from here with what is picked."""
        number = self.number
        if number is not None and self.step is not None and number <= len(self.step.top):
            word = f"~{number}"
        else:
            word = f"#{self.step.token}" if self.step is not None else ""
        return f"/branch #{self.block.exchange.id} @{self.index} {word}"

    def go(self, index: int) -> None:
        """Go to a token, the last one if there are fewer."""
        self.index = max(0, min(index, len(self.steps) - 1))
        self.picked = None

    def walk(self, by: int) -> None:
        """Go ``by`` tokens on, or back."""
        self.go(self.index + by)

    def word(self, by: int) -> None:
        """Go to the next token that begins a word, or to the one before."""
        begins = [at for at in range(len(self.steps)) if self._begins_word(at)]
        ahead = [at for at in begins if (at > self.index if by > 0 else at < self.index)]
        if ahead:
            self.go(ahead[0] if by > 0 else ahead[-1])
        else:
            self.go(len(self.steps) - 1 if by > 0 else 0)

    def _begins_word(self, at: int) -> bool:
        text = self.steps[at].text
        before = self.steps[at - 1].text if at else " "
        return bool(text.strip()) and (text[0].isspace() or before[-1:].isspace())

    def pick(self, number: int) -> None:
        """Pick an alternative by its place, from 0."""
        if 0 <= number < len(self.choices):
            self.picked = number

    def pick_next(self, by: int) -> None:
        """Pick the alternative ``by`` places on, beginning at the token that stands here."""
        found = self.choices
        if found:
            now = self.picked
            if now is None:
                now = next((at for at, choice in enumerate(found) if choice.answered), 0)
            self.picked = max(0, min(now + by, len(found) - 1))

    # -- in words --------------------------------------------------------------------------------------------

    def rows(self) -> list[Words]:
        """What the strip beside the token says."""
        step = self.step
        if step is None:
            return [[("this token was taken back", "muted")]]
        rows: list[Words] = [[(self._place(), "muted")], [(figures(step), "muted")]]
        found = self.choices
        if not found:
            return [*rows, *([(words, "")] for words in NONE_KEPT)]
        names = [cut(piece_text(choice.piece) or "∅", WIDEST_PIECE) for choice in found]
        width = max(map(cell_len, names))
        for at, (choice, name) in enumerate(zip(found, names, strict=True)):
            here = at == self.picked if self.picked is not None else choice.answered
            rows.append(_choice(at, choice, name + " " * (width - cell_len(name)), step, here))
        return [*rows, [(KEYS, "muted")]]

    def _place(self) -> str:
        exchange = self.block.exchange
        return f"#{exchange.id} @{self.index} of {len(self.steps)} tokens"


def _choice(at: int, choice: Choice, name: str, step: Step, here: bool) -> Words:
    share = math.exp(choice.nats) if choice.nats is not None else None
    percent = f"{share * 100:6.2f} %" if share is not None else "      –  "
    bar = "█" * round((share or 0.0) * BAR)
    sign = "▸" if here else " "
    listed = at < len(step.top)
    number = f"{at + 1:2d}" if listed else " …"
    style = "chosen" if here else ""
    words = [(f"{sign}{number} ", "strong" if here else "muted"), (name, style), (f" {percent} ", "")]
    return [*words, (f"{bar:<{BAR}}", "muted"), (" answered" if choice.answered else "", "muted")]


def figures(step: Step) -> str:
    """What is known of a token: ``·wrap · id 421 · 2.31 bits · 2 likelier · H 3.02 bits``."""
    bits = f"{-nats_to_bits(step.raw_lp):.2f} bits" if step.raw_lp is not None else "no log-probability"
    return join(
        cut(piece_text(step.piece) or "∅", WIDEST_PIECE),
        f"id {step.token}",
        bits,
        likelier(step.rank) if step.rank is not None else "",
        f"H {nats_to_bits(step.entropy):.2f} bits" if step.entropy is not None else "",
        "forced" if step.forced else "",
    )
