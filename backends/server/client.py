"""Talks HTTP to one server: JSON there and back, and streams, within bounds and in words for the user."""

import asyncio
import email.utils
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import httpx2
import msgspec

from backends.server import address
from backends.server.events import Parser, TooLong
from backends.server.faults import Speaker
from backends.server.options import Options
from backends.server.wire import Chunk

Answer = TypeVar("Answer")
pause = asyncio.sleep

TRIES = 5
"""How often a server that is busy is asked."""
LONGEST_WAIT = 60.0
"""Seconds; a server that wants more is not waited for."""
_BUSY = (429, 503)
_LARGEST = 64 << 20
"""Bytes of a JSON answer: the figures of a long prompt's tokens are some."""
_CONNECT = 10.0


class Client:
    """One server's API. Raises ``BackendError`` and nothing else, but for cancelling."""

    def __init__(self, model: str, path: str, options: Options) -> None:
        self._base, self._root = address.base(path), address.root(path)
        key = os.environ.get(options.api_key) if options.api_key else None
        self.speaker = Speaker(model, self._base, options.api_key, key)
        if options.api_key and not key:
            what = f"wants a key, but the environment variable {options.api_key} is not set"
            raise self.speaker.fault("unauthorised", what, "export it, then start again")
        # Compressed, a small answer could become a huge one.
        headers = {"Accept-Encoding": "identity", "User-Agent": "multigpu-repl"}
        if key:
            headers["Authorization"] = f"Bearer {key}"
        self._http = httpx2.AsyncClient(
            headers=headers,
            timeout=httpx2.Timeout(options.silence, connect=_CONNECT, pool=None),
            limits=httpx2.Limits(max_connections=None),
            verify=httpx2.create_ssl_context(),  # SSL_CERT_FILE counts, whatever is said of proxies
            trust_env=options.proxy,
            follow_redirects=False,
        )

    async def close(self) -> None:
        """Let go of the connections."""
        await self._http.aclose()

    async def get(self, path: str, kind: type[Answer]) -> Answer:
        """What the API has at ``path``."""
        return await self._whole("GET", self._base + path, None, kind)

    async def get_beside(self, path: str, kind: type[Answer]) -> Answer:
        """What the server has at ``path`` beside the API."""
        return await self._whole("GET", self._root + path, None, kind)

    async def post(self, path: str, body: dict[str, Any], kind: type[Answer]) -> Answer:
        """What the API answers."""
        return await self._whole("POST", self._base + path, body, kind)

    async def post_beside(self, path: str, body: dict[str, Any], kind: type[Answer]) -> Answer:
        """What the server answers beside the API."""
        return await self._whole("POST", self._root + path, body, kind)

    async def _whole(self, method: str, url: str, body: dict[str, Any] | None, kind: type[Answer]) -> Answer:
        async with self._ask(method, url, body) as response:
            with self.speaker.transport(begun=False):
                return self._decoded(await self._read(response, _LARGEST), kind)

    @asynccontextmanager
    async def stream(self, path: str, body: dict[str, Any], most: int) -> AsyncIterator[AsyncIterator[Chunk]]:
        """The chunks of an answer of at most ``most`` bytes; leaving it closes the connection at once."""
        async with self._ask("POST", self._base + path, body | {"stream": True}) as response:
            form = response.headers.get("content-type", "").lower()
            if not form.startswith("text/event-stream"):
                raise self.speaker.strange(
                    f"answers with '{form[:80]}' where a stream of events was asked for"
                )
            yield self._chunks(response, most)

    async def _chunks(self, response: httpx2.Response, most: int) -> AsyncIterator[Chunk]:
        """Up to ``[DONE]``, which some servers leave out: whether it is complete is told by its choices."""
        parser, size = Parser(), 0
        with self.speaker.transport(begun=True):
            async for received in response.aiter_raw():
                size += len(received)
                if size > most:
                    raise self.speaker.strange(
                        f"sends more than the {most >> 20} MiB that an answer may have"
                    )
                try:
                    for data in parser.feed(received):
                        if data.strip() == b"[DONE]":
                            return
                        yield self._decoded(data, Chunk)
                except TooLong:
                    raise self.speaker.strange("sends an event that does not end") from None

    @asynccontextmanager
    async def _ask(
        self, method: str, url: str, body: dict[str, Any] | None
    ) -> AsyncIterator[httpx2.Response]:
        """A response that is good; a busy server is asked again, after what it says or ever longer."""
        content = None if body is None else msgspec.json.encode(body)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        for attempt in range(TRIES):
            with self.speaker.transport(begun=False):
                request = self._http.build_request(method, url, content=content, headers=headers)
                try:
                    response = await self._http.send(request, stream=True)
                except (httpx2.ReadError, httpx2.WriteError, httpx2.RemoteProtocolError):
                    if attempt:
                        raise
                    continue  # a connection that was kept may have been closed by the server meanwhile
            try:
                if response.status_code == 200:
                    yield response
                    return
                with self.speaker.transport(begun=False):
                    said = await self._read(response, 64 << 10)
            finally:
                await response.aclose()
            wait = _wait(response, attempt)
            if response.status_code not in _BUSY or attempt == TRIES - 1 or wait > LONGEST_WAIT:
                raise self.speaker.status(response.status_code, said)
            await pause(wait)

    async def _read(self, response: httpx2.Response, most: int) -> bytes:
        whole = bytearray()
        async for received in response.aiter_raw():
            whole += received
            if len(whole) > most:
                raise self.speaker.strange(f"answers with more than {most >> 10} KiB")
        return bytes(whole)

    def _decoded(self, data: bytes, kind: type[Answer]) -> Answer:
        try:
            return msgspec.json.decode(data, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            what = "nested too deep" if isinstance(error, RecursionError) else str(error)
            raise self.speaker.strange(f"sends what is no such answer: {what}") from None


def _wait(response: httpx2.Response, attempt: int) -> float:
    """Seconds: as ``Retry-After`` says, as a number or a date, else doubling from a half."""
    told = response.headers.get("retry-after", "").strip()
    try:
        return max(0.0, float(told))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(told).timestamp() - time.time())
    except (ValueError, TypeError):
        return 0.5 * 2.0**attempt
