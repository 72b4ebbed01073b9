"""Prompts that a command sends: the one typed with it, else the last, as a plain line would be sent."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from repl.messages import Message
from repl.session.compose import wrapping
from repl.session.errors import InputError
from repl.session.inquiry import Inquiry, like

if TYPE_CHECKING:
    from repl.session.session import Session


def plain(session: "Session", model: str, prompt: str) -> Inquiry:
    """What a line to ``model`` asks at the beginning of a conversation."""
    template, chat = wrapping(session.models[model], session.template, session.capabilities(model))
    system = (Message(role="system", text=session.system),) if chat and session.system else ()
    return Inquiry(
        model=model,
        task="generate",
        prompt=prompt,
        history=system,
        template=template,
        lane="fast",
    )


def last_prompt(session: "Session") -> str:
    """What was asked last; raises ``InputError``."""
    last = session.last_line()
    if not last:
        raise InputError("nothing has been asked yet", "give the prompt too")
    return last[0].prompt


def prompted(session: "Session", models: Sequence[str], prompt: str) -> list[Inquiry]:
    """``prompt`` for each model or, where it is empty, the last one again with what went before it."""
    if prompt:
        return [plain(session, model, prompt) for model in models]
    text = last_prompt(session)
    asked = {x.model: x for x in session.last_line() if x.prompt == text}
    return [
        replace(like(asked[model]), params={}, exactly=False, prefix="", prefix_ids=(), sample=0)
        if model in asked
        else plain(session, model, text)
        for model in models
    ]
