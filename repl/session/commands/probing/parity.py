"""Is it the same model in two backends? `/parity`."""

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from repl.probe.parity import Compared, compare, parity, tolerance
from repl.session.commands.base import Command, model_offers, say
from repl.session.commands.probing.forcing import must_score, pair
from repl.session.commands.probing.texts import read_lines
from repl.session.errors import InputError
from repl.session.frontend import FrontEnd
from repl.session.inquiry import Inquiry, inquire, succeeded

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from repl.session.commands.base import Offer
    from repl.session.session import Session

PARITY = "/parity A B [tol=NATS] TEXT, SOURCE => TEXT, or @FILE"
ALTERNATIVES = 100
"""Asked for where tokens are matched by their bytes: the more, the closer the bound."""
WINDOW = 16
"""Texts whose distributions are held at once."""
MOST = 1_000
"""Lines read of a file."""


async def _parity(session: "Session", ui: FrontEnd, argument: str) -> None:
    a, b, rest = pair(session, argument, PARITY)
    allowed, rest = _allowed(rest)
    texts = await _texts(ui, rest)
    known = [await must_score(session, model) for model in (a, b)]
    prints = {capabilities.vocab_fingerprint for capabilities in known}
    one_vocabulary = len(prints) == 1 and "" not in prints
    whole = one_vocabulary and all(capabilities.distributions for capabilities in known)
    allowed = allowed if allowed is not None else tolerance(*(capabilities.dtype for capabilities in known))
    compared: list[Compared] = []
    notes: dict[str, None] = {}
    for begin in range(0, len(texts), WINDOW):
        window = texts[begin : begin + WINDOW]
        asked = [_inquiry(model, text, whole=whole) for text in window for model in (a, b)]
        found = succeeded(await inquire(session, asked))
        notes |= dict.fromkeys(f"{x.model}: {note}" for x in found for note in x.notes)
        for x, y in zip(found[::2], found[1::2], strict=True):
            steps = x.answer.steps, y.answer.steps
            number = len(compared) + 1
            text_of = partial(compare, number, *steps, one_vocabulary=one_vocabulary, allowed=allowed)
            compared.append(await asyncio.to_thread(text_of))
    ui.show(parity(a, b, compared, one_vocabulary=one_vocabulary, allowed=allowed, notes=list(notes)))


def _inquiry(model: str, text: tuple[str, str], *, whole: bool) -> Inquiry:
    return Inquiry(
        model=model,
        task="score",
        prompt=text[0],
        target=text[1],
        distributions=whole,
        params={} if whole else {"logprobs": ALTERNATIVES},
        exactly=True,
    )


def _allowed(words: str) -> tuple[float | None, str]:
    """A tolerance at the beginning of ``words``, and the rest."""
    if not words.startswith("tol="):
        return None, words
    number, _, rest = words.removeprefix("tol=").partition(" ")
    try:
        allowed = float(number)
    except ValueError:
        allowed = -1.0
    if not allowed >= 0:
        raise InputError(f"tol={number} is not a tolerance", "tol=0.001, in nats")
    return allowed, rest.strip()


async def _texts(ui: FrontEnd, words: str) -> "list[tuple[str, str]]":
    """(source, text) of each text; raises ``InputError``."""
    if not words:
        raise InputError("which text?", PARITY)
    if not words.startswith("@"):
        return [_split(words)]
    lines = await read_lines(words[1:])
    if len(lines) > MOST:
        say(ui, f"the first {MOST:,} of {len(lines):,} lines")
    return [_split(line.text.strip()) for line in lines[:MOST]]


def _split(line: str) -> tuple[str, str]:
    source, arrow, text = line.partition("=>")
    return (source.strip(), text.strip()) if arrow else ("", line)


def _offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    return model_offers(session, before, begun) if len(before) < 2 else ()


COMMANDS = (
    Command(
        name="parity",
        usage="A B [tol=NATS] TEXT | SOURCE => TEXT | @FILE",
        help="whether two models are one and the same, say in two backends",
        details=(
            "Both read the text, or each line of a file, in the exact lane. It passes when both take every "
            "text apart alike and no log-probability differs by more than the tolerance: 0.001 nats in "
            "float32, more in half precision, or as given. Models of one vocabulary are compared over all of "
            "it; otherwise the text's tokens and the likeliest 100 are matched by their bytes. The first "
            "position that fails is shown.\n\n"
            "/parity marian-hf marian-fairseq The cat => Die Katze\n"
            "/parity lm-hf lm-fairseq tol=1e-4 @texts.txt"
        ),
        handler=_parity,
        offers=_offers,
        slow=True,
    ),
)
