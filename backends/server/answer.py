"""One answer: what the server is asked for, and the order of what happens."""

from collections.abc import AsyncGenerator

import msgspec

from backends.server.kinds import fresh_seed, written
from backends.server.prompt import build
from backends.server.served import Served
from backends.server.writing import Writing
from repl.messages import Event, Request, Started

_ROOM = 1 << 20
_TOKEN = 64 << 10
"""Bytes that a stream may have: these, and so many for each token that was asked for."""


async def answer(served: Served, request: Request) -> AsyncGenerator[Event]:
    """All events of a request; raises ``BackendError``."""
    request, notes = _settled(request)
    if request.params.logprobs and served.kind.figures == "never":
        notes.append(f"logprobs has no effect: {served.kind.words} tells none")
    prompt = await build(served, request)
    chat = prompt.path == "/chat/completions"
    params = request.params
    room = params.max_new - len(prompt.forced)
    writing = Writing(served, request)
    body = {"model": served.model, **prompt.body}
    started = Started(
        id=request.id,
        prompt_ids=tuple(prompt.ids),
        prompt_text=prompt.text,
        notes=tuple(notes),
    )
    if room < 1:
        yield started
        for step in writing.force(prompt.forced[: params.max_new]):
            yield step
        yield writing.cut()
        return
    asked = msgspec.structs.replace(request, params=msgspec.structs.replace(params, max_new=room))
    body |= written(served.kind, asked, chat=chat)
    async with served.client.stream(prompt.path, body, _ROOM + _TOKEN * room * params.n) as chunks:
        yield started
        for step in writing.force(prompt.forced):
            yield step
        async for chunk in chunks:
            for step in writing.take(chunk):
                yield step
    yield writing.finished()


def _settled(request: Request) -> tuple[Request, list[str]]:
    """With what the settings leave open, and a note of it."""
    params, notes = request.params, []
    if params.temperature > 0 and params.seed is None:
        params = msgspec.structs.replace(params, seed=fresh_seed())
        notes.append(f"seed {params.seed}")
    if params.temperature == 0 and params.n > 1:
        params = msgspec.structs.replace(params, n=1)
        notes.append("n has no effect without sampling")
    return msgspec.structs.replace(request, params=params), notes
