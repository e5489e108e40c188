"""What TLS a host has to come through, by the customer's setting, by DANE, or by MTA-STS; else what can be had."""

from __future__ import annotations

import dataclasses
import logging
import ssl
from pathlib import Path
from typing import Final

from schemas.events import Host
from services.core.errors import DnsUnavailable, Temporary
from services.delivery.config import DeliveryConfig
from services.delivery.dane import Tlsa, usable
from services.delivery.decide import SECURE
from services.delivery.hops import Hop
from services.delivery.sts import Sts
from services.runtime.dns import Dns

log = logging.getLogger("gatepost.delivery")

NONE, REQUIRED, VERIFIED, PINNED = "none", "required", "verified", "pinned"
DANE, STS = "dane", "mta-sts"


class Unreachable(Temporary):
    """The host gave no session: no address, no connection, no greeting, no EHLO, or not the TLS that it has to."""


class NotListed(Unreachable):
    """The MTA-STS policy of the domain doesn't have the host; `strings` is what the policy says."""

    def __init__(self, text: str, strings: tuple[str, ...]) -> None:
        super().__init__(text)
        self.strings = strings


@dataclasses.dataclass(frozen=True, slots=True)
class Demand:
    """What a connection must fulfil."""

    context: ssl.SSLContext | None  # None: no TLS
    must: bool = False  # without it there is no mail
    name: str = ""  # of the demand, for the outcome; empty: opportunistic
    records: tuple[Tlsa, ...] = ()
    names: tuple[str, ...] = ()
    lenient: bool = False  # a failure is told, and then the mail goes as if nothing were asked
    strings: tuple[str, ...] = ()  # what the policy says that it follows from


def unverified() -> ssl.SSLContext:
    """Return a context that encrypts and checks no certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Demands:
    """Finds the demand of each host. A customer's own setting wins: it knows its MTA."""

    def __init__(self, config: DeliveryConfig, dns: Dns, sts: Sts) -> None:
        self._config = config
        self._dns = dns
        self._sts = sts
        self.opportunistic: Final = Demand(unverified() if config.relay_starttls else None)
        self._required: Final = Demand(unverified(), must=True, name=REQUIRED)
        self._verifying: Final = ssl.create_default_context()
        self._pinned: dict[tuple[str, float], ssl.SSLContext] = {}

    async def of(self, host: Host) -> Demand:
        """Return what the host has to fulfil; raise Unreachable where that can't be found out or can't be met."""
        if host.tls not in {"", "opportunistic", SECURE}:
            return self._configured(host)
        found = await self._asked_by_its_domain(host)
        if host.tls == SECURE and found.name not in {DANE, STS}:
            return Demand(self._verifying, must=True, name=VERIFIED)
        return dataclasses.replace(found, lenient=False) if host.tls == SECURE else found

    async def _asked_by_its_domain(self, host: Host) -> Demand:
        if self._config.dns_validating and (found := await self._dane(host)) is not None:
            return found
        if isinstance(host, Hop) and host.via:
            return await self._published(host)
        return self.opportunistic

    def _configured(self, host: Host) -> Demand:
        match host.tls:
            case "none":
                return Demand(None, name=NONE)
            case "verified":
                return Demand(self._verifying, must=True, name=VERIFIED)
            case "pinned":
                return Demand(self._pin(host.ca_file), must=True, name=PINNED)
        return self._required

    def _pin(self, name: str) -> ssl.SSLContext:
        path = Path(self._config.relay_ca_folder or ".") / Path(name).name
        try:
            key = (str(path), path.stat().st_mtime)
            if key not in self._pinned:
                self._pinned = {k: v for k, v in self._pinned.items() if k[0] != key[0]}
                self._pinned[key] = ssl.create_default_context(cafile=str(path))
        except (OSError, ssl.SSLError) as error:
            raise Unreachable(f"the pinned certificates in {name} can't be read: {type(error).__name__}") from error
        return self._pinned[key]

    async def _dane(self, host: Host) -> Demand | None:
        """Return the demand of the host's TLSA records, None where it has none that count (RFC 7672 section 2.2)."""
        if isinstance(host, Hop) and not host.secure:
            return None
        try:
            if not (await self._dns.secure(host.host, "A") or await self._dns.secure(host.host, "AAAA")):
                return None
            name = f"_{host.port}._tcp.{host.host}"
            answer = await self._dns.resolve(name, "TLSA")
            if not answer or not await self._dns.secure(name, "TLSA"):
                return None
        except DnsUnavailable as error:  # it may well have records: to go on without would be what an attacker wants
            raise Unreachable(f"whether TLSA records ask for TLS can't be told: {error}") from error
        records = usable(answer)
        if not records:
            return self._required
        via = host.via if isinstance(host, Hop) else ""
        names = (host.host, via) if via else (host.host,)
        strings = tuple(map(str, records))
        return Demand(unverified(), must=True, name=DANE, records=records, names=names, strings=strings)

    async def _published(self, host: Hop) -> Demand:
        policy = await self._sts.policy(host.via)
        if policy is None or policy.mode == "none":
            return self.opportunistic
        enforced = policy.mode == "enforce"
        if not policy.allows(host.host):
            log.warning("host=%s domain=%s event=sts-host-not-listed mode=%s", host.host, host.via, policy.mode)
            if enforced:
                raise NotListed(f"the MTA-STS policy of {host.via} does not list it", policy.strings)
            return self.opportunistic
        return Demand(self._verifying, must=True, name=STS, lenient=not enforced, strings=policy.strings)
