"""Makes the exchange that a prompt becomes for one model."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from repl.messages import Capabilities, Request
from repl.params import Params
from repl.session.conversation import Conversation
from repl.session.decoding import Decoding, level
from repl.session.exchange import Exchange, Identity

if TYPE_CHECKING:
    from repl.config import ModelConfig


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """What is asked, whoever is asked."""

    text: str
    system: str
    template: bool | None
    """Apply chat templates; None leaves that to the model's configuration."""
    seed: int
    """For models whose settings fix none."""
    redraw: bool = False
    """Use ``seed`` even where the settings fix one."""


def compose(
    prompt: Prompt,
    *,
    number: int,
    line: int,
    model: "ModelConfig",
    pin: str | None,
    decoding: Decoding,
    conversation: Conversation,
    capabilities: Capabilities | None,
) -> Exchange:
    """The exchange, not yet submitted."""
    template, chat = wrapping(model, prompt.template, capabilities)
    return Exchange(
        id=number,
        line=line,
        identity=Identity(spec=model.spec(), dtype=model.dtype),
        prompt=prompt.text,
        request=Request(
            model=model.name,
            prompt=prompt.text,
            params=_with_seed(decoding.params, model.backend, prompt),
            history=conversation.history(prompt.system) if chat else (),
            template=template,
        ),
        requested=decoding.requested,
        created=datetime.now(UTC),
        conversation=conversation.id,
        parent=conversation.head,
        pin=pin,
        marks=(decoding.mark,) if decoding.mark else (),
    )


def wrapping(
    model: "ModelConfig", wanted: bool | None, capabilities: Capabilities | None
) -> tuple[bool, bool]:
    """Whether the chat template is applied, and whether earlier turns and the system prompt go along.

    These do where the template is applied. As long as a model has not loaded, nobody knows whether it has
    one, and they go along: a backend without a template ignores them. ``wanted`` is None where the
    configuration decides.
    """
    template = model.template if wanted is None else wanted
    return template, template and (capabilities is None or capabilities.chat)


def complete(exchange: Exchange, capabilities: Capabilities | None) -> None:
    """Fill in what could not be known before the model had loaded."""
    if capabilities is None:
        return
    exchange.identity = msgspec.structs.replace(
        exchange.identity,
        dtype=capabilities.dtype or exchange.identity.dtype,
        checkpoint_hash=capabilities.checkpoint_hash,
        vocab_fingerprint=capabilities.vocab_fingerprint,
    )
    if not capabilities.chat and exchange.request.history:
        exchange.request = msgspec.structs.replace(exchange.request, history=())


def _with_seed(params: Params, backend: str, prompt: Prompt) -> Params:
    fixed = params.seed is not None and not prompt.redraw
    if fixed or level(backend, "seed").level == "none":
        return params
    return msgspec.structs.replace(params, seed=prompt.seed)
