"""A users' console with the quarantine and its API in one process: real pages, database and API, and no network."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from sqlalchemy import insert, update

from schemas.catalog import COMMANDS, DISPOSITIONS, REQUESTS
from schemas.events import (
    Action,
    Branch,
    Customer,
    DigestPlan,
    Disposition,
    Domain,
    Envelope,
    Event,
    Host,
    Status,
)
from services.console.book import Author, written
from services.console.credentials import Passwords
from services.console.outward import Https
from services.console.secrets import users_keeper
from services.console.tables import CUSTOMERS, DOMAINS
from services.console.users.app import UsersDesk, make_users
from services.console.users.config import UsersConfig
from services.console.users.decide import Person
from services.console.users.held import ApiUnavailable, HeldMail, Reply
from services.console.users.links import ACTIVATE, make_link
from services.console.users.people import add
from services.console.users.signin import UserSignIn
from services.console.users.signon import UserSignOn
from services.console.users.tables import HAND
from services.console.users.wishes import Wishes
from services.core.ids import message_id
from services.core.senders import Senders
from services.core.stored import object_key, pack
from services.quarantine.api.app import Parts, make_app
from services.quarantine.app import Quarantine
from services.quarantine.config import QuarantineConfig
from services.quarantine.index import Index
from services.quarantine.keyring import Keyring
from services.quarantine.master import Secrets
from services.quarantine.migrate import migrate
from services.quarantine.passes import pass_key
from services.quarantine.tokens import Tokens
from services.quarantine.vault import Vault
from services.runtime.bus import Record
from services.runtime.consume import decode
from services.runtime.database import Database, database_url
from services.runtime.fakes_store import MemoryStore
from tests.house.asgi import Browser
from tests.house.console import PASSWORD, USERS, ConsoleHouse, console_house
from tests.samples import received

KEY = bytes(range(32))
BODY = (
    b"From: Carla <carla@sender.test>\r\nSubject: {subject}\r\nMIME-Version: 1.0\r\nContent-Type: text/html\r\n\r\n"
    b'<p onclick="a()">Only {subject}</p><script>steal()</script><a href="http://evil.test/">bank</a>\r\n'
)


class UsersHouse:
    """Everything that a test of the users' console needs."""

    def __init__(self, console: ConsoleHouse, index: Index, base: str) -> None:
        self.console = console
        self.clock = console.clock
        self.index = index
        self.store = MemoryStore(self.clock)
        secrets = Secrets(b"m" * 32)
        keys = Keyring(index.database, self.store, secrets.wrapping, self.clock, os.urandom)
        self.vault = Vault(self.store, keys, os.urandom)
        customer = console.directory.customer
        self.quarantine = Quarantine(
            QuarantineConfig(),
            index,
            self.store,
            console.bus,
            customer,
            self.clock,
            vault=self.vault,
            secrets=secrets,
            plan=lambda: (),
        )
        self.lists = Senders()
        parts = Parts(
            index=index,
            vault=self.vault,
            tokens=Tokens(index.database, self.clock),
            bus=console.bus,
            lists=self.lists,
            customer=customer,
            clock=self.clock,
            passes=pass_key(KEY),
        )
        self.api = make_app(parts)
        self.api_down = False
        self.config = UsersConfig(url=base)
        self.paused: list[float] = []
        self.signin = UserSignIn(
            console.book,
            Passwords(time_cost=1, memory_kib=8),
            console.directory,
            console.people,
            by_client=100,
            by_subject=8,
            failure_seconds=1.0,
            pause=self._pause,
        )
        # Its providers are answered for by the test that needs one.
        self.signon = UserSignOn(
            console.book,
            self.signin,
            console.directory,
            users_keeper(KEY),
            self.config,
            Https(lambda: console.dns),
        )
        desk = UsersDesk(self.signin, self.signon, HeldMail(KEY, self._carry, self.clock), Wishes(console.book))
        self.app = make_users(desk, self.config, self.clock)
        self._fed = {COMMANDS: 0, REQUESTS: 0}

    async def _pause(self, seconds: float) -> None:
        self.paused.append(seconds)

    async def _carry(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Reply:
        if self.api_down:
            raise ApiUnavailable("down, by order of the test")
        sent = {name.lower(): value for name, value in headers.items()}
        answer = await Browser(self.api, "http://api.test", client="192.0.2.200").ask(method, path, body, sent)
        return Reply(answer.status, answer.text.encode())

    def browser(self, client: str = "192.0.2.1") -> Browser:
        return Browser(self.app, self.config.base, client=client)

    # --- customers and their people

    async def domain(self, customer: str, name: str, **settings: object) -> None:
        """Let the customer have the domain, and be set up so."""
        async with self.console.book.change(Author("test")) as change:
            await change.hold(customer)
            spec = Domain(name=name, relay=(Host(host="192.0.2.25"),), any_recipient=True)
            row = {"name": name, "customer": customer, "place": 0, "spec": written(spec), "made_at": 0.0}
            await change.connection.execute(insert(DOMAINS), [row])
            if settings:
                known = Customer(id=customer, salt="00", **settings)  # type: ignore[arg-type]  # a test's own
                mine = CUSTOMERS.c.id == customer
                await change.connection.execute(update(CUSTOMERS).where(mine).values(settings=written(known)))
            await change.publish(customer)
            await change.note(customer, "test", name)
        await self.console.settle()

    async def person(self, customer: str, address: str, *aliases: str) -> str:
        """Make a user; return his id."""
        async with self.console.book.change(Author("test")) as change:
            (user,) = await add(change, customer, [Person(address=address, aliases=frozenset(aliases))], HAND)
        return user

    async def link(self, user: str) -> str:
        async with self.console.book.change(Author("test")) as change:
            return await make_link(change.connection, user, ACTIVATE, change.now)

    async def signed_in(self, customer: str, address: str, *aliases: str) -> Browser:
        """Return the browser of a new user who has used his activation link."""
        link = await self.link(await self.person(customer, address, *aliases))
        browser = self.browser()
        form = {"address": address, "password": PASSWORD, "again": PASSWORD}
        answer = await browser.post(f"/link/{link}", form)
        assert answer.status == 303, answer.text
        return browser

    # --- held mail

    async def hold(self, customer: str, *recipients: str, subject: str = "offer", status: Status = Status.SPAM) -> str:
        """Hold a message for the recipients, by the real quarantine; return its id."""
        body = BODY.replace(b"{subject}", subject.encode())
        envelope = Envelope(reverse_path="carla@sender.test", recipients=recipients, client_ip="192.0.2.7")
        identity = message_id(self.clock.now(), os.urandom)
        event = received(
            id=identity,
            customer=customer,
            domain=recipients[0].rpartition("@")[2],
            key=object_key(customer, identity),
            envelope=envelope,
            size=len(body),
        )
        await self.store.put(event.key, [pack(event), body])
        branch = Branch(recipients=recipients, action=Action.QUARANTINE, rule="held", reason=f"content says {status}")
        held = Disposition(received=event, branches=(branch,), status=status, score=9.0, decided_at=self.clock.now())
        await self._handle(held)
        return event.id

    async def _handle(self, event: Event) -> list[Event]:
        record = Record(topic=DISPOSITIONS, partition=0, offset=0, key="", event=event, timestamp=self.clock.now())
        return [made for made in await self.quarantine.handle(record) if isinstance(made, Event)]

    async def carry_out(self) -> list[Event]:
        """Let the quarantine do what was asked of it since; return what it publishes."""
        made: list[Event] = []
        for topic, fed in list(self._fed.items()):
            records = [
                record for (name, _), log in self.console.bus.logs.items() if name == topic.name for record in log
            ]
            for raw in records[fed:]:
                event = decode(raw).event
                assert event is not None
                made += await self._handle(event)
            self._fed[topic] = len(records)
        return made

    async def states(self, message: str) -> dict[str, str]:
        return {row.recipient: row.state.value for row in await self.index.get(message)}

    async def reported(self, message: str) -> dict[str, str]:
        return {row.recipient: row.reported for row in await self.index.get(message)}


_made: list[bytes] = []


async def _tables() -> bytes:
    """Return a database file with the quarantine's tables, made once: migrations take longer than most tests."""
    if not _made:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "quarantine.db"
            await migrate(database_url(f"sqlite:///{path}"))
            _made.append(path.read_bytes())
    return _made[0]


DIGEST = DigestPlan(hours=(7, 13), timezone="Europe/Rome", language="it")


@contextlib.asynccontextmanager
async def users_house(folder: Path, base: str = USERS, *, one_database: bool = False) -> AsyncIterator[UsersHouse]:
    """A house with the customers acme (acme.test, alt.test) and globex (globex.test).

    `one_database`: the console sees what the quarantine holds.
    """
    path = folder / ("console.db" if one_database else "quarantine.db")
    if not one_database:
        path.write_bytes(await _tables())
    url = database_url(f"sqlite:///{path}")
    async with console_house(folder) as console:
        index = Index(Database(url))
        try:
            house = UsersHouse(console, index, base)
            for customer, name in (("acme", "acme.test"), ("globex", "globex.test")):
                await console.customer(customer)
                await house.domain(customer, name)
            yield house
        finally:
            await index.close()
