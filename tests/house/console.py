"""A console in one process: its real database and pages; broker, post, name system and clock in memory."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from schemas.catalog import CUSTOMERS, RECIPIENTS, SENDERS
from schemas.events import Customer, Event, SenderEntry
from services.console import models
from services.console.accounts import add_account
from services.console.book import FOLDER as CONSOLE
from services.console.book import Author, Book
from services.console.caller import Caller
from services.console.config import ConsoleConfig
from services.console.credentials import Passwords
from services.console.desk import make_desk
from services.console.directories import Ports
from services.console.domains import Surroundings
from services.console.held_reading import Reader
from services.console.outbox import Outbox
from services.console.post import FakePost, MailPath
from services.console.queues import QueueView
from services.console.report_mail import ReportMails
from services.console.reports import Reporter
from services.console.roles import Role
from services.console.rooms import make_console
from services.console.second import Seconds
from services.console.secrets import Keeper, users_keeper
from services.console.signin import SignIn
from services.console.signon import UsersPlace
from services.console.users.fakes import FakeDirectory
from services.console.users.held import Reply
from services.core.clock import ManualClock
from services.core.directory import Directory
from services.core.secrets import Purpose, Secrets
from services.core.senders import Senders
from services.directory.fakes import MemoryReader
from services.quarantine.migrate import FOLDER as QUARANTINE
from services.runtime.consume import decode
from services.runtime.database import Database, database_url
from services.runtime.dkim_keys import DkimKeys
from services.runtime.fakes import MemoryBus
from services.runtime.fakes_dns import FakeDns
from services.runtime.fakes_store import MemoryStore
from services.runtime.migrate import migrate
from services.runtime.store import Store
from services.trace.index import FOLDER as TRACE
from services.trace.index import Index
from tests.house.asgi import Browser

BASE = "https://console.test"
USERS = "https://held.test"
PASSWORD = "correct horse battery staple"
OPERATOR = Caller(account="op", customer="", role=Role.OPERATOR, address="op@console.test")

USERS_KEY = b"k" * 32


class ConsoleHouse:
    """Everything that a test of the console needs."""

    def __init__(self, book: Book, trace: Index, base: str, **settings: object) -> None:
        self.book = book
        self.trace = trace
        assert isinstance(book.clock, ManualClock)
        self.clock = book.clock
        self.bus = MemoryBus(book.clock)
        self.dns = FakeDns()
        self.directory = Directory()
        self.senders = Senders()
        self._followed = {CUSTOMERS.name: 0, RECIPIENTS.name: 0, SENDERS.name: 0}
        self.licences = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
        self.config = ConsoleConfig(url=base, mx=("eu:mx1.console.test", "eu:mx2.console.test"), **settings)  # type: ignore[arg-type]  # a test's own
        self.secrets = Secrets(bytes(range(32)), os.urandom)
        self.signin = SignIn(
            book,
            Passwords(time_cost=1, memory_kib=8),
            by_client=100,
            by_subject=self.config.failures_by_account,
            seconds=Seconds(Keeper(self.secrets, Purpose.SECOND_FACTOR)),
            operators_factor=self.config.operators_second_factor,
        )
        self.people = FakeDirectory()
        around = Surroundings(
            config=self.config,
            hostname="gp.test",
            directory=self.directory,
            resolver=lambda: self.dns,
            senders=self.senders,
        )
        self.reader = MemoryReader()
        self.ports = Ports(self.bus, self.reader, Keeper(self.secrets, Purpose.DIRECTORY))
        self.store = MemoryStore()
        self.keys = DkimKeys(self.store, bytes(32), self.clock, os.urandom)
        self.waiting = QueueView()
        self.asked: list[tuple[str, str, str]] = []
        self.answers = Reply(404, b"")
        self.desk = make_desk(
            book,
            self.signin,
            around,
            trace,
            self.licences.public_key(),
            self.ports,
            self.people,
            self.keys,
            waiting=self.waiting,
            secrets=self.secrets,
            reader=Reader(USERS_KEY, self.api, self.clock),
            users=UsersPlace(USERS, users_keeper(bytes(range(32)))),
        )
        self.post = FakePost(book, self.signin)
        self.outbox = Outbox(book, self.bus, self.post, "one")
        self.app = make_console(self.desk, self.config, self.clock)

    async def api(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:  # noqa: ARG002 - the port's
        """Stand in for the quarantine's API: a Transport that keeps what it was asked."""
        self.asked.append((method, path, headers["Authorization"].removeprefix("Bearer ")))
        return self.answers

    def browser(self, client: str = "192.0.2.1") -> Browser:
        return Browser(self.app, self.config.base, client=client)

    async def settle(self) -> None:
        """Empty the outbox, and let the directory follow the topics."""
        while await self.outbox.turn():
            pass
        for topic in (CUSTOMERS, RECIPIENTS):
            records = self.bus.logs[topic.name, 0]
            for raw in records[self._followed[topic.name] :]:
                record = decode(raw)
                if record.event is None:
                    self.directory.remove(topic.struct, record.key)
                else:
                    self.directory.apply(record.event)
            self._followed[topic.name] = len(records)
        listed = self.bus.logs[SENDERS.name, 0]
        for raw in listed[self._followed[SENDERS.name] :]:
            record = decode(raw)
            if isinstance(record.event, SenderEntry):
                self.senders.apply(record.event)
            else:
                self.senders.remove(record.key)
        self._followed[SENDERS.name] = len(listed)

    def mail_path(self, store: Store) -> MailPath:
        """Return what really writes and sends the console's mail."""
        reports = ReportMails(self.book, Reporter(self.trace, self.config.promise_seconds), self.config.base)
        return MailPath(self.book, self.signin, store, self.bus, self.config, "gp.test", reports, users=USERS)

    def published(self, customer: str) -> Customer | None:
        """Return the customer as a service that reads the topic from its beginning has it."""
        last: Event | None = None
        for raw in self.bus.logs[CUSTOMERS.name, 0]:
            record = decode(raw)
            if record.key == customer:
                last = record.event
        assert last is None or isinstance(last, Customer)
        return last

    async def customer(self, name: str = "acme", owner: str = "") -> str:
        """Make a customer by invitation; return the text of its owner's link."""
        body = models.NewCustomer(id=name, name=name.title(), owner=owner or f"first@{name}.test")
        await self.desk.customers.add_customer(OPERATOR, body=body)
        await self.settle()
        return self.post.sent[-1][1]

    async def person(self, role: Role, customer: str = "acme", address: str = "") -> Browser:
        """Return the browser of somebody who has logged in."""
        address = address or f"{role.value}@{customer or 'console'}.test"
        browser = self.browser()
        async with self.book.change(Author("test")) as change:
            identity = await add_account(change, customer, models.NewAccount(address=address, role=role))
            link = await self.signin.make_link(change.connection, identity, "activate", change.new_id())
        answer = await browser.post(f"/link/{link}", {"password": PASSWORD, "again": PASSWORD})
        assert answer.status == 303, answer.text
        return browser


_made: list[bytes] = []


async def _tables() -> bytes:
    """Return a database file with every table, made once: migrations take longer than most tests."""
    if not _made:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "console.db"
            url = database_url(f"sqlite:///{path}")
            for room in (CONSOLE, TRACE, QUARANTINE):
                await migrate(url, room)
            _made.append(path.read_bytes())
    return _made[0]


@contextlib.asynccontextmanager
async def console_house(
    folder: Path, url: str = "", *, base: str = BASE, **settings: object
) -> AsyncIterator[ConsoleHouse]:
    """A house on a new SQLite database, or on the one of the URL."""
    clock = ManualClock()
    if url:
        book, trace = await Book.open(url, clock), await Index.open(url)
        await migrate(database_url(url), QUARANTINE)
    else:
        path = folder / "console.db"
        path.write_bytes(await _tables())
        book = Book(Database(database_url(f"sqlite:///{path}")), clock)
        trace = Index(Database(database_url(f"sqlite:///{path}")))
    try:
        yield ConsoleHouse(book, trace, base, **settings)
    finally:
        await trace.close()
        await book.close()
