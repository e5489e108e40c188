"""Tells a customer's administrator that one of its senders is held: one mail for each hold.

The holds are read as a group of their own, so each is told by one process, and again where it is not known to be: the
id of the mail follows from the hold, so it is the same mail.
"""

from __future__ import annotations

import hashlib
import logging
import textwrap
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Final

from schemas.catalog import key_of
from schemas.events import Customer, Event, Received, SenderHold
from services.core.administrators import administrators
from services.core.conduct import Reason
from services.core.errors import BadAddress, UnreadableEvent
from services.core.headers import field
from services.core.holds import SIGNALS
from services.core.ids import message_id
from services.delivery.decide import ACCOUNT
from services.runtime.bus import Record, Stateless, Tombstone
from services.runtime.own_mail import own_mail, put_own
from services.runtime.store import Store

log = logging.getLogger("gatepost.delivery")

GROUP: Final = "hold-notices"
_TEXTS: Final[Mapping[str, tuple[str, str]]] = {  # English, Italian
    "subject": ("Sending is held for {sender}", "Invio sospeso per {sender}"),
    "intro": (
        "Gatepost holds the mail that {sender} sends: it looks as if somebody else were using the account.",
        "Gatepost ha sospeso l'invio di {sender}: sembra che qualcun altro stia usando l'account.",
    ),
    "seen": ("What was seen: {why}.", "Che cosa è stato osservato: {why}."),
    Reason.BURST: (
        "It sends far more than it does usually, and mostly to people it has never written to.",
        "Invia molto più del solito, e soprattutto a persone a cui non aveva mai scritto.",
    ),
    Reason.DAY: (
        "It writes to far more people than usual whom it has never written to.",
        "Scrive a molte più persone del solito a cui non aveva mai scritto.",
    ),
    Reason.FAILURES: (
        "Many of the addresses that it writes to don't exist.",
        "Molti degli indirizzi a cui scrive non esistono.",
    ),
    Reason.BAD: (
        "Scanners call much of what it sends spam, phishing or a virus.",
        "Gli scanner classificano molti dei messaggi inviati come spam, phishing o virus.",
    ),
    "now": (
        "Further messages are put off with a temporary answer, so your mail server keeps them.",
        "I nuovi messaggi ricevono una risposta temporanea e restano sul vostro server di posta.",
    ),
    "taken": (
        "Those that were taken and not yet sent lie in the quarantine. Nobody else is affected.",
        "Quelli accettati e non ancora inviati sono in quarantena. Nessun altro mittente è interessato.",
    ),
    "do": (
        "Please change the account's password, find what sent the mail, and empty your server's queue of it.",
        "Cambiate la password dell'account, cercate la causa ed eliminate quei messaggi dalla coda del vostro server.",
    ),
    "lift": (
        "The hold ends when it is lifted, and not before: gatepost submission lift {sender}",
        "La sospensione termina solo quando viene revocata: gatepost submission lift {sender}",
    ),
}


class HoldNotices(Stateless):
    """The Service behind the consume loop over submission.holds.v1."""

    def __init__(self, store: Store, customer: Callable[[str], Customer | None], hostname: str) -> None:
        self._store = store
        self._customer = customer
        self._hostname = hostname

    async def handle(self, record: Record) -> Sequence[Event | Tombstone]:
        """Return the mails about a hold, stored; nothing for one that a person made or ended."""
        hold = record.event
        if hold is None:
            return ()
        if not isinstance(hold, SenderHold):
            raise UnreadableEvent(f"{type(hold).__name__} is no hold")
        customer = self._customer(hold.customer)
        if not hold.held or hold.by != SIGNALS or customer is None:  # who holds somebody himself knows of it
            return ()
        mails: list[Received] = []
        for address in administrators(customer.outbound, hold.sender):
            identity = notice_id(hold, address)
            text = compose(hold, address, customer.digest.language, self._hostname, identity)
            try:
                received = own_mail(
                    identity=identity,
                    customer=customer.id,
                    recipient=address,
                    message=text,
                    own=ACCOUNT,
                    now=hold.at,
                    hostname=self._hostname,
                )
            except BadAddress:
                log.error("customer=%s event=hold-not-told reason=bad-address", customer.id)
                continue
            mails.append(await put_own(self._store, received, text))
            log.info("id=%s customer=%s event=hold-told", identity, customer.id)
        return mails


def notice_id(hold: SenderHold, address: str) -> str:
    """Return the id of the mail about a hold to somebody: the same whenever it is asked for."""
    digest = hashlib.sha256(f"{key_of(hold)}\0{hold.at!r}\0{address}".encode()).digest()
    return message_id(hold.at, lambda octets: digest[:octets])


def compose(hold: SenderHold, to: str, language: str, hostname: str, identity: str) -> bytes:
    """Return the message."""
    italian = language == "it"

    def text(key: str) -> str:
        return _TEXTS[key][italian].format(sender=hold.sender, why=hold.why)

    known = [text(reason) for reason in hold.reasons if reason in _TEXTS]
    paragraphs = [text("intro"), *known, *map(text, ("seen", "now", "taken", "do", "lift"))]
    head = [
        field("From", f"Gatepost <postmaster@{hostname}>"),
        field("To", to),
        field("Subject", text("subject")),
        field("Date", format_datetime(datetime.fromtimestamp(hold.at, UTC))),
        field("Message-ID", f"<{identity}@{hostname}>"),
        field("Auto-Submitted", "auto-generated"),
        field("Content-Language", "it" if italian else "en"),
        b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
    ]
    body = "\n\n".join(textwrap.fill(each, 76, break_long_words=False, break_on_hyphens=False) for each in paragraphs)
    return b"".join([*head, body.replace("\n", "\r\n").encode("utf-8", "replace"), b"\r\n"])
