"""Sends the console's mail into the mail path: it has an id, an object and an outcome like any other message."""

from __future__ import annotations

import logging
import os
from typing import Any

from sqlalchemy import Row, select
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import Envelope, Received
from services.console import strangers
from services.console.book import Author, Book, Change, MailOrder, event_of
from services.console.config import ConsoleConfig
from services.console.mails import (
    ACCOUNT,
    DMARC,
    TERMS,
    Mail,
    Sending,
    answered,
    compose,
    ends,
    outbound,
    to_stranger,
    wanted,
    welcome,
    with_link,
)
from services.console.report_mail import REPORT, ReportMails
from services.console.signin import LINK_SECONDS, SignIn
from services.console.tables import ACCOUNTS, CUSTOMERS
from services.console.users.answers import ANSWERED, held_for
from services.console.users.links import SECONDS as USER_LINK_SECONDS
from services.console.users.links import make_link as make_user_link
from services.console.users.tables import USERS
from services.console.users.wishes import WANTED
from services.core.address import parse, quote
from services.core.errors import ObjectConflict, ObjectNotFound
from services.core.ids import message_id
from services.core.stored import object_key, pack, unpack
from services.quarantine.index import Rows
from services.quarantine.tables import WANTED as MARK
from services.runtime.bus import Bus
from services.runtime.store import Store

log = logging.getLogger("gatepost.console")
DOMAINS_TOLD = 10  # that a mail about outgoing mail names; the page has all
TO_USERS = frozenset({*USER_LINK_SECONDS, ANSWERED})  # kinds of mail
OPERATORS = "_operators"  # whose mail it is that goes to an operator of the service: no customer's id begins so


class MailPath:
    """The Post over store and topics."""

    def __init__(
        self,
        book: Book,
        signin: SignIn,
        store: Store,
        bus: Bus,
        config: ConsoleConfig,
        hostname: str,
        reports: ReportMails,
        *,
        users: str,
    ) -> None:
        """`users` is where users reach their console: links to it begin with that."""
        self._users = users
        self._book = book
        self._signin = signin
        self._store = store
        self._bus = bus
        self._config = config
        self._hostname = hostname
        self._reports = reports

    async def send(self, order: MailOrder) -> None:
        """See `outbox.Post`: a link's secret is made here, and stands nowhere but in the mail."""
        now = self._book.clock.now()
        report = await self._reports.mail(order) if order.kind == REPORT else None
        if order.kind == REPORT and report is None:
            return
        # A report has the id of its order: sent once more after a crash it is the same message, and no second one.
        identity = message_id(now, os.urandom) if report is None else order.id
        async with self._book.change(Author("console")) as change:
            addressed = await self._addressed(change, order, report)
            if addressed is None:
                return
            customer, address, language, mail = addressed
            after = {"kind": order.kind, "id": identity, **({"asked_from": order.client} if order.client else {})}
            await change.note(customer, "mail-sent", address, after=after)
        local, _, domain = address.rpartition("@")
        to = f"{quote(local)}@{domain}"
        message = compose(mail, to=to, identity=identity, hostname=self._hostname, language=language, now=now)
        received = Received(
            id=identity,
            customer=customer or OPERATORS,
            domain=domain,
            key=object_key(customer or OPERATORS, identity),
            envelope=Envelope(
                reverse_path="",
                recipients=(to,),
                client_ip="127.0.0.1",
                helo=self._hostname,
                eight_bit=True,
                smtputf8=not parse(to).ascii,
            ),
            size=len(message),
            received_at=now,
            server=self._hostname,
            plan=(),
            subject=mail.subject,
            own=ACCOUNT,
        )
        await self._bus.publish([await self._put(received, message)])
        log.info("id=%s customer=%s event=account-mail kind=%s", identity, received.customer, order.kind)

    async def _addressed(
        self, change: Change, order: MailOrder, report: Mail | None
    ) -> tuple[str, str, str, Mail] | None:
        """Return on whose behalf it is, to whom, in which language, and the mail; None when it is not wanted."""
        if order.kind in strangers.KINDS:
            who = await strangers.invite(change.connection, order, change.now)
            if who is None:
                return None
            mail = to_stranger(order.kind, who, self._config.base, self._hostname)
            return who.customer, who.address, who.language, mail
        people = USERS if order.kind in TO_USERS else ACCOUNTS
        row = (await change.connection.execute(select(people).where(people.c.id == order.account))).first()
        if row is None or row.closed_at:
            return None
        language = row.language or "en"
        if order.kind == ANSWERED:
            rows = await held_for(change.connection, row.customer, row.id, order.message)
            if not rows:
                return None  # nothing is known of it any more
            return row.customer, row.address, language, self._answer(rows, language)
        mail = report or await self._mail(change.connection, order, row, language)
        return row.customer, row.address, language, mail

    def _answer(self, rows: Rows, language: str) -> Mail:
        return answered(language, rows, f"{self._users}/held/{rows[0].id}", self._hostname)

    async def _mail(self, connection: AsyncConnection, order: MailOrder, row: Row[Any], language: str) -> Mail:
        base = self._config.base
        if order.kind in USER_LINK_SECONDS:
            text = await make_user_link(connection, row.id, order.kind, self._book.clock.now())
            return with_link(order.kind, language, f"{self._users}/link/{text}", self._hostname)
        if order.kind in LINK_SECONDS:
            identity = message_id(self._book.clock.now(), os.urandom)
            text = await self._signin.make_link(connection, row.id, order.kind, identity)
            return with_link(order.kind, language, f"{base}/link/{text}", self._hostname)
        found = (await connection.execute(select(CUSTOMERS).where(CUSTOMERS.c.id == row.customer))).first()
        if found is None:
            raise ObjectNotFound("its customer is gone")
        if order.kind == WANTED:
            return wanted(language, f"{base}/c/{row.customer}/held?reported={MARK}", self._hostname)
        if order.kind in TERMS:
            standing = self._book.standing(found)
            end = {"licence": standing.end, "lapse": standing.lapses_at, "purge": standing.purges_at}[order.kind]
            return ends(order.kind, language, row.customer, end, f"{base}/c/{row.customer}/licence", self._hostname)
        region = found.region
        if order.kind == "outbound":
            customer = await event_of(connection, row.customer)
            how = Sending(
                host=self._config.submission_of(region, self._hostname),
                starttls=self._config.submission_ports[0],
                tls=self._config.submission_ports[1],
                spf=self._config.spf_of(region, self._hostname),
                domains=tuple(domain.name for domain in customer.domains[:DOMAINS_TOLD]) if customer else (),
                dmarc=DMARC,
            )
            return outbound(language, row.customer, how, f"{base}/c/{row.customer}/outbound", self._hostname)
        return welcome(
            language,
            order.domain,
            self._config.mx_of(region, self._hostname),
            self._config.networks_of(region),
            f"{base}/c/{row.customer}/domains/{order.domain}",
            self._hostname,
        )

    async def _put(self, received: Received, message: bytes) -> Received:
        """Store the message; return the event of what is stored, which may be from before a crash."""
        try:
            await self._store.put(received.key, [pack(received), message])
        except ObjectConflict:
            return unpack(await self._store.get(received.key))[0]
        return received


class FakePost:
    """Keeps what would have been sent, with the text of its link. `down` set: nothing is taken."""

    def __init__(self, book: Book, signin: SignIn) -> None:
        self._book = book
        self._signin = signin
        self.sent: list[tuple[MailOrder, str]] = []
        self.down: Exception | None = None

    async def send(self, order: MailOrder) -> None:
        """See `outbox.Post`."""
        if self.down is not None:
            raise self.down
        text = ""
        if order.kind in strangers.KINDS:
            async with self._book.database.writing() as connection:
                who = await strangers.invite(connection, order, self._book.clock.now())
            if who is not None:
                self.sent.append((order, who.path))
            return
        people = USERS if order.kind in TO_USERS else ACCOUNTS
        async with self._book.reading() as connection:
            asked = select(people.c.id).where(people.c.id == order.account, people.c.closed_at == 0)
            if await connection.scalar(asked) is None:
                return
        if order.kind in USER_LINK_SECONDS:
            async with self._book.database.writing() as connection:
                text = await make_user_link(connection, order.account, order.kind, self._book.clock.now())
        if order.kind in LINK_SECONDS:
            async with self._book.database.writing() as connection:
                identity = message_id(self._book.clock.now(), os.urandom)
                text = await self._signin.make_link(connection, order.account, order.kind, identity)
        self.sent.append((order, text))
