"""One service for each scanner: a record in, a verdict out. The work is done by the pool's processes."""

from __future__ import annotations

import asyncio
import base64
import logging
from collections.abc import Sequence
from typing import Protocol

from schemas import wire
from schemas.events import DeadLetter, Event, Received, Rescan, Status, Verdict
from services.core.clock import Clock
from services.core.contacts import Contacts
from services.core.direction import OUTBOUND_ONLY
from services.core.errors import ObjectNotFound, UnreadableEvent
from services.core.sent import SentMail
from services.runtime.bus import Record, Stateless, Tombstone
from services.scanners import decide
from services.scanners.briefing import Briefings
from services.scanners.config import ScannersConfig
from services.scanners.contract import Finding, Spec
from services.scanners.pool import Pool

log = logging.getLogger("gatepost.scanners")


class Scans(Protocol):
    """What a service needs of the pool."""

    async def scan(self, scanner: str, received: Received, briefing: bytes) -> Finding:
        """See `pool.Pool.scan`."""
        ...


class ScannerService(Stateless):
    """The Service of one scanner, for its consumer group over mail.received.v1 and mail.rescans.v1."""

    def __init__(
        self,
        spec: Spec,
        pool: Scans,
        briefings: Briefings,
        clock: Clock,
        contacts: Contacts | None = None,
        sent: SentMail | None = None,
        *,
        shadow: str = "",
    ) -> None:
        """`shadow`: the name under which its verdicts are logged when they count for nothing."""
        self.spec = spec
        self._shadow = shadow
        self.joined = asyncio.Event()  # set once partitions were assigned, even none
        self._pool = pool
        self._briefings = briefings
        # Of its own they never catch up, and so tell nothing. Those that are given are empty at the start, and false.
        self._contacts = Contacts() if contacts is None else contacts
        self._sent = SentMail() if sent is None else sent
        self._clock = clock

    @property
    def group(self) -> str:
        """Return the consumer group: scanner-<name>."""
        return f"scanner-{self.spec.name}"

    async def handle(self, record: Record) -> Sequence[Event | Tombstone]:
        """Return the verdict, and a dead letter beside it when the message kills workers or can't be read.

        Raises StoreUnavailable, and EngineUnavailable when no worker could take the message: the loop tries again.
        """
        event = record.event
        if not isinstance(event, Received | Rescan):
            raise UnreadableEvent(f"neither a received message nor a rescan: {type(event).__name__}")
        received = decide.wanted(event, self.spec.name)
        if received is None:
            return ()
        origin = event.origin if isinstance(event, Rescan) else record.offset
        told = self._briefings.of(received.customer, data_loss=self.spec.name in OUTBOUND_ONLY)
        try:
            finding = await self._pool.scan(self.spec.name, received, told)
        except ObjectNotFound:
            finding = decide.gone()
        if isinstance(event, Rescan) and event.release:
            return (decide.rechecked(self.spec, event, finding, self._clock.now()),)
        finding = self._acquainted(received, finding)
        verdict = decide.verdict(self.spec, received, finding, origin=origin, now=self._clock.now())
        _log(verdict, self._shadow)
        if decide.needs_a_person(finding):
            return (verdict, self._dead_letter(record, event, finding))
        return (verdict,)

    async def assigned(self, partitions: frozenset[int]) -> None:  # noqa: ARG002  # a scanner keeps nothing
        self.joined.set()

    def _acquainted(self, received: Received, finding: Finding) -> Finding:
        finding = decide.corresponding(finding, received, self._sent, self._clock.now())
        if not finding.contact:
            return finding
        who = (received.customer, finding.contact, self._clock.now())
        note = self._contacts.worth_noting(*who)
        return decide.acquainted(finding, self._contacts.acquaintance(*who), note=note)

    def _dead_letter(self, record: Record, event: Event, finding: Finding) -> DeadLetter:
        return DeadLetter(
            topic=record.topic.name,
            partition=record.partition,
            offset=record.offset,
            group=self.group,
            reason=f"scanner {self.spec.name}: {finding.reason}",
            value=base64.b64encode(wire.encode(event)).decode("ascii"),
            at=self._clock.now(),
            key=record.key,
        )


def services(
    config: ScannersConfig,
    names: tuple[str, ...],
    pool: Pool,
    briefings: Briefings,
    clock: Clock,
    contacts: Contacts | None = None,
    sent: SentMail | None = None,
) -> dict[str, ScannerService]:
    """Return the services of the named scanners by name; of the configured ones, or all of the pool's, by default."""
    chosen = names or config.scanners or tuple(pool.specs)
    return {name: ScannerService(pool.specs[name], pool, briefings, clock, contacts, sent) for name in chosen}


def _log(verdict: Verdict, shadow: str) -> None:
    log.log(
        logging.DEBUG if verdict.status is Status.CLEAN else logging.INFO,
        "id=%s %s=%s status=%s score=%.1f elapsed_ms=%.1f reason=%s",
        verdict.id,
        "shadow" if shadow else "scanner",
        shadow or verdict.scanner,
        verdict.status.value,
        verdict.score,
        verdict.elapsed_ms,
        verdict.reason or "-",
    )
