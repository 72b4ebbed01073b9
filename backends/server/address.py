"""The address of an inference server, as a user writes it; configurations are checked with this."""

import re
from urllib.parse import urlsplit

_WEB = re.compile(r"https?://", re.IGNORECASE)


def is_address(text: str) -> bool:
    """Whether ``text`` is meant as one."""
    return _WEB.match(text) is not None


def fault(text: str) -> str | None:
    """What is wrong with an address, in words that do not repeat it: it may hold a password."""
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not is_address(text) or not host or any(c.isspace() or not c.isprintable() for c in text):
        return "this is no address of a server: write http://HOST:PORT/v1"
    if parts.username is not None or parts.password is not None:
        return (
            "the address of a server may not hold a user or password, since it is shown and recorded: "
            "put the key into an environment variable and name that in options: {api_key: NAME}"
        )
    if parts.query or parts.fragment:
        return "the address of a server may not have a part after ? or #: write http://HOST:PORT/v1"
    return None


def base(text: str) -> str:
    """Where the API is: ``/v1`` on a server of which only the host was named."""
    parts = urlsplit(text)
    path = parts.path.rstrip("/") or "/v1"
    return f"{parts.scheme.lower()}://{parts.netloc}{path}"


def root(text: str) -> str:
    """Where a server has what is not part of the API, such as ``/tokenize``."""
    return base(text).removesuffix("/v1")


def short(text: str) -> str:
    """Host and port, for the name of a model that has no other."""
    try:
        return urlsplit(text).netloc.rpartition("@")[2]
    except ValueError:
        return ""


def host(text: str) -> str:
    """The machine's name; empty where it cannot be told."""
    try:
        return urlsplit(text).hostname or ""
    except ValueError:
        return ""


def shown(text: str) -> str:
    """``text`` as it may be shown: an address without a user, a password or what comes after ``?``."""
    return f"{text.partition(':')[0]}://{host(text)}" if is_address(text) and fault(text) else text
