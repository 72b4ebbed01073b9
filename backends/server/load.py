"""Asks a server what it is and what it serves."""

import msgspec

from backends.base import BackendError
from backends.server import address, options, wire
from backends.server.client import Client
from backends.server.engine import Loop, ServerEngine
from backends.server.faults import shortened
from backends.server.kinds import KINDS, Kind
from backends.server.looking import tasks
from backends.server.options import Options
from backends.server.served import Served
from repl.messages import Capabilities, ModelSpec

_SLOTS = 16
_NAMED = 20
"""Models that an error names."""


class _Paths(msgspec.Struct, frozen=True):
    """What a server made with FastAPI says of itself."""

    paths: dict[str, object]


def load(model: ModelSpec) -> ServerEngine:
    """The engine; raises ``BackendError``."""
    told = options.read(model)
    if (wrong := address.fault(model.path)) is not None:
        raise BackendError("bad_parameter", f"model '{model.name}': {wrong}", "see docs/servers.md")
    loop = Loop()
    try:
        return loop.begin(_open(model, told, loop)).result()
    except BackendError as error:
        loop.end()
        if error.error.kind != "unreachable":
            raise
        hint = f"when the server is there, /restart {model.name}"
        raise BackendError("unreachable", error.error.message, hint) from None
    except BaseException:
        loop.end()
        raise


async def _open(model: ModelSpec, told: Options, loop: Loop) -> ServerEngine:
    client = Client(model.name, model.path, told)
    try:
        return await _asked(model, told, client, loop)
    except BaseException:
        await client.close()
        raise


async def _asked(model: ModelSpec, told: Options, client: Client, loop: Loop) -> ServerEngine:
    found = await _models(client, told)
    one = _chosen(client, found, told)
    kind = await _kind(client, model.path, one, told)
    served = Served(client, kind, one.id, model.prompt_template)
    await served.look(told.chat)
    props = await _props(client) if kind.name == "llamacpp" else wire.Props()
    size = one.meta or wire.Size()
    settings = props.default_generation_settings or wire.GenerationSettings()
    capabilities = Capabilities(
        kind="causal",
        slots=model.slots or told.slots or props.total_slots or _SLOTS,
        max_prompt=one.max_model_len or settings.n_ctx,
        vocab_size=size.n_vocab,
        parameters=size.n_params,
        chat=served.chat,
        notes=_notes(served),
        tasks=tasks(served),
    )
    return ServerEngine(served, loop, capabilities)


async def _models(client: Client, told: Options) -> list[wire.Served]:
    try:
        return (await client.get("/models", wire.Models)).data
    except BackendError as refused:
        if told.model is None or refused.error.kind in ("unreachable", "unauthorised"):
            raise
        return []  # some gateways do not list what they have


def _chosen(client: Client, found: list[wire.Served], told: Options) -> wire.Served:
    if told.model is not None:
        named = [one for one in found if one.id == told.model]
        if named or not found or told.server in ("transformers", "other"):  # which load what is asked for
            return named[0] if named else wire.Served(id=told.model)
    elif len(found) == 1:
        return found[0]
    listed = shortened(", ".join(one.id for one in found[:_NAMED]) + (" …" if len(found) > _NAMED else ""))
    there = f"serves {listed}" if found else "serves no model"
    if told.model is not None:
        raise client.speaker.fault("missing_file", f"has no model '{told.model}': it {there}", _CHOOSE)
    raise client.speaker.fault("missing_file", f"{there}: which one is meant?", _CHOOSE)


_CHOOSE = "options: {model: NAME} says which; with server: other too, it is asked for though it is not listed"


async def _kind(client: Client, path: str, one: wire.Served, told: Options) -> Kind:
    """As the configuration says, or as the server tells by who owns its model or by what paths it has."""
    if told.server != "auto":
        return KINDS[told.server]
    if one.owned_by in ("vllm", "sglang", "llamacpp"):
        return KINDS[one.owned_by]
    if address.host(path) == "api.openai.com":
        return KINDS["openai"]
    try:
        paths = (await client.get_beside("/openapi.json", _Paths)).paths
    except BackendError:
        return KINDS["other"]
    return KINDS["transformers" if {"/load_model", "/v1/responses"} <= paths.keys() else "other"]


async def _props(client: Client) -> wire.Props:
    try:
        return await client.get_beside("/props", wire.Props)
    except BackendError:  # may be switched off
        return wire.Props()


def _notes(served: Served) -> tuple[str, ...]:
    notes = [
        f"{served.kind.words} serves {served.model}; its sampler draws, so a seed means another answer here"
    ]
    if not served.tokenizes:
        notes.append("it does not tell token ids: tokens are told apart by their text, under numbers below 0")
    if served.kind.figures == "wanted":
        notes.append("log-probabilities are asked for only where alternatives are: /set logprobs 5")
    if served.kind.figures == "never":
        notes.append("it tells no log-probabilities")
    if not served.kind.raw:
        notes.append("its log-probabilities are those after the temperature")
    return tuple(notes)
