"""What the customer's own people get of a message: word that it was stopped, or a copy.

Both are accepted mail of ours (`own`), with an object and an outcome. Their ids follow from the message, so that a
record which comes again makes no second ones.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from schemas.events import Action, Branch, Disposition, Received
from services.core.errors import BadAddress, ObjectNotFound
from services.core.headers import clean, field
from services.core.stored import unpack
from services.delivery.config import DeliveryConfig
from services.delivery.decide import ACCOUNT
from services.delivery.notices import notice_id
from services.runtime.own_mail import own_mail, put_own
from services.runtime.store import Store

log = logging.getLogger("gatepost.delivery")

TOLD, COPY = "told", "copy"  # kinds of this mail
_LISTED: Final = 20  # recipients that a notice names


class People:
    """Makes what dispositions ask for beside delivery."""

    def __init__(self, config: DeliveryConfig, store: Store) -> None:
        self._config = config
        self._store = store

    async def of(self, disposition: Disposition) -> list[Received]:
        """Return the events of notices and copies, their objects stored. Raises StoreUnavailable.

        A release tells nobody again.
        """
        if disposition.release:
            return []
        return [*await self._notices(disposition), *await self._copies(disposition)]

    async def _notices(self, disposition: Disposition) -> list[Received]:
        made = []
        for to in dict.fromkeys(name for branch in disposition.branches for name in branch.tell):
            branches = [branch for branch in disposition.branches if to in branch.tell]
            identity = notice_id(disposition.received.id, TOLD, (to,))
            text = notice(disposition, branches, to, identity, self._config.hostname)
            made += await self._put(disposition, to, text, identity, ACCOUNT)
        return made

    async def _copies(self, disposition: Disposition) -> list[Received]:
        whom = dict.fromkeys(
            name for branch in disposition.branches if branch.action is not Action.QUARANTINE for name in branch.bcc
        )
        if not whom:
            return []
        try:
            _, message = unpack(await self._store.get(disposition.received.key))
        except ObjectNotFound:  # it came again, and has ended: they have their copies
            return []
        ids = {to: notice_id(disposition.received.id, COPY, (to,)) for to in whom}
        return [each for to in whom for each in await self._put(disposition, to, bytes(message), ids[to], COPY)]

    async def _put(self, disposition: Disposition, to: str, text: bytes, identity: str, own: str) -> list[Received]:
        received = disposition.received
        try:
            event = own_mail(
                identity=identity,
                customer=received.customer,
                recipient=to,
                message=text,
                own=own,
                now=disposition.decided_at,
                hostname=self._config.hostname,
            )
        except BadAddress:
            log.error("id=%s customer=%s event=not-told reason=bad-address", received.id, received.customer)
            return []
        log.info("id=%s customer=%s event=told-by kind=%s as=%s", received.id, received.customer, own, identity)
        return [await put_own(self._store, event, text)]


def notice(disposition: Disposition, branches: list[Branch], to: str, identity: str, hostname: str) -> bytes:
    """Return the message that tells an administrator; nothing of what was written is in it, the subject neither."""
    received = disposition.received
    head = [
        field("From", f"Gatepost <postmaster@{hostname}>"),
        field("To", to),
        field("Subject", f"[Data loss] {branches[0].rule}: a message was stopped"),
        field("Date", _date(disposition.decided_at)),
        field("Message-ID", f"<{identity}@{hostname}>"),
        field("Auto-Submitted", "auto-generated"),
        field("MIME-Version", "1.0"),
        field("Content-Type", "text/plain; charset=utf-8"),
        field("Content-Transfer-Encoding", "8bit"),
        b"\r\n",
    ]
    lines = [
        f"Message:  {received.id}",
        f"Sender:   {received.envelope.reverse_path or '<>'}",
        f"Came in:  {_date(received.received_at)}, handed in by {received.submitter or received.envelope.client_ip}",
    ]
    for branch in branches:
        lines += ["", *_of(branch)]
    lines += ["", f"All that is known of it: gatepost trace {received.id}"]
    return b"".join(head) + "\r\n".join(map(clean, lines)).encode("utf-8", "replace") + b"\r\n"


def _of(branch: Branch) -> Iterator[str]:
    more = len(branch.recipients) - _LISTED
    whom = ", ".join(branch.recipients[:_LISTED]) + (f" and {more} more" if more > 0 else "")
    yield f"To:       {whom}"
    yield f"Rule:     {branch.rule}"
    yield f"Found:    {branch.reason}"
    if branch.refuse:
        yield "It was not sent, and its sender was told."
    else:
        yield "It is held in the quarantine until somebody lets it go or deletes it."


def _date(when: float) -> str:
    return format_datetime(datetime.fromtimestamp(when, UTC))
