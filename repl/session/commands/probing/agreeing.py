"""Choosing among samples: minimum Bayes risk."""

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from repl.params import Value
from repl.probe.utility import UTILITIES, Missing, choice, utility
from repl.session.commands.base import Command, say
from repl.session.commands.probing.asking import prompted
from repl.session.commands.probing.sweeping import notes, sampled
from repl.session.decoding import fresh_seed
from repl.session.errors import InputError
from repl.session.frontend import FrontEnd
from repl.session.inquiry import inquire

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from repl.session.commands.base import Offer
    from repl.session.exchange import Exchange
    from repl.session.session import Session

SAMPLES = 16
MOST = 512
"""Samples of one model: the comparisons grow with their square."""
USAGE = "/mbr [n=16] [chrf | bleu | exact] [PROMPT]"


def reading(argument: str) -> tuple[int, str, str]:
    """Number of samples, utility and prompt of an argument; raises ``InputError``."""
    count, measure, rest = SAMPLES, "", argument
    while rest:
        word, _, after = rest.partition(" ")
        if word.startswith("n="):
            if not (word[2:].isascii() and word[2:].isdecimal() and 2 <= int(word[2:]) <= MOST):
                raise InputError(f"{word}: the number of samples is 2 to {MOST}", USAGE)
            count = int(word[2:])
        elif word.lower() in UTILITIES and not measure:
            measure = word.lower()
        elif word == "--":
            rest = after
            break
        else:
            break
        rest = after.lstrip()
    return count, measure or UTILITIES[0], rest.strip()


async def _mbr(session: "Session", ui: FrontEnd, argument: str) -> None:
    count, measure, prompt = reading(argument)
    try:
        utility(measure)
    except Missing as missing:
        raise InputError(str(missing), "pip install sacrebleu, or /mbr exact") from None
    greedy = [model for model in session.comparison if not session.effective(model).temperature]
    if greedy:
        names = " and ".join(greedy)
        raise InputError(f"{names}: all samples would be equal at temperature 0", "/set temperature 1")
    bases = prompted(session, session.comparison, prompt)
    if not bases:
        raise InputError("no model is chosen", "/use NAME or /compare NAME NAME chooses")
    fixed = session.settings.get("seed")
    over: dict[str, Value] = {"seed": fresh_seed() if fixed is None else fixed, "n": 1, "beam": 1}
    asked = [
        replace(base, params={**base.params, **over}, sample=at) for base in bases for at in range(count)
    ]
    say(ui, f"{count:,} samples of each model, compared by {measure}")
    made: list[Exchange] = []
    try:
        await inquire(session, asked, made)
    finally:
        for base in bases:
            own = [x for x in made if x.model == base.model]
            done = [sampled(x) for x in own if x.state == "finished"]
            args = (base.model, base.prompt, measure, done, notes(own))
            ui.show(choice(*args) if len(done) < 50 else await asyncio.to_thread(choice, *args))


def _offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    if not any(word.startswith("n=") for word in before):
        yield "n=", f"how many samples; {SAMPLES} unless told"
    if not set(before) & set(UTILITIES):
        yield "chrf", "character n-grams, sacrebleu's chrF2"
        yield "bleu", "word n-grams, sacrebleu's sentence BLEU"
        yield "exact", "the most frequent text"


COMMANDS = (
    Command(
        name="mbr",
        usage="[n=16] [chrf | bleu | exact] [PROMPT]",
        help="draw many samples and find the one that agrees best with all others",
        details=(
            "Minimum Bayes risk: each sample is measured against every other one, and the one of greatest "
            "mean is chosen. /mbr n=32 bleu two hundred and five. Without a prompt it takes the last one; "
            "needs a temperature above 0. exact finds the most frequent text."
        ),
        handler=_mbr,
        offers=_offers,
        slow=True,
    ),
)
