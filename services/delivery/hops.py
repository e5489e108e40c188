"""Which hosts a configured host means, by the records of the day (RFC 5321 section 5.1, RFC 2782, RFC 7505).

The resolver keeps answers for their TTL, so asking before each attempt follows every change and costs nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, Final

from schemas.events import Host
from services.core import outside
from services.core.errors import DnsUnavailable, Permanent
from services.runtime.dns import Dns

MX, SRV = "mx", "srv"
MX_PORT: Final = 25
ADDRESSES_MOST: Final = 8  # of one name that are tried

AddressInfo = tuple[Any, Any, int, str, Any]
Resolve = Callable[[str, int], Awaitable[Sequence[AddressInfo]]]


class NoMail(Permanent):
    """The domain says that it takes no mail, or there is no such domain."""

    def __init__(self, text: str, status: str = "5.1.10") -> None:
        """`status` is the enhanced code (RFC 3463) that the sender is told."""
        super().__init__(text)
        self.status = status


class Hop(Host, frozen=True, kw_only=True):
    """One host to connect to, found by records."""

    via: str = ""  # the domain whose MX record named it: MTA-STS speaks of that
    secure: bool = False  # DNSSEC vouches for the record
    public: bool = False  # the name was somebody else's to choose: only addresses of the Internet are taken
    sources: tuple[str, ...] = ()  # our addresses, one of which it is connected from; empty: the system chooses


def from_pool(hosts: Sequence[Host], sources: tuple[str, ...]) -> tuple[Host, ...]:
    """Return the same hosts; those that MX records will name are connected to from these addresses."""
    if not sources:
        return tuple(hosts)
    return tuple(
        Hop(host=each.host, port=each.port, preference=each.preference, lookup=MX, tls=each.tls, sources=sources)
        if each.lookup == MX
        else each
        for each in hosts
    )


class Hops:
    """Expands hosts. Raises DnsUnavailable where the answer can't be had now."""

    def __init__(
        self,
        dns: Dns,
        *,
        private: bool = False,
        port: int = MX_PORT,
        own: Iterable[str] = (),
        hosted: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`private`: hosts that a stranger's record names may have private addresses; for tests and closed networks.

        `port` is theirs; `own` are our names, to which nothing goes that is for a domain which isn't `hosted` here.
        """
        self._dns = dns
        self._private = private
        self._port = port
        self._own = frozenset(name.lower() for name in own)
        self._hosted = hosted

    async def expand(self, hosts: Sequence[Host]) -> list[Host]:
        """Return the hosts to connect to. Raises NoMail when all of them are domains without mail."""
        found: list[Host] = []
        refusal: NoMail | None = None
        for host in hosts:
            try:
                match host.lookup:
                    case "mx":
                        found += await self._mx(host)
                    case "srv":
                        found += await self._srv(host)
                    case _:
                        found.append(host)
            except NoMail as error:
                refusal = error
        if not found and refusal is not None:
            raise refusal
        return found

    async def _mx(self, host: Host) -> list[Host]:
        answer = await self._dns.resolve(host.host, "MX")
        secure = await self._dns.secure(host.host, "MX")
        port = host.port if host.port != MX_PORT else self._port
        hops = []
        for text in answer:
            preference, _, name = str(text).partition(" ")
            if name in {"", "."}:
                if len(answer) == 1:
                    raise NoMail(f"{host.host} takes no mail (null MX)")
                continue
            hops.append(self._hop(host, name, port, int(preference), secure=secure))
        if hops:
            return list(self._before_us(host, hops))
        if not (await self._dns.resolve(host.host, "A") or await self._dns.resolve(host.host, "AAAA")):
            raise NoMail(f"{host.host} has no mail server and no address")
        return list(self._before_us(host, [self._hop(host, host.host, port, host.preference, secure=False)]))

    def _before_us(self, host: Host, hops: list[Hop]) -> list[Hop]:
        """Return the hosts that are nearer than we are (RFC 5321 section 5.1): the others would send it back to us."""
        ours = min((hop.preference for hop in hops if hop.host.lower() in self._own), default=None)
        if self._hosted(host.host):  # another customer's: the way to it is our own front door
            return hops
        nearer = hops if ours is None else [hop for hop in hops if hop.preference < ours]
        if not nearer:
            raise NoMail(f"mail for {host.host} comes back to here", "5.4.6")
        return nearer

    async def _srv(self, host: Host) -> list[Host]:
        hops = []
        for text in await self._dns.resolve(host.host, "SRV"):
            priority, _, port, name = str(text).split()
            if name.rstrip("."):
                hops.append(self._hop(host, name.rstrip("."), int(port), int(priority), secure=False))
        if not hops:
            raise DnsUnavailable(f"no SRV record of {host.host}")
        return list(hops)

    def _hop(self, host: Host, name: str, port: int, preference: int, *, secure: bool) -> Hop:
        return Hop(
            host=name,
            port=port,
            preference=preference,
            tls=host.tls,
            ca_file=host.ca_file,
            via=host.host if host.lookup == MX else "",
            secure=secure,
            public=host.lookup == MX and not self._private,
            sources=host.sources if isinstance(host, Hop) else (),
        )


class Addresses:
    """Resolve by the project's resolver, IPv6 and IPv4; names without a dot by the system's, as only it knows them."""

    def __init__(self, dns: Dns) -> None:
        self._dns = dns

    async def __call__(self, host: str, port: int) -> Sequence[AddressInfo]:
        """Return what to connect to; raises OSError when there is no address."""
        try:
            return [_info(ipaddress.ip_address(host), port)]
        except ValueError:
            pass
        if "." not in host:
            loop = asyncio.get_running_loop()
            return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        answers = await asyncio.gather(
            self._dns.resolve(host, "AAAA"), self._dns.resolve(host, "A"), return_exceptions=True
        )
        found = [
            _info(ipaddress.ip_address(str(text)), port)
            for a in answers
            if not isinstance(a, BaseException)
            for text in a
        ]
        if not found:
            failed = next((answer for answer in answers if isinstance(answer, BaseException)), None)
            raise OSError(str(failed) if failed else f"no address of {host}")
        return found


def _info(address: ipaddress.IPv4Address | ipaddress.IPv6Address, port: int) -> AddressInfo:
    if address.version == 6:  # noqa: PLR2004  # of IP
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(address), port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (str(address), port)


def is_public(info: AddressInfo) -> bool:
    """Return whether the address is one of the Internet's: a stranger's record must not lead into our own network."""
    return outside.is_public(str(info[4][0]))
