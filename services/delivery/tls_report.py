"""Publishes what was counted of TLS, and mails each domain its report of the day before (RFC 8460).

A domain's report is made by the process that has the domain's partition. Its id follows from domain and day, and that
it was made is an event: made twice, as after a crash, it is the same mail.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import zlib
from collections import defaultdict
from collections.abc import Callable
from typing import Final

from schemas.catalog import TLS_RESULTS, key_of, partition_count, partition_of
from schemas.events import Customer, Direction, Envelope, Received, TlsResults
from services.core import tlsrpt
from services.core.address import Address
from services.core.clock import Clock
from services.core.errors import BusUnavailable, DnsUnavailable, StoreUnavailable
from services.core.ids import message_id
from services.core.stored import object_key
from services.core.waiting import happens
from services.delivery.decide import ACCOUNT
from services.delivery.tls_results import Results
from services.runtime.bus import Bus
from services.runtime.dns import Dns
from services.runtime.own_mail import put_own
from services.runtime.store import Store

log = logging.getLogger("gatepost.delivery")

PUBLISH_EVERY: Final = 60.0  # seconds; what a crash costs of the counts
LOOK_EVERY: Final = 600.0
LATE: Final = 1_800.0  # seconds after a day's end until all processes have said what they counted
SPREAD: Final = 14_400.0  # seconds over which the reports of a day are spread (section 5.5: not all at midnight)
DAYS: Final = 2  # that a report is made up for, after a time in which nobody could
REPORTED: Final = "reported"
OPERATORS: Final = "_operators"  # whose mail it is where no customer has the domain of its sender


class TlsReports:
    """The task beside delivery. `sender` is the address that reports come from; empty: none are sent."""

    def __init__(
        self,
        sender: Address | None,
        results: Results,
        *,
        bus: Bus,
        store: Store,
        dns: Dns,
        clock: Clock,
        mine: Callable[[int], bool],
        owner: Callable[[str], Customer | None],
    ) -> None:
        """`mine` says whether a partition is this process's, `owner` whose a domain is."""
        self._sender = sender
        self._results = results
        self._bus = bus
        self._store = store
        self._dns = dns
        self._clock = clock
        self._mine = mine
        self._owner = owner
        self._unpublished: list[TlsResults] = []

    async def run(self, stop: asyncio.Event) -> None:
        """Publish and report until `stop`; then publish what is left."""
        looked = -LOOK_EVERY
        while not await happens(stop, PUBLISH_EVERY):
            try:
                await self.publish()
                if self._sender is not None and self._clock.monotonic() - looked >= LOOK_EVERY:
                    looked = self._clock.monotonic()
                    await self.report()
            except (BusUnavailable, StoreUnavailable) as error:
                log.warning("event=tls-reports-put-off error=%s", error)
        try:
            await self.publish()
        except BusUnavailable as error:
            log.warning("event=tls-results-lost error=%s", error)

    async def publish(self) -> None:
        """Tell what was counted since it was last told. Raises BusUnavailable; then it is told the next time."""
        self._unpublished += self._results.changed()
        if self._unpublished:
            await self._bus.publish(self._unpublished)
            self._unpublished = []

    async def report(self) -> int:
        """Make the reports that are due and return how many. Raises BusUnavailable and StoreUnavailable."""
        made = 0
        for (domain, day), results in (await self._due()).items():
            made += await self._report(domain, day, results)
        return made

    async def _due(self) -> dict[tuple[str, str], list[TlsResults]]:
        now = self._clock.now()
        last: dict[str, TlsResults] = {}
        async for record in self._bus.read(TLS_RESULTS):
            if isinstance(record.event, TlsResults):
                last[key_of(record.event)] = record.event
        done = {(each.domain, each.day) for each in last.values() if each.owner == REPORTED}
        due: dict[tuple[str, str], list[TlsResults]] = defaultdict(list)
        for each in last.values():
            name = (each.domain, each.day)
            if name not in done and self._mine(partition_of(each.domain, partition_count())):
                end = tlsrpt.start_of(each.day) + tlsrpt.DAY
                begins = end + LATE + zlib.crc32(each.domain.encode()) % SPREAD
                if begins <= now < end + DAYS * tlsrpt.DAY:
                    due[name].append(each)
        return due

    async def _report(self, domain: str, day: str, results: list[TlsResults]) -> int:
        if self._sender is None:
            return 0
        try:
            addresses = tlsrpt.wanted_by(await self._dns.resolve(f"_smtp._tls.{domain}", "TXT"))
        except DnsUnavailable as error:
            log.info("domain=%s event=tls-report-put-off error=%s", domain, error)
            return 0
        now = self._clock.now()
        mails = [await self._mail(self._sender, to, domain, day, results, now) for to in addresses]
        marker = TlsResults(domain=domain, day=day, owner=REPORTED, at=now)
        await self._bus.publish(mails)
        await self._bus.publish([marker])  # after the mails: without it they are made again, and are the same
        if mails:
            log.info("domain=%s day=%s event=tls-report mails=%d", domain, day, len(mails))
        return len(mails)

    async def _mail(
        self, sender: Address, to: Address, domain: str, day: str, results: list[TlsResults], now: float
    ) -> Received:
        digest = hashlib.sha256(f"tls {domain} {day} {to}".encode()).digest()
        identity = message_id(tlsrpt.start_of(day) + tlsrpt.DAY, lambda octets: digest[:octets])
        owner = self._owner(sender.domain)
        customer = OPERATORS if owner is None else owner.id
        content = tlsrpt.report(
            day, results, organization=sender.domain, contact=str(sender), identity=f"{identity}@{sender.domain}"
        )
        text = tlsrpt.mail(content, domain=domain, day=day, sender=str(sender), to=str(to), identity=identity, now=now)
        received = Received(
            id=identity,
            customer=customer,
            domain=to.domain,
            key=object_key(customer, identity),
            envelope=Envelope(reverse_path="", recipients=(str(to),), client_ip="127.0.0.1", helo=sender.domain),
            size=len(text),
            received_at=now,
            server=sender.domain,
            plan=(),
            own=ACCOUNT,
            direction=Direction.OUTBOUND,  # so it is signed, as section 3 asks
        )
        return await put_own(self._store, received, text)
