"""Conversations: for each model, the chain of exchanges that leads to the present.

An exchange points to its parent, so the exchanges form a tree and a conversation is the walk from its head to
the root. Retrying or editing an earlier line moves the head back and grows a new branch; nothing is deleted.
"""

import secrets
from dataclasses import dataclass, field

from repl.messages import Message
from repl.session.exchange import Exchange


@dataclass
class Conversation:
    """Where a model's next line continues."""

    id: str = field(default_factory=lambda: secrets.token_hex(8))
    head: Exchange | None = None

    def history(self, system: str) -> tuple[Message, ...]:
        """The messages before the next prompt: ``system`` if there is one, then each answered turn.

        A turn counts once it has finished or was stopped with some text shown; one that failed, was lost or
        still runs is left out, prompt and all.
        """
        turns: list[Message] = []
        turn = self.head
        while turn is not None:
            if turn.state in ("finished", "stopped") and turn.answer.text:
                turns.append(Message(role="assistant", text=turn.answer.text))
                turns.append(Message(role="user", text=turn.prompt))
            turn = turn.parent
        if system:
            turns.append(Message(role="system", text=system))
        return tuple(reversed(turns))


def home(turn: Exchange | None) -> str | None:
    """The replica that last served a conversation ending in ``turn``: its cache is warm."""
    while turn is not None:
        if turn.replica is not None:
            return turn.replica
        turn = turn.parent
    return None


class Conversations:
    """The current conversation of each model."""

    def __init__(self) -> None:
        self._current: dict[str, Conversation] = {}

    def of(self, model: str) -> Conversation:
        """The model's current conversation, a new one if there is none."""
        return self._current.setdefault(model, Conversation())

    def reset(self, model: str) -> None:
        """Forget it: the next line starts a new one."""
        self._current.pop(model, None)

    def advance(self, exchange: Exchange) -> None:
        """``exchange`` is now the last of its conversation, and that is the model's current one."""
        self._current[exchange.model] = Conversation(exchange.conversation, exchange)

    def rewind(self, exchange: Exchange) -> None:
        """Go back to before ``exchange``: the next line takes its place."""
        self._current[exchange.model] = Conversation(exchange.conversation, exchange.parent)
