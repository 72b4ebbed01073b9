"""Scoring texts as they stand, token by token: ``/score``, and ``/target`` to choose between several."""

import re
from typing import TYPE_CHECKING

from repl.probe.corpus import Corpus, Scored
from repl.probe.figure import piece_text
from repl.probe.heatmap import HeatMap, Reading
from repl.probe.options import Options, choose
from repl.probe.tokens import tokens, totals
from repl.session.commands.base import Command, number_offers
from repl.session.commands.probing.pointing import answer_named
from repl.session.commands.probing.texts import (
    MANNERS,
    Line,
    Manner,
    chosen_models,
    context_and,
    file_offers,
    in_order,
    manner,
    options,
    read_lines,
    scoring,
    scoring_answer,
    those_that_could,
    with_model,
)
from repl.session.errors import InputError
from repl.session.inquiry import inquire

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from repl.session.commands.base import Offer
    from repl.session.exchange import Exchange
    from repl.session.frontend import FrontEnd
    from repl.session.session import Session

OPENS = "begins with "
"""How a backend notes the opening that it used, which has a column of its own."""
NUMBER = re.compile(r"#\d+")
USAGE = "/score TEXT, /score CONTEXT => TEXT, /score #id or /score @FILE"


async def _score(session: "Session", ui: "FrontEnd", argument: str) -> None:
    chosen, text = options(argument, MANNERS)
    how = manner(chosen)
    models = chosen_models(session)
    if not text:
        raise InputError("which text?", USAGE)
    if NUMBER.fullmatch(text):
        await _score_answer(session, ui, text)
    elif text.startswith("@"):
        await _score_file(session, ui, text[1:].strip(), how)
    else:
        context, target = context_and(text)
        if not target:
            raise InputError("there is no text after =>", USAGE)
        asked = [scoring(session, model, context, target, how) for model in models]
        found = those_that_could(ui, await inquire(session, asked))
        ui.show(HeatMap(text=target, context=context, readings=tuple(reading(x) for x in found)))


async def _score_answer(session: "Session", ui: "FrontEnd", number: str) -> None:
    answer, _ = await answer_named(session, number)
    models = with_model(session, answer.model)
    asked = [scoring_answer(session, model, answer) for model in models]
    found = those_that_could(ui, await inquire(session, asked))
    ui.show(
        HeatMap(text=answer.answer.text, context=answer.prompt, readings=tuple(reading(x) for x in found))
    )


async def _score_file(session: "Session", ui: "FrontEnd", name: str, how: Manner) -> None:
    lines = await read_lines(name)
    models = list(chosen_models(session))
    pairs = [(line, model) for line in lines for model in models]
    asked = [scoring(session, model, *_parts(line), how) for line, model in pairs]
    found: list[Scored] = []
    line_of: list[Exchange] = []
    async for exchange in in_order(session, asked):
        line_of.append(exchange)
        if len(line_of) == len(models):
            found.append(_scored(lines[len(found)], line_of))
            line_of = []
    opening = f"{how.opening}{', with the end token' if how.closing else ''}"
    ui.show(Corpus(file=name, models=tuple(models), opening=opening, texts=tuple(found)))


def _parts(line: Line) -> tuple[str, str]:
    """A context and a text with a tab between, or the text alone."""
    context, tab, text = line.text.partition("\t")
    return (context, f" {text}") if tab else ("", context)


def _scored(line: Line, exchanges: "Sequence[Exchange]") -> Scored:
    return Scored(
        line=line.number,
        text=line.text,
        totals=tuple(totals(tokens(x.answer.steps)) if x.state == "finished" else None for x in exchanges),
        errors=tuple(f"{x.model}: {x.error.message}" for x in exchanges if x.error is not None),
    )


def reading(exchange: "Exchange") -> Reading:
    """What a model made of the text it was given."""
    return Reading(
        model=exchange.model,
        tokens=tokens(exchange.answer.steps),
        notes=remarkable(exchange),
        exchange=exchange.id,
        opening=opening(exchange),
    )


def remarkable(exchange: "Exchange") -> tuple[str, ...]:
    """The notes, but for the opening, which is shown in a place of its own."""
    return tuple(note for note in exchange.notes if not note.startswith(OPENS))


def opening(exchange: "Exchange") -> str:
    """What stood before the first token, in words."""
    request, started = exchange.request, exchange.answer.started
    if request.task == "generate" or request.prompt or request.history:
        count = len(started.prompt_ids) if started is not None else 0
        size = f", {count:,} {'token' if count == 1 else 'tokens'}" if count else ""
        return ("the prompt" if request.task == "generate" else "the context") + size
    steps = exchange.answer.steps
    if steps and steps[0].raw_lp is None:
        return f"{request.opening}: nothing, so the first token has no score"
    told = b"".join(started.prompt_pieces) if started is not None else b""
    own = "what it was trained to begin with" if request.opening == "auto" else "its token of that name"
    return f"{request.opening}: {piece_text(told) or own}"


async def _target(session: "Session", ui: "FrontEnd", argument: str) -> None:
    chosen, rest = options(argument, MANNERS)
    context, listed = context_and(rest)
    texts = _options(listed)
    models = chosen_models(session)
    how = manner(chosen)
    asked = [scoring(session, model, context, text, how) for model in models for text in texts]
    answers = await inquire(session, asked)
    found = []
    for at, model in enumerate(models):
        mine = answers[at * len(texts) : (at + 1) * len(texts)]
        if all(x.state == "finished" for x in mine):
            found.append(choose(model, texts, [reading(x) for x in mine]))
        else:
            failed = [x for x in mine if x.state != "finished"]
            those_that_could(ui, [*(x for x in answers if x.state == "finished"), failed[0]])
    if not found:
        raise InputError("no model could score all options", "see above")
    ui.show(Options(context=context, choices=tuple(found)))


def _options(listed: str) -> list[str]:
    """The texts between bars; each keeps a space before it if the first has one."""
    lead = " " if listed[:1].isspace() else ""
    texts = [lead + part.strip() for part in listed.split("|")]
    if len(texts) < 2 or not all(text.strip() for text in texts):
        raise InputError("which options?", "/target CONTEXT => yes | no | maybe")
    if len(set(texts)) < len(texts):
        raise InputError("two of the options are the same", "name each once")
    return texts


def manner_offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    """The options of scoring."""
    if all("=" in word for word in before):
        yield "opening=bos", "begin after the beginning-of-text token"
        yield "opening=eos", "begin after the end token"
        yield "opening=none", "nothing before: the first token has no score"
        yield "closing=on", "score the end token too"


def _score_offers(session: "Session", before: "Sequence[str]", begun: str) -> "Iterable[Offer]":
    yield from manner_offers(session, before, begun)
    if all("=" in word for word in before):
        yield from file_offers(begun)
        yield from number_offers(session, before, begun)


HOW = (
    "opening=bos|eos|none|auto says what stands before a text without context (auto: what the tokenizer "
    "puts there, else the token the model was trained to begin with), closing=on scores the end token too. "
    "A space after => stands before the text, as between two words."
)
COMMANDS = (
    Command(
        name="score",
        usage="[opening=... closing=on] [CONTEXT =>] TEXT | #id | @FILE",
        help="how surprising each token of a text is to the chosen models",
        details=(
            "/score The cat sat => on the mat; /score #18 scores an answer after its prompt, by every chosen "
            "model; /score @FILE each line of a file (a tab parts context and text). "
            f"{HOW} Sums are in nats, with bits/token, bits/byte and perplexity, exp of the mean nats."
        ),
        handler=_score,
        offers=_score_offers,
        slow=True,
    ),
    Command(
        name="target",
        usage="[opening=... closing=on] [CONTEXT =>] A | B [| C ...]",
        help="how likely each of several continuations is, as a whole",
        details=(
            "/target Is the sky blue? => yes | no | maybe. The log-probability of each whole text, its "
            f"share among them, and the share by the mean over bytes. {HOW}"
        ),
        handler=_target,
        offers=manner_offers,
        slow=True,
    ),
)
