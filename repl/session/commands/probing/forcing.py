"""What models are made to read: the tokens of an answer after its prompt, or a text."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from repl.session.commands.base import one_model, recall
from repl.session.commands.probing.asking import plain
from repl.session.errors import InputError
from repl.session.exchange import Origin
from repl.session.inquiry import Inquiry, inquire, succeeded

if TYPE_CHECKING:
    from repl.messages import Capabilities, Message
    from repl.params import Value
    from repl.session.exchange import Exchange
    from repl.session.session import Session

ALTERNATIVES = 5


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A text, with what stands before it."""

    prompt: str = ""
    history: "tuple[Message, ...]" = ()
    template: bool = False
    truncate: str = "off"
    text: str
    ids: tuple[int, ...] = ()
    """The tokens of the answer it is, by the model that gave it; empty for a text that was typed."""
    exchange: int | None = None
    """Number of that answer."""

    @property
    def settings(self) -> "dict[str, Value]":
        """Over the built-in ones."""
        return {"logprobs": ALTERNATIVES, "truncate": self.truncate}

    def origin(self, how: str) -> Origin:
        """Of what the command ``how`` makes of it."""
        return Origin(self.exchange, how=how)

    def inquiry(
        self, model: str, how: str, *, by_ids: bool, distributions: bool, pin: str | None = None
    ) -> Inquiry:
        """Have ``model`` read it in the exact lane."""
        return Inquiry(
            model=model,
            task="score",
            prompt=self.prompt,
            history=self.history,
            template=self.template,
            target="" if by_ids else self.text,
            target_ids=self.ids if by_ids else (),
            distributions=distributions,
            params=self.settings,
            exactly=True,
            pin=pin,
            origin=self.origin(how),
        )


def answer(exchange: "Exchange") -> Reading:
    """An answer as its model wrote it; raises ``InputError`` for one without tokens."""
    if not exchange.answer.steps:
        raise InputError(f"#{exchange.id} has no tokens", "name another; /history lists them")
    return Reading(
        prompt=exchange.request.prompt,
        history=exchange.request.history,
        template=exchange.request.template,
        truncate=exchange.params.truncate,
        text=exchange.answer.text,
        ids=tuple(step.token for step in exchange.answer.steps),
        exchange=exchange.id,
    )


async def chosen(session: "Session", model: str, words: str) -> Reading:
    """The answer ``#id``, else what ``model`` answers to a prompt, else its last answer."""
    if words.startswith("#"):
        return answer(await recall(session, words))
    if words:
        asked = replace(plain(session, model, words), shown=True)
        (exchange,) = succeeded(await inquire(session, [asked]))
        return answer(exchange)
    last = next((x for x in reversed(session.exchanges) if x.model == model and x.answer.steps), None)
    if last is None:
        raise InputError(f"{model} has not answered anything yet", "give a prompt or #id too")
    return answer(last)


def pair(session: "Session", argument: str, usage: str) -> tuple[str, str, str]:
    """The two models an argument begins with, and the rest of it; raises ``InputError``."""
    first, second, rest = [*argument.split(maxsplit=2), "", "", ""][:3]
    if not second:
        raise InputError("which two models?", usage)
    return one_model(session, first), one_model(session, second), rest


async def loaded(session: "Session", model: str) -> "Capabilities":
    """What ``model`` can do, as soon as one of its replicas knows; raises ``InputError`` if none will."""
    if (known := session.capabilities(model)) is not None:
        return known
    changed = asyncio.Event()
    unwatch = session.coordinator.watch(lambda status: changed.set())
    try:
        while (known := session.capabilities(model)) is None:
            own = [status for status in session.status() if status.model == model]
            if all(status.state in ("failed", "stopped") for status in own):
                error = next((status.error for status in own if status.error is not None), None)
                hint = error.message if error is not None else "/replicas shows why"
                raise InputError(f"{model} has no replica that runs", hint)
            changed.clear()
            await changed.wait()
    finally:
        unwatch()
    return known


async def one_vocabulary(session: "Session", models: Sequence[str]) -> bool:
    """Whether all of them have the same tokens under the same ids."""
    prints = {(await loaded(session, model)).vocab_fingerprint for model in models}
    return len(prints) == 1 and "" not in prints


async def must_score(session: "Session", model: str) -> "Capabilities":
    """What it can do; raises ``InputError`` for a model that cannot score a text."""
    known = await loaded(session, model)
    if "score" not in known.tasks:
        backend = session.models[model].backend
        raise InputError(f"{model} ({backend}) cannot score a text", f"it can {', '.join(known.tasks)}")
    return known
