"""MTA-STS (RFC 8461): what a domain asks of who sends to its MX hosts, fetched over HTTPS, kept for its max_age."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import re
import socket
import ssl
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Final

import aiohttp
import aiohttp.abc

from services.core.clock import Clock
from services.core.errors import DnsUnavailable
from services.delivery.hops import Addresses, is_public
from services.runtime.dns import Dns

log = logging.getLogger("gatepost.delivery")

FETCH_WITHIN: Final = 10.0  # seconds
POLICY_MOST: Final = 65_536  # octets (section 3.2)
AGE_MOST: Final = 31_557_600  # seconds (section 3.2)
AGAIN: Final = 300.0  # seconds after a failed fetch (section 3.3)
DOMAINS_MOST: Final = 2_000  # policies kept

_ID = re.compile(r"\s*v=STSv1\s*;\s*id=([A-Za-z0-9]{1,32})\s*;?\s*")
_NAME = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)+")

Fetch = Callable[[str], Awaitable[bytes]]


@dataclasses.dataclass(frozen=True, slots=True)
class Policy:
    """What the domain published."""

    mode: str  # enforce, testing or none
    hosts: tuple[str, ...]
    max_age: float

    @property
    def strings(self) -> tuple[str, ...]:
        """What it says, line by line, as a report has it (RFC 8460 section 4.4)."""
        hosts = (f"mx: {host}" for host in self.hosts)
        return ("version: STSv1", f"mode: {self.mode}", *hosts, f"max_age: {self.max_age:.0f}")

    def allows(self, host: str) -> bool:
        """Return whether mail may go to that MX host (section 4.1); `*.` stands for one label."""
        return host in self.hosts or f"*.{host.partition('.')[2]}" in self.hosts


def parse(text: bytes) -> Policy | None:
    """Return the policy, None for what is none (section 3.2)."""
    pairs: list[tuple[str, str]] = []
    for line in text.decode("utf-8", "replace").replace("\r\n", "\n").split("\n"):
        name, colon, value = line.partition(":")
        if colon:
            pairs.append((name.strip(), value.strip()))
        elif line.strip():
            return None
    first = dict(reversed(pairs))
    hosts = tuple(value.lower() for name, value in pairs if name == "mx")
    age = first.get("max_age", "")
    mode = first.get("mode", "")
    if first.get("version") != "STSv1" or mode not in {"enforce", "testing", "none"}:
        return None
    if not (age.isascii() and age.isdigit() and len(age) <= 10) or any(not _NAME.fullmatch(host) for host in hosts):  # noqa: PLR2004  # digits (section 3.2)
        return None
    if mode != "none" and not hosts:
        return None
    return Policy(mode, hosts, min(float(age), AGE_MOST))


class Sts:
    """The policies of domains. A policy that can't be had leaves the last one in force until its time is over."""

    def __init__(self, dns: Dns, clock: Clock, fetch: Fetch) -> None:
        self._dns = dns
        self._clock = clock
        self._fetch = fetch
        self._kept: OrderedDict[str, tuple[str, Policy, float]] = OrderedDict()  # id, policy, until
        self._failed: OrderedDict[str, float] = OrderedDict()
        self._locks: dict[str, asyncio.Lock] = {}

    async def policy(self, domain: str) -> Policy | None:
        """Return the domain's policy, None when it has none that could be had."""
        lock = self._locks.setdefault(domain, asyncio.Lock())
        try:
            async with lock:
                return await self._policy(domain)
        finally:
            if not lock.locked():
                self._locks.pop(domain, None)

    async def _policy(self, domain: str) -> Policy | None:
        now = self._clock.now()
        identity, policy, until = self._kept.get(domain, ("", None, 0.0))
        current = policy if now < until else None
        try:
            found = [match[1] for text in await self._dns.resolve(f"_mta-sts.{domain}", "TXT") if (match := _id(text))]
        except DnsUnavailable:
            return current
        if len(found) != 1 or (current is not None and found[0] == identity):
            return current
        if self._failed.get(domain, 0.0) > now:
            return current
        try:
            async with asyncio.timeout(FETCH_WITHIN):
                fresh = parse(await self._fetch(domain))
        except (OSError, TimeoutError, aiohttp.ClientError) as error:
            log.warning("domain=%s event=sts-unavailable error=%s", domain, type(error).__name__)
            fresh = None
        if fresh is None:
            self._keep(self._failed, domain, now + AGAIN)
            return current
        self._keep(self._kept, domain, (found[0], fresh, now + fresh.max_age))
        return fresh

    @staticmethod
    def _keep(kept: OrderedDict[str, Any], domain: str, value: object) -> None:
        kept[domain] = value
        kept.move_to_end(domain)
        while len(kept) > DOMAINS_MOST:
            kept.popitem(last=False)


def _id(text: str | bytes) -> re.Match[str] | None:
    return _ID.fullmatch(text.decode("latin-1") if isinstance(text, bytes) else text)


class _Names(aiohttp.abc.AbstractResolver):
    """aiohttp's resolver over ours: its own would wait in the machine's threads, and follow a name into our network."""

    def __init__(self, dns: Dns, *, private: bool) -> None:
        self._addresses = Addresses(dns)
        self._private = private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[aiohttp.abc.ResolveResult]:
        found = [info for info in await self._addresses(host, port) if self._private or is_public(info)]
        if not found:
            raise OSError(f"{host} has no address of the Internet")
        return [
            aiohttp.abc.ResolveResult(
                hostname=host, host=info[4][0], port=port, family=info[0], proto=info[2], flags=socket.AI_NUMERICHOST
            )
            for info in found
            if family in (socket.AF_UNSPEC, info[0])
        ]

    async def close(self) -> None:
        """Nothing is held."""


class Https:
    """Fetches a policy as section 3.3 asks: the certificate names the host, and no redirect is followed."""

    def __init__(
        self, dns: Dns, *, private: bool = False, context: ssl.SSLContext | None = None, port: int = 443
    ) -> None:
        self._dns = dns
        self._private = private
        self._context = context or ssl.create_default_context()
        self._port = port

    async def __call__(self, domain: str) -> bytes:
        """Return the policy's text. Raises OSError, TimeoutError or aiohttp.ClientError."""
        connector = aiohttp.TCPConnector(resolver=_Names(self._dns, private=self._private), ssl=self._context)
        port = "" if self._port == 443 else f":{self._port}"  # noqa: PLR2004  # of HTTPS
        url = f"https://mta-sts.{domain}{port}/.well-known/mta-sts.txt"
        timeout = aiohttp.ClientTimeout(total=FETCH_WITHIN)
        async with (
            aiohttp.ClientSession(connector=connector, timeout=timeout, trust_env=False) as session,
            session.get(url, allow_redirects=False) as response,
        ):
            if response.status != 200:  # noqa: PLR2004  # and nothing else
                raise OSError(f"HTTP {response.status}")
            return await response.content.read(POLICY_MOST)
