"""A client of rspamd's normal worker: POST /checkv2, and a reply that can't be read is no reply."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
from multidict import CIMultiDict

from schemas.events import Received
from services.core.errors import ConfigError, EngineUnavailable
from services.scanners.contract import ContentReply
from services.scanners.text import clean

_ANSWER_WITHIN: Final = 20.0  # seconds for one message
_CONNECT_WITHIN: Final = 2.0
_CONNECTIONS: Final = 32
_REPLY_LIMIT: Final = 2_097_152  # octets
_RECIPIENTS: Final = 100  # named to rspamd; a longer list adds nothing to its rules
# The message was accepted already: asking its sender to come again, or slower, is no longer possible.
FOR_A_DOOR: Final = ("GREYLIST_CHECK", "GREYLIST_SAVE", "RATELIMIT_CHECK", "RATELIMIT_UPDATE")
_UNFIT = re.compile(r"[\x00-\x1f\x7f]")


class _Symbol(msgspec.Struct):
    score: float = 0.0
    description: str = ""


class _Reply(msgspec.Struct):
    action: str
    score: float
    symbols: dict[str, _Symbol] = {}


class Rspamd:
    """The ContentEngine port over HTTP/1.1 with kept connections."""

    def __init__(self, url: str, off: Sequence[str] = FOR_A_DOOR) -> None:
        """Raise ConfigError when `url` isn't http(s)://host[:port]. `off` names the symbols that are not to run."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigError(f"GATEPOST_RSPAMD: {url!r} is not http://host:port")
        self._settings = msgspec.json.encode({"symbols_disabled": list(off)}).decode()
        self._url = url.rstrip("/") + "/checkv2"
        self._session: aiohttp.ClientSession | None = None

    async def check(self, message: bytes, received: Received) -> ContentReply:
        """Return rspamd's answer; raise EngineUnavailable for anything but a readable 200."""
        try:
            headers = _headers(received, self._settings)
            async with self._open().post(self._url, data=message, headers=headers, allow_redirects=False) as response:
                if response.status != 200:  # noqa: PLR2004  # HTTP's OK
                    raise EngineUnavailable(f"rspamd answered {response.status}")
                body = await _bounded(response.content)
                server = response.headers.get("Server", "rspamd")
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise EngineUnavailable(f"rspamd: {type(error).__name__}") from error
        return parse(body, server)

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:  # not in the constructor: a session belongs to the loop that it was made in
            timeout = aiohttp.ClientTimeout(total=_ANSWER_WITHIN, connect=_CONNECT_WITHIN)
            self._session = aiohttp.ClientSession(
                timeout=timeout,
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session


def parse(body: bytes, server: str) -> ContentReply:
    """Return the reply in the body; raise EngineUnavailable when it isn't one."""
    try:
        reply = msgspec.json.decode(body, type=_Reply)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EngineUnavailable(f"rspamd's answer can't be read: {clean(str(error), 80)}") from error
    symbols = [(clean(name, 60), item.score, clean(item.description)) for name, item in reply.symbols.items()]
    return ContentReply(clean(reply.action, 40), reply.score, symbols, clean(server.replace("/", " "), 60))


async def _bounded(stream: aiohttp.StreamReader) -> bytes:
    collected = bytearray()
    async for chunk in stream.iter_any():
        collected += chunk
        if len(collected) > _REPLY_LIMIT:
            raise EngineUnavailable("rspamd's answer has no end")
    return bytes(collected)


def _headers(received: Received, settings: str) -> CIMultiDict[str]:
    envelope = received.envelope
    headers = CIMultiDict({"Content-Type": "message/rfc822", "Queue-Id": received.id, "Settings": settings})
    headers["From"] = _fit(envelope.reverse_path) or "<>"
    for recipient in envelope.recipients[:_RECIPIENTS]:
        headers.add("Rcpt", _fit(recipient))
    if envelope.client_ip:
        headers["IP"] = _fit(envelope.client_ip)
    if envelope.helo:
        headers["Helo"] = _fit(envelope.helo)
    return headers


def _fit(text: str) -> str:
    return _UNFIT.sub("", text)[:1000]
