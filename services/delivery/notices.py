"""Telling the sender. A notification is a message like any other: stored, received, decided, delivered, with an end.

So the ledger counts it, a crash can't lose it, and `recover` finds it. Its id follows from what it tells of: made
twice, it is the same message, and is delivered once.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence

import msgspec

from schemas.events import Deferred, Envelope, Outcome, Received, State
from services.core.address import parse
from services.core.errors import BadAddress, ObjectConflict, ObjectNotFound
from services.core.headers import header_end
from services.core.ids import born, message_id
from services.core.stored import object_key, pack, unpack
from services.delivery.config import DeliveryConfig
from services.delivery.decide import Concluded
from services.delivery.dsn import Failed, Report, compose
from services.delivery.vouch import vouched
from services.runtime.store import Store

log = logging.getLogger("gatepost.delivery")

_TOLD = {State.BOUNCED: "5.0.0", State.EXPIRED: "4.4.7"}  # RFC 3463


def notice_id(message: str, kind: str, recipients: Sequence[str]) -> str:
    """Return the id of what tells of this end of these recipients: the same whenever it is asked for."""
    digest = hashlib.sha256("\0".join((message, kind, *sorted(recipients))).encode()).digest()
    return message_id(born(message), lambda size: digest[:size])


class Notices:
    """Makes notifications. Knows nothing of queues."""

    def __init__(self, config: DeliveryConfig, store: Store, until: Callable[[Deferred], float]) -> None:
        """`until` returns when an entry's time is over."""
        self._config = config
        self._store = store
        self._until = until

    async def with_bounce(self, entry: Deferred, concluded: Concluded) -> Concluded:
        """Return the same, with a notification of the recipients that ended for good. Raises StoreUnavailable."""
        failed = [outcome for outcome in concluded.outcomes if outcome.state in _TOLD]
        if not failed:
            return concluded
        told = [Failed(one.recipients, "failed", _TOLD[one.state], one.reply) for one in failed]
        notice = await self._make(entry, "bounce", told, failed[0].at)
        if notice is None:
            return concluded
        outcomes: list[Outcome] = [
            msgspec.structs.replace(one, bounce=notice.id) if one.state in _TOLD else one for one in concluded.outcomes
        ]
        return Concluded(tuple(outcomes), concluded.waiting, (*concluded.notices, notice))

    async def with_warning(self, concluded: Concluded, now: float) -> Concluded:
        """Return the same, with a notification that it still waits. Raises StoreUnavailable."""
        entry = concluded.waiting
        if entry is None:
            return concluded
        told = [Failed(entry.recipients, "delayed", "4.4.1", entry.reply)]
        notice = await self._make(entry, "delay", told, now)
        waiting = msgspec.structs.replace(entry, warned=True)
        notices = concluded.notices if notice is None else (*concluded.notices, notice)
        return Concluded(concluded.outcomes, waiting, notices)

    async def _make(self, entry: Deferred, kind: str, told: Sequence[Failed], at: float) -> Received | None:
        """Return the notification, stored and not yet published; None where the sender is not to be told."""
        received = entry.disposition.received
        if not self._config.notify_senders or not vouched(entry.disposition):
            return None
        try:
            sender = parse(received.envelope.reverse_path)
            _, message = unpack(await self._store.get(received.key))
        except (BadAddress, ObjectNotFound):
            return None
        recipients = [name for one in told for name in one.recipients]
        identity = notice_id(received.id, kind, recipients)
        report = Report(
            id=identity,
            hostname=self._config.hostname,
            sender=str(sender),
            arrived=received.received_at,
            at=at,
            until=self._until(entry),
            failed=told,
        )
        body = compose(report, bytes(message[: header_end(message)]))
        notice = Received(
            id=identity,
            customer=received.customer,
            domain=sender.domain,
            key=object_key(received.customer, identity),
            envelope=Envelope(
                reverse_path="",
                recipients=(str(sender),),
                client_ip="127.0.0.1",
                helo=self._config.hostname,
                eight_bit=not body.isascii(),
                smtputf8=not sender.ascii or not all(name.isascii() for name in recipients),
            ),
            size=len(body),
            received_at=at,
            server=self._config.hostname,
            plan=(),
            bounce_of=received.id,
        )
        try:
            await self._store.put(notice.key, [pack(notice), body])
        except ObjectConflict:  # made before, and a crash came before it was published
            notice, _ = unpack(await self._store.get(notice.key))
        log.info("id=%s customer=%s event=notice kind=%s notice=%s", received.id, received.customer, kind, identity)
        return notice
