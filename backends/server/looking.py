"""Texts looked into: the tasks ``tokenize`` and ``score``, of servers that tell."""

from collections.abc import AsyncGenerator

from backends.base import BackendError
from backends.server import wire
from backends.server.prompt import build, spelled
from backends.server.served import Served
from backends.server.tokens import nats, number
from repl.messages import Event, Finished, Request, Started, Step, Task
from repl.readings import Tokenized


def tasks(served: Served) -> tuple[Task, ...]:
    """What the model can be asked for."""
    if not served.tokenizes:
        return ("generate",)
    return ("generate", "tokenize", "score") if served.kind.name == "vllm" else ("generate", "tokenize")


async def tokenize(served: Served, request: Request) -> AsyncGenerator[Event]:
    """See ``repl.messages.Task``."""
    ids, pieces = await served.tokenize(request.target or request.prompt, special=False)
    if len(pieces) != len(ids):
        pieces = [(await served.text([token])).encode() for token in ids]
    reading = Tokenized(
        ids=tuple(ids),
        pieces=tuple(pieces),
        unknown=(False,) * len(ids),
        decoded=await served.text(ids) if ids else "",
    )
    shown = () if request.target else tuple(ids)
    shown_pieces = () if request.target else tuple(pieces)
    notes = ("the server does not tell which token is the unknown one",)
    yield Started(
        id=request.id, prompt_ids=shown, prompt_text=request.prompt, prompt_pieces=shown_pieces, notes=notes
    )
    yield Finished(id=request.id, reason="done", text=reading.decoded, reading=reading)


async def score(served: Served, request: Request) -> AsyncGenerator[Event]:
    """By vLLM's ``prompt_logprobs``: raw, unless the server was started otherwise."""
    before, text, notes = await _before(served, request)
    target = list(request.target_ids) or (await served.tokenize(request.target, special=False))[0]
    if request.target and before and request.prompt:
        whole, _ = await served.tokenize(text + request.target, special=False)
        plain, _ = await served.tokenize(text, special=False)
        if whole[: len(plain)] == plain:
            target = whole[len(plain) :]
    if not target:
        raise BackendError("empty_prompt", "there is no text to score", "give at least one word")
    wanted = max(1, request.params.logprobs)
    body = {
        "model": served.model,
        "prompt": before + target,
        "max_tokens": 1,
        "temperature": 0.0,
        "prompt_logprobs": wanted,
    }
    told = await served.client.post("/completions", body, wire.Chunk)
    figures = told.choices[0].prompt_logprobs if told.choices else None
    if figures is None or len(figures) != len(before) + len(target):
        raise served.client.speaker.strange("does not tell the log-probabilities of the prompt's tokens")
    pieces = tuple(served.vocabulary.piece(token) or b"" for token in before)
    yield Started(
        id=request.id,
        prompt_ids=tuple(before),
        prompt_text=text,
        prompt_pieces=pieces,
        notes=tuple(notes),
    )
    for step in _steps(served, request, target, figures[len(before) :]):
        yield step
    written = request.target or await served.text(target)
    yield Finished(id=request.id, reason="done", text=written)


async def _before(served: Served, request: Request) -> tuple[list[int], str, list[str]]:
    """What stands before the text: tokens, the same as text, and what is to be said of it."""
    if request.closing or request.opening in ("bos", "eos"):
        raise BackendError(
            "unsupported",
            f"model '{served.model}': the server does not tell which tokens begin and end a text",
            "opening=auto or none, closing=off",
        )
    if request.prompt or request.history:
        prompt = await build(served, request)
        return prompt.ids, prompt.text, []
    opening: list[int] = []
    if request.opening == "auto" and request.target:
        whole, _ = await served.tokenize(request.target, special=True)
        plain, _ = await served.tokenize(request.target, special=False)
        opening = whole[: len(whole) - len(plain)] if whole[len(whole) - len(plain) :] == plain else []
    text = await served.text(opening) if opening else ""
    note = (
        f"begins with {text or opening}" if opening else "begins with nothing: the first token has no score"
    )
    return opening, text, [note]


def _steps(
    served: Served, request: Request, target: list[int], figures: list[dict[str, wire.PromptToken] | None]
) -> list[Step]:
    names = [_named(served, token, told) for token, told in zip(target, figures, strict=True)]
    whole = b"".join(names).decode("utf-8", "replace")
    steps = []
    for index, (token, told) in enumerate(zip(spelled(target, names, whole), figures, strict=True)):
        own = (told or {}).get(str(token.id))
        others = [
            (_number(name), nats(each.logprob), (each.decoded_token or "").encode())
            for name, each in (told or {}).items()
        ]
        steps.append(
            Step(
                id=request.id,
                index=index,
                token=token.id,
                piece=token.piece,
                text=token.text,
                raw_lp=nats(own.logprob) if own is not None else None,
                rank=own.rank - 1 if own is not None and own.rank else None,
                top=tuple(sorted(others, key=lambda each: -each[1])[: request.params.logprobs]),
                forced=True,
            )
        )
    return steps


def _named(served: Served, token: int, told: dict[str, wire.PromptToken] | None) -> bytes:
    """The bytes of a token: as the tokenizer told them, else as the figures do."""
    own = (told or {}).get(str(token))
    return served.vocabulary.piece(token) or ((own.decoded_token or "").encode() if own is not None else b"")


def _number(name: str) -> int:
    return int(name) if name.isascii() and name.isdigit() and len(name) < 11 else number(name.encode())
