"""What goes wrong with a server, in words for the user: without its key, and its own words cut."""

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx2
import msgspec

from backends.base import BackendError
from backends.faults import first_line

_LONGEST = 500
"""Characters of a server's own words."""


class Speaker:
    """Speaks of one server."""

    def __init__(self, model: str, address: str, variable: str | None, key: str | None) -> None:
        self.model, self.address = model, address
        self._variable, self._key = variable, key

    def fault(self, kind: str, what: str, hint: str) -> BackendError:
        """``what`` goes on from the model's name and its address."""
        return BackendError(kind, self.clean(f"model '{self.model}': {self.address} {what}"), hint)

    def clean(self, text: str) -> str:
        """Without the key: some servers repeat what they refuse."""
        return text.replace(self._key, "***") if self._key else text

    def strange(self, what: str) -> BackendError:
        """An answer that makes no sense."""
        return self.fault("internal", what, "/retry asks again; is this the address of an OpenAI-like API?")

    def broken(self, what: str) -> BackendError:
        """A connection that ended before its answer."""
        hint = "what had come stands; /retry asks again"
        return self.fault("unreachable", f"broke off in the middle of the answer: {what}", hint)

    @contextmanager
    def transport(self, *, begun: bool) -> Iterator[None]:
        """Failures of the connection; ``begun`` says that a part of an answer had come."""
        try:
            yield
        except (httpx2.InvalidURL, UnicodeError) as error:
            raise self.fault("bad_parameter", f"is no address: {first_line(error)}", "mend it") from None
        except httpx2.TimeoutException as error:
            waited = "did not answer in time" if not begun else "fell silent in the middle of the answer"
            hint = "is it overloaded? options: {silence: SECONDS} waits longer"
            raise self.fault("unreachable", f"{waited} ({type(error).__name__})", hint) from None
        except httpx2.ConnectError as error:
            raise self._unconnected(error) from None
        except (httpx2.HTTPError, httpx2.StreamError, OSError) as error:
            why = first_line(error)
            if begun:
                raise self.broken(why) from None
            hint = "is the server running? /retry asks again"
            raise self.fault("unreachable", f"did not answer: {why}", hint) from None

    def _unconnected(self, error: httpx2.ConnectError) -> BackendError:
        why = first_line(error)
        causes = list(_causes(error))
        if any(isinstance(each, ssl.SSLError) for each in causes):
            hint = "its certificate has to be trusted by this machine: SSL_CERT_FILE names a file of your own"
            return self.fault("unreachable", f"cannot be trusted: {why}", hint)
        numbers = [each.errno for each in causes if isinstance(each, OSError) and each.errno]
        if numbers and numbers[0] > 0:  # below 0 they are those of names that were looked up
            why = os.strerror(numbers[0])
        hint = "start the server or mend the address, then /retry"
        return self.fault("unreachable", f"cannot be reached: {why}", hint)

    def status(self, code: int, body: bytes) -> BackendError:
        """An answer that is none."""
        said = _said(body)
        what = f"says {code}" + (f": {said}" if said else "")
        if code in (401, 403):
            return self.fault("unauthorised", what, self._about_key())
        if code == 404:
            return self.fault(
                "unsupported", what, "does the address end as in /v1, and has the server still that model?"
            )
        if code in (429, 503):
            return self.fault("unreachable", what, "it is busy or not ready: /retry later, or fewer slots")
        if 300 <= code < 400:
            return self.fault("unsupported", what, "redirects are not followed: give the address itself")
        if code < 500:
            kind = "prompt_too_long" if re.search(r"context length|context size", said) else "bad_parameter"
            return self.fault(kind, what, "/params shows what was asked for; /template off sends the line")
        return self.fault(
            "unreachable", what, "see its log; a model without a chat template needs /template off"
        )

    def _about_key(self) -> str:
        if self._variable is None:
            return "it wants a key: options: {api_key: NAME} names the environment variable that holds it"
        return f"the key in the environment variable {self._variable} is not accepted"


def _causes(error: BaseException) -> Iterator[BaseException]:
    """An exception and what led to it, the outermost first."""
    yield error
    inner = [*error.exceptions] if isinstance(error, BaseExceptionGroup) else []
    inner += [each for each in (error.__cause__ or error.__context__,) if each is not None]
    for each in inner:
        yield from _causes(each)


def _said(body: bytes) -> str:
    """A server's own words out of an error, in any of the forms that are about; one line."""
    try:
        told: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, RecursionError):
        told = body.decode("utf-8", "replace") if not body.lstrip().startswith(b"<") else ""
    for _ in range(4):
        if not isinstance(told, dict):
            break
        told = next((told[name] for name in ("error", "message", "detail", "msg") if name in told), "")
    return shortened(told if isinstance(told, str) else str(told) if told else "")


def said(error: Any) -> str:
    """The same of an error within a stream."""
    return _said(msgspec.json.encode({"error": error}))


def shortened(text: str) -> str:
    """One line of bounded length."""
    line = " ".join(text[: 4 * _LONGEST].split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
