"""DNS as a port: one question, one answer, and a resolver that is down delays nobody."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections import OrderedDict
from typing import Final, Protocol

import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.nameserver
import dns.rdatatype
import dns.rdtypes.ANY.MX
import dns.rdtypes.ANY.TXT
import dns.resolver

from services.core.clock import Clock
from services.core.errors import ConfigError, DnsUnavailable

log = logging.getLogger("gatepost.dns")

Answer = tuple[str | bytes, ...]

LIFETIME: Final = 2.0  # seconds for one question, retries included
CACHE_SIZE: Final = 20_000  # answers
MAX_IN_FLIGHT: Final = 512  # questions
LONGEST_TTL: Final = 3600.0  # seconds
LONGEST_NEGATIVE_TTL: Final = 300.0
BREAK_AFTER: Final = 3  # time-outs in a row
BREAK_FOR: Final = 5.0  # seconds
_NEVER_ASKED: Final = frozenset({"invalid", "onion"})  # RFC 6761 section 6.4, RFC 7686


class Dns(Protocol):
    """Ask the domain name system."""

    async def resolve(self, name: str, rdtype: str) -> Answer:
        """Return the records of that type: TXT as octets (a record's strings joined), else text; MX as `10 host`.

        Host names come in lower case without the final dot. A name that doesn't or can't exist, or has no such record,
        gives (). Raises DnsUnavailable when there was no answer, within LIFETIME seconds.
        """
        ...

    async def secure(self, name: str, rdtype: str) -> bool:
        """Return whether DNSSEC vouches for what `resolve` gives (the AD bit, RFC 6840 section 5.8).

        Always False where nobody said that the resolver validates and can be trusted. Raises DnsUnavailable.
        """
        ...

    async def close(self) -> None:
        """End what is under way."""
        ...


def canonical(name: str) -> str | None:
    """Return the name in lower case, as A-labels, without the final dot; None when it can't exist or is never asked."""
    try:
        text = dns.name.from_text(name).to_text(omit_final_dot=True).lower()
    except (dns.exception.DNSException, UnicodeError):
        return None
    return None if text in {"", "@", "."} or text.rsplit(".", 1)[-1] in _NEVER_ASKED else text


class Breaker:
    """Counts time-outs in a row. Open, it lets one question through every BREAK_FOR seconds to see.

    The three look-ups of one message often share a domain, whose own servers may be what is slow: time-outs of one
    domain weigh a third.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._failures = 0
        self._domains: set[str] = set()
        self._until: float | None = None  # None: closed

    def allows(self) -> bool:
        """Return whether to ask. While open, a True is the probe, and the next ones wait for what it brings."""
        if self._until is None:
            return True
        if self._clock.monotonic() < self._until:
            return False
        self._until = self._clock.monotonic() + BREAK_FOR
        return True

    def failed(self, name: str) -> None:
        self._failures += 1
        self._domains.add(".".join(name.rsplit(".", 2)[-2:]))
        if len(self._domains) < BREAK_AFTER and self._failures < 3 * BREAK_AFTER:
            return
        if self._until is None:
            log.warning("event=resolver-down timeouts=%d pause_s=%.0f", self._failures, BREAK_FOR)
        self._until = self._clock.monotonic() + BREAK_FOR
        self._domains = set(sorted(self._domains)[:BREAK_AFTER])

    def answered(self) -> None:
        if self._until is not None:
            log.info("event=resolver-up")
        self._failures, self._until = 0, None
        self._domains.clear()


class Resolver:
    """The Dns port over dnspython, with a cache that keeps to the TTLs, and one question at a time for each name."""

    def __init__(self, servers: str, clock: Clock, *, validating: bool = False) -> None:
        """`servers`: `ip:port,…`, or empty for the system's; raise ConfigError for what is neither.

        `validating`: they validate DNSSEC, and nobody can change their answers on the way.
        """
        self._clock = clock
        self._resolver = _configured(servers)
        self._validating = validating
        if validating and self._resolver is not None:
            self._resolver.use_edns(0, dns.flags.DO, 1232)
            self._resolver.flags = dns.flags.RD | dns.flags.AD
        self._breaker = Breaker(clock)
        self._cache: OrderedDict[tuple[str, str], tuple[float, Answer, bool]] = OrderedDict()
        self._asking: dict[tuple[str, str], asyncio.Task[Answer]] = {}

    async def resolve(self, name: str, rdtype: str) -> Answer:
        known = canonical(name)
        if known is None:
            return ()
        question = (known, rdtype)
        cached = self._cache.get(question)
        if cached and cached[0] > self._clock.monotonic():
            self._cache.move_to_end(question)
            return cached[1]
        task = self._asking.get(question)
        if task is None:
            if len(self._asking) >= MAX_IN_FLIGHT:
                raise DnsUnavailable("too many questions under way")
            if not self._breaker.allows():
                raise DnsUnavailable("the resolver is down")
            task = asyncio.create_task(self._ask(question), name=f"dns-{known}")
            self._asking[question] = task
            task.add_done_callback(lambda done: self._forget(question, done))
        return await asyncio.shield(task)  # one asker's cancellation is not the others'

    async def secure(self, name: str, rdtype: str) -> bool:
        await self.resolve(name, rdtype)
        known = canonical(name)
        cached = self._cache.get((known, rdtype)) if known else None
        return cached is not None and cached[2]

    async def close(self) -> None:
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, question: tuple[str, str], done: asyncio.Task[Answer]) -> None:
        self._asking.pop(question, None)
        if not done.cancelled():
            done.exception()  # seen by the askers; with none of them left, nobody misses it

    async def _ask(self, question: tuple[str, str]) -> Answer:
        name, rdtype = question
        if self._resolver is None:
            raise DnsUnavailable("no resolver is configured")
        try:
            found = await self._resolver.resolve(
                dns.name.from_text(name), rdtype, search=False, lifetime=LIFETIME, raise_on_no_answer=False
            )
        except dns.resolver.NXDOMAIN as error:
            self._breaker.answered()
            return self._keep(question, (), _negative_ttl(error))
        except dns.resolver.YXDOMAIN:
            self._breaker.answered()
            return self._keep(question, (), LONGEST_NEGATIVE_TTL)
        except dns.exception.Timeout as error:
            self._breaker.failed(name)
            raise DnsUnavailable(f"no answer for {rdtype} {name}") from error
        except (dns.exception.DNSException, OSError) as error:
            raise DnsUnavailable(f"{type(error).__name__} for {rdtype} {name}") from error
        self._breaker.answered()
        answer = tuple(_shown(rdata) for rdata in found) if found.rrset is not None else ()
        longest = LONGEST_TTL if answer else LONGEST_NEGATIVE_TTL
        validated = self._validating and bool(found.response.flags & dns.flags.AD)
        return self._keep(question, answer, min(longest, found.chaining_result.minimum_ttl), secure=validated)

    def _keep(self, question: tuple[str, str], answer: Answer, ttl: float, *, secure: bool = False) -> Answer:
        self._cache[question] = (self._clock.monotonic() + ttl, answer, secure)
        self._cache.move_to_end(question)
        while len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)
        return answer


def _configured(servers: str) -> dns.asyncresolver.Resolver | None:
    if not servers:
        try:
            return dns.asyncresolver.Resolver()
        except dns.resolver.NoResolverConfiguration:
            log.warning("event=no-resolver text=the system names no DNS server; set GATEPOST_DNS")
            return None
    resolver = dns.asyncresolver.Resolver(configure=False)
    resolver.nameservers = [_server(item.strip()) for item in servers.split(",")]
    return resolver


def _server(text: str) -> dns.nameserver.Nameserver:
    host, _, port = text.rpartition(":") if text.count(":") == 1 or "]:" in text else (text, "", "53")
    try:
        address = ipaddress.ip_address(host.strip("[]"))
        number = int(port)
    except ValueError as error:
        raise ConfigError(f"GATEPOST_DNS: {text!r} is not ip:port") from error
    if not 0 < number < 65_536:  # noqa: PLR2004  # the range of ports
        raise ConfigError(f"GATEPOST_DNS: {text!r} has no such port")
    return dns.nameserver.Do53Nameserver(str(address), number)


def _negative_ttl(error: dns.resolver.NXDOMAIN) -> float:
    ttls = [
        response.resolve_chaining().minimum_ttl
        for response in error.responses().values()  # type: ignore[no-untyped-call]  # dnspython leaves it untyped
        if isinstance(response, dns.message.QueryMessage)
    ]
    return min([LONGEST_NEGATIVE_TTL, *ttls])


def _shown(rdata: object) -> str | bytes:
    if isinstance(rdata, dns.rdtypes.ANY.TXT.TXT):
        return b"".join(rdata.strings)
    if isinstance(rdata, dns.rdtypes.ANY.MX.MX):
        return f"{rdata.preference} {rdata.exchange.to_text(omit_final_dot=True).lower()}"
    return str(rdata).removesuffix(".").lower()
