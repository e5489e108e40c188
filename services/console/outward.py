"""HTTPS to hosts that customers name: to the addresses that were looked at, in time, and no more than was asked for.

The name is resolved once, each address is looked at, and those are what is connected to: a name that changes its mind
in between (DNS rebinding) leads nowhere else. No redirect is followed, and no proxy of the environment is asked.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import ssl
import urllib.parse
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import aiohttp
import aiohttp.abc
import msgspec

from services.core.errors import DnsUnavailable, Temporary
from services.core.outside import is_public, may_be_public
from services.runtime.dns import Dns

WITHIN: Final = 8.0  # seconds for one request, its name's resolution included
ANSWER_MOST: Final = 262_144  # octets of a body


class OutwardUnavailable(Temporary):
    """The host gave no answer that is of use. The text is for the log."""


class Outward(Protocol):
    """Asks hosts that customers name."""

    async def ask(
        self, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Return the JSON object that a GET, or a POST of the form, is answered with.

        Raises OutwardUnavailable for any other answer, for none, and for a host that may not be asked.
        """
        ...


def url_problem(url: str, *, private: bool) -> str:
    """Return why the URL may not be asked, empty when it may; a name's addresses are looked at when it is.

    `private`: our own network may be asked, and without TLS.
    """
    try:
        parts = urllib.parse.urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "not a URL"
    if parts.scheme not in ({"https", "http"} if private else {"https"}):
        return "not https"
    bare = parts.username is None and parts.password is None and not parts.fragment
    if not host or not bare or any(not char.isprintable() or char.isspace() for char in url):
        return "not a URL of a host"
    return "" if private or may_be_public(host) else "of a private network"


class Https:
    """The real one."""

    def __init__(
        self,
        resolver: Callable[[], Dns],
        *,
        private: bool = False,
        context: ssl.SSLContext | None = None,
        within: float = WITHIN,
    ) -> None:
        """`private`: hosts may be at private addresses, and without TLS; `within`: seconds for one request."""
        self._within = within
        self._resolver = resolver
        self._private = private
        self._context = context or ssl.create_default_context()

    async def ask(
        self, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """See Outward."""
        problem = url_problem(url, private=self._private)
        if problem:
            raise OutwardUnavailable(f"{url[:200]}: {problem}")
        try:
            async with asyncio.timeout(self._within):
                body = await self._ask(url, form, headers or {})
        except (OSError, ValueError, TimeoutError, DnsUnavailable, aiohttp.ClientError) as error:
            raise OutwardUnavailable(f"{url[:200]}: {type(error).__name__}: {error}"[:400]) from error
        try:
            answer = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            raise OutwardUnavailable(f"{url[:200]}: not JSON") from error
        if not isinstance(answer, dict):
            raise OutwardUnavailable(f"{url[:200]}: no object")
        return answer

    async def _ask(self, url: str, form: Mapping[str, str] | None, headers: Mapping[str, str]) -> bytes:
        dns = self._resolver()
        connector = aiohttp.TCPConnector(resolver=_Names(dns, private=self._private), ssl=self._context, limit=1)
        sent = {"Accept": "application/json", **headers}
        try:
            async with (
                aiohttp.ClientSession(
                    connector=connector, trust_env=False, timeout=aiohttp.ClientTimeout(total=self._within)
                ) as session,
                session.request(
                    "GET" if form is None else "POST", url, data=form, headers=sent, allow_redirects=False
                ) as response,
            ):
                body = bytearray()
                async for chunk in response.content.iter_chunked(16_384):
                    body += chunk
                    if len(body) > ANSWER_MOST:
                        raise OSError(f"more than {ANSWER_MOST} octets")
                if response.status != 200:  # noqa: PLR2004  # and nothing else
                    raise OSError(f"HTTP {response.status} {_error_of(bytes(body))}")
                return bytes(body)
        finally:
            await dns.close()


class _Names(aiohttp.abc.AbstractResolver):
    """aiohttp's resolver over ours: what it returns is what is connected to."""

    def __init__(self, dns: Dns, *, private: bool) -> None:
        self._dns = dns
        self._private = private

    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_UNSPEC,  # noqa: ARG002 - both are looked up
    ) -> list[aiohttp.abc.ResolveResult]:
        texts = [str(text) for kind in ("A", "AAAA") for text in await self._dns.resolve(host, kind)]
        if self._private and host == "localhost":
            texts = ["127.0.0.1"]
        allowed = [text for text in texts if self._private or is_public(text)]
        if not allowed:
            raise OSError(errno.EACCES, f"{host} has no address that may be asked")  # aiohttp tells the text of one
        return [
            aiohttp.abc.ResolveResult(
                hostname=host,
                host=text,
                port=port,
                family=socket.AF_INET6 if ":" in text else socket.AF_INET,
                proto=socket.IPPROTO_TCP,
                flags=socket.AI_NUMERICHOST,
            )
            for text in allowed
        ]

    async def close(self) -> None:
        """Nothing is held."""


def _error_of(body: bytes) -> str:
    """Return the error code of RFC 6749 section 5.2 that the body names; it tells an administrator what is wrong."""
    try:
        answer = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError):
        return ""
    error = answer.get("error") if isinstance(answer, dict) else None
    return "".join(char for char in error if char.isalnum() or char in "_-")[:60] if isinstance(error, str) else ""
