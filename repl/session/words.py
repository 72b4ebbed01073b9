"""An answer's figures in words, the same in every front end: short, each with its unit."""

from repl.messages import Finished
from repl.session.exchange import Exchange

FASTEST = 10_000
"""Tokens per second that no model reaches: all came at once, as from a search that shows only its end."""
FINISHES = {"stop": "stop string", "length": "cut at max_new"}
"""Reasons to finish that are worth a word; ``eos`` is what everyone expects."""
STOPS = {"user": "stopped", "deadline": "stopped at max_time", "closing": "stopped by leaving"}


def seconds(value: float) -> str:
    """A duration in the unit that suits it."""
    if value < 0.9995:
        return f"{value * 1000:.0f} ms"
    return f"{value:.1f} s" if value < 60 else f"{value / 60:.1f} min"


def pace(exchange: Exchange) -> list[str]:
    """How long the answer is and how fast it came: ``41 tok``, ``212 tok/s``, ``first 9 ms``.

    Where tokens were guessed, ``accept 80%`` tells how many of the guesses were right.
    """
    rate, first = exchange.tokens_per_second, exchange.first_token_seconds
    found = [f"{len(exchange.answer.steps):,} tok"]
    if rate is not None and rate <= FASTEST:
        found.append(f"{rate:,.0f} tok/s")
    if first is not None:
        found.append(f"first {seconds(first)}")
    end = exchange.answer.terminal
    if isinstance(end, Finished) and end.drafted:
        found.append(f"accept {end.accepted / end.drafted:.0%}")
    return found


def ending(exchange: Exchange) -> str:
    """Why the answer ended, where that is worth a word."""
    return (STOPS if exchange.state == "stopped" else FINISHES).get(exchange.finish, "")


def seed(exchange: Exchange) -> str:
    """``seed 7``, where it had a say: greedy answers and beams draw nothing."""
    sampled = exchange.params.temperature > 0 and exchange.params.beam == 1
    return f"seed {exchange.seed}" if sampled and exchange.seed is not None else ""
