"""What it takes to score a text, of whatever checkpoint the model was made."""

from collections.abc import Sequence

from backends.base import BackendError
from backends.ctranslate2.asked import Asked, Codec
from repl.messages import Started


def check(name: str, target: Sequence[int], length: int, most: int | None) -> None:
    """``BackendError`` where there is nothing to score, or more than ``most`` tokens to be read.

    ``length`` counts what is read in the place where the answer would stand.
    """
    if not target:
        raise BackendError("empty_prompt", "there is no text to score", "give at least one word")
    if most is not None and length > most:
        raise BackendError(
            "prompt_too_long",
            f"the text has {length} tokens, model '{name}' takes {most} at most",
            "score it in parts",
        )


def asked(
    started: Started, codec: Codec, feed: list[int], script: list[int], start: tuple[int, ...] = ()
) -> Asked:
    """``script`` after ``feed``; without that its first token is fed and has no score."""
    unseen = None
    if not feed:
        unseen, feed, script = script[0], script[:1], script[1:]
    return Asked(
        started=started,
        codec=codec,
        feed=feed,
        script=script,
        limit=len(script),
        start=start,
        unseen=unseen,
    )
