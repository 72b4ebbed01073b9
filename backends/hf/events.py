"""What the engine knows, as the messages of ``repl.messages``."""

from collections.abc import Callable, Sequence

from backends.base import BackendError
from backends.hf.choosing.sampling import Choice
from backends.hf.errors import while_generating
from backends.hf.prompt import Prompt
from repl.messages import Failed, Request, Started, Step


def started(request: Request, prompt: Prompt, notes: Sequence[str], piece: Callable[[int], bytes]) -> Started:
    """What the model will read; who looks into it is told the bytes of each token too."""
    plain = request.task == "generate" and not (request.distributions or request.attention)
    return Started(
        id=request.id,
        prompt_ids=tuple(prompt.ids),
        prompt_text=prompt.text,
        truncated=prompt.truncated,
        notes=tuple(notes),
        prompt_pieces=() if plain else tuple(map(piece, prompt.ids)),
    )


def step(
    request: Request,
    piece: Callable[[int], bytes],
    index: int,
    choice: Choice,
    text: str,
    *,
    search_lp: float | None = None,
    forced: bool = False,
) -> Step:
    """One token; alternatives as many as the request asked for."""
    top: tuple[tuple[int, float, bytes], ...] = ()
    if choice.top:
        top = tuple([(token, lp, piece(token)) for token, lp in choice.top[: request.params.logprobs]])
    return Step(
        id=request.id,
        index=index,
        token=choice.token,
        piece=piece(choice.token),
        text=text,
        raw_lp=choice.raw_lp,
        proc_lp=choice.proc_lp,
        search_lp=search_lp,
        rank=choice.rank,
        entropy=choice.entropy,
        top=top,
        forced=forced,
        distribution=choice.distribution,
    )


def failed(request: Request, error: Exception, rows: int = 1, length: int = 0) -> Failed:
    """The end of a request amid ``rows`` of ``length`` tokens."""
    return Failed(id=request.id, error=while_generating(error, rows, length))


def not_a_number(index: int) -> BackendError:
    """The model computed NaN or infinity before token ``index``."""
    return BackendError(
        "nan_logits",
        f"the model's output is not a number at token {index}",
        "try dtype float32 or bfloat16; if it stays, the checkpoint is damaged",
    )


def no_token_left(index: int) -> BackendError:
    """Every token ``index`` is forbidden."""
    return BackendError(
        "bad_parameter",
        f"the settings forbid every token at token {index}",
        "lower no_repeat_ngram or min_new",
    )
