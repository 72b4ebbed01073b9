"""Several models as one: `/ensemble a+b`, and the contrast `a-b`."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from repl.messages import Event, Failed, Finished, ModelSpec, Step, Stopped
from repl.params import Params, changed
from repl.pool import Timings
from repl.probe.mixture import HONOURED, Mode
from repl.session.commands.base import Command, one_model
from repl.session.commands.probing.asking import last_prompt, plain
from repl.session.commands.probing.forcing import loaded
from repl.session.commands.probing.lockstep import Broken, Member, write
from repl.session.decoding import fresh_seed
from repl.session.errors import InputError
from repl.session.exchange import Exchange, Identity, Origin
from repl.session.frontend import FrontEnd
from repl.session.inquiry import make, settings_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from repl.messages import Request
    from repl.session.commands.base import Offer
    from repl.session.session import Session

ENSEMBLE = "/ensemble A+B [mode=mean|geo] [PROMPT], or A-B for a contrast"
MODES: tuple[Mode, ...] = ("mean", "geo")
ALTERNATIVES = 10
"""What each member tells beside its distribution, so that the mixture's likeliest can be spelled."""


async def _ensemble(session: "Session", ui: FrontEnd, argument: str) -> None:
    names, _, rest = argument.partition(" ")
    if not names:
        raise InputError("which models?", ENSEMBLE)
    models, mode = members(session, names)
    rest = rest.strip()
    if rest.startswith("mode="):
        word, _, rest = rest.removeprefix("mode=").partition(" ")
        mode = _mode(word, mode)
    await _must_mix(session, models)
    prompt = rest.strip() or last_prompt(session)
    exchange, requests = _prepared(session, models, names, mode, prompt)
    await _written(session, exchange, [Member(request) for request in requests], mode)


def members(session: "Session", names: str) -> tuple[list[str], Mode]:
    """The models of ``a+b+c`` or of ``a-b``; a name may have these characters in it itself."""
    for at, character in enumerate(names):
        if character == "-" and names[:at] in session.models and names[at + 1 :] in session.models:
            return [names[:at], names[at + 1 :]], "contrast"
    found = [one_model(session, name) for name in names.split("+")]
    if len(found) < 2:
        raise InputError(f"'{names}' is one model", ENSEMBLE)
    return found, "mean"


def _mode(word: str, mode: Mode) -> Mode:
    wanted = next((known for known in MODES if known == word), None)
    if mode == "contrast":
        raise InputError("a contrast has no mode", "/ensemble A+B mode=geo mixes")
    if wanted is None:
        raise InputError(f"'{word}' is not one of {', '.join(MODES)}", ENSEMBLE)
    return wanted


async def _must_mix(session: "Session", models: Sequence[str]) -> None:
    known = {model: await loaded(session, model) for model in models}
    for model, capabilities in known.items():
        if not capabilities.distributions or "generate" not in capabilities.tasks:
            backend = session.models[model].backend
            raise InputError(
                f"{model} ({backend}) tells no whole distributions, so it cannot be mixed",
                "hf and fairseq models do",
            )
    prints = {capabilities.vocab_fingerprint for capabilities in known.values()}
    if len(prints) > 1 or "" in prints:
        raise InputError(
            f"{' and '.join(known)} have different vocabularies, so there is nothing to mix",
            "choose checkpoints that share one; /chain passes text from one model to another",
        )


def _prepared(
    session: "Session", models: Sequence[str], names: str, mode: Mode, prompt: str
) -> "tuple[Exchange, list[Request]]":
    """The mixture's exchange, and what each model is asked first."""
    number = session.store.next_id()
    parts = [
        make(
            inquiry,
            number=number,
            line=number,
            model=session.models[model],
            settings=settings_of(session, inquiry),
        )
        for model in models
        for inquiry in [plain(session, model, prompt)]
    ]
    first = parts[0]
    params = first.params
    if params.seed is None:
        params = msgspec.structs.replace(params, seed=fresh_seed())
    dropped = [name for name in changed(params) if name not in HONOURED]
    marks = (f"{', '.join(dropped)} has no effect in an ensemble",) if dropped else ()
    kept = Params(**{name: getattr(params, name) for name in HONOURED})
    spec = ModelSpec(
        name=names, backend="ensemble", path=names, options={"mode": mode, "members": list(models)}
    )
    known = session.capabilities(models[0])
    exchange = Exchange(
        id=number,
        line=number,
        identity=Identity(spec=spec, vocab_fingerprint=known.vocab_fingerprint if known else ""),
        prompt=prompt,
        request=msgspec.structs.replace(first.request, model=names, params=kept, distributions=False),
        requested=first.requested,
        created=datetime.now(UTC),
        conversation=secrets.token_hex(8),
        marks=marks,
        origin=Origin(None, how=f"ensemble {mode}"),
    )
    asked = msgspec.structs.replace(kept, logprobs=max(ALTERNATIVES, kept.logprobs), stop=())
    return exchange, [msgspec.structs.replace(p.request, params=asked, distributions=True) for p in parts]


async def _written(session: "Session", exchange: Exchange, found: Sequence[Member], mode: Mode) -> None:
    """Write the answer, and show it as it grows."""
    now = time.monotonic()
    timings = exchange.timings = Timings(submitted=now, placed=now)

    def feed(event: Event) -> None:
        if isinstance(event, Step):
            timings.first = timings.first or time.monotonic()
        elif isinstance(event, Finished | Failed | Stopped):
            timings.ended = time.monotonic()
        exchange.replica = " ".join(member.home for member in found if member.home is not None) or None
        session.feed(exchange, event)

    session.host(exchange)
    try:
        async for event in write(session, found, mode, exchange.params, exchange.request.sample):
            feed(event)
    except Broken as broken:
        feed(Failed(id=0, error=broken.error))
    except asyncio.CancelledError:
        feed(Stopped(id=0))
        raise


def _offers(session: "Session", before: Sequence[str], begun: str) -> "Iterable[Offer]":
    if not before:
        for first in session.models:
            for second in session.models:
                if first != second:
                    yield f"{first}+{second}", "the mean of both"
                    yield f"{first}-{second}", "what the first expects more than the second"
    elif len(before) == 1 and "+" in before[0]:
        yield "mode=mean", "the mean of the probabilities"
        yield "mode=geo", "the mean of the log-probabilities"


COMMANDS = (
    Command(
        name="ensemble",
        usage="A+B [mode=mean|geo] [PROMPT] | A-B [PROMPT]",
        help="let several models write one answer together",
        details=(
            "At each token every model tells its whole distribution; they are mixed, and the next token is "
            "chosen from the mixture: the likeliest at temperature 0, else with the settings and the seed in "
            "force. mean is ln((p_a + p_b) / 2), as fairseq mixes an ensemble; geo the mean of the "
            "log-probabilities. A-B is contrastive decoding: what A expects more than B, among the tokens "
            "with at least a tenth of A's greatest probability. The models must share a vocabulary. The "
            "answer has a pane of its own and is recorded under the name typed.\n\n"
            "/ensemble lm-late+lm-early mode=geo The with statement\n"
            "/ensemble lm-late-lm-early The with statement"
        ),
        handler=_ensemble,
        offers=_offers,
        slow=True,
    ),
)
