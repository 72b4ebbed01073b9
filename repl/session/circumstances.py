"""What an exchange was made under, as far as the record knows: for finding out why a replay differs."""

from collections.abc import Mapping

from repl.messages import Finished
from repl.probe.replay import Circumstance, changed
from repl.session.exchange import Exchange

SHORT = 12
"""Characters of a hash that are shown."""


def differences(
    was: Exchange, now: Exchange, versions: tuple[Mapping[str, str], Mapping[str, str]]
) -> tuple[Circumstance, ...]:
    """What is not as it was; ``versions`` are those of the packages at both times."""
    return tuple(changed(_facts(was, versions[0]), _facts(now, versions[1])))


def _facts(exchange: Exchange, versions: Mapping[str, str]) -> dict[tuple[str, str], str]:
    """What may bear on an answer. Things that were never known are left out."""
    identity, started = exchange.identity, exchange.answer.started
    spec, terminal = identity.spec, exchange.answer.terminal
    options = {name: str(value) for name, value in spec.options.items()}
    facts = {
        ("checkpoint", "the checkpoint's hash"): identity.checkpoint_hash.removeprefix("sha256:")[:SHORT],
        ("vocabulary", "the vocabulary's hash"): identity.vocab_fingerprint.removeprefix("sha256:")[:SHORT],
        ("path", "the path"): spec.path,
        ("backend", "the backend"): spec.backend,
        ("prompt template", "the prompt template"): spec.prompt_template or "none",
        ("prompt tokens", "the prompt in tokens"): str(started.prompt_ids) if started is not None else "",
        ("dtype", "dtype"): identity.dtype,
        # Which of several equal devices it was belongs to the replica.
        ("device", "the device"): (exchange.device or "").partition(":")[0],
        ("replica", "the replica"): " on ".join(filter(None, (exchange.replica, exchange.device))),
        **{("options", f"the option {name}"): value for name, value in options.items()},
        **{("package", name): value for name, value in versions.items()},
    }
    if isinstance(terminal, Finished):
        facts["batch", "the batch"] = f"of {terminal.batch}"
        facts["padding", "the padded length"] = str(terminal.padded)
    return {key: value for key, value in facts.items() if value}
