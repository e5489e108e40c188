"""How users come in: by a password of our own, or by their directory's; links; and the sessions that follow.

Known and unknown addresses get the same answers and cost the same work: a hash is always computed, the directory is
asked whenever the domain has one, and a failure takes a second at least, whatever it was.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from typing import Any

from sqlalchemy import Row, delete, select, update

from schemas.events import Customer
from services.console.book import Author, Book, Change
from services.console.caller import Refused
from services.console.credentials import Passwords, password_problem, same, split
from services.console.sessions import IDLE, SEEN_EVERY, SESSION_MOST, open_session
from services.console.signin import canonical
from services.console.throttle import Throttle
from services.console.users import people
from services.console.users.decide import Person, plan
from services.console.users.directory import Asked, bound
from services.console.users.links import ACTIVATE, RESET, find_link, use_up
from services.console.users.tables import PROVIDER, USER_SESSIONS, USERS, Kind
from services.core.directory import LDAP, Directory
from services.core.errors import DirectoryRefused, DirectoryUnavailable

Pause = Callable[[float], Any]


def _has_password_of_ours(row: Row[Any]) -> bool:
    """Return whether a link is for him; without one of ours, his password is the directory's, or his provider's."""
    elsewhere = row.source == PROVIDER or row.source.startswith(LDAP)
    return row.kind == Kind.USER and not row.closed_at and (bool(row.password) or not elsewhere)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """Somebody who has signed in."""

    id: str
    customer: str
    address: str
    name: str
    addresses: tuple[str, ...]  # whose mail he sees: his own, and those of his groups; canonical
    language: str = ""
    client: str = ""  # the address that he asks from
    session: str = ""  # the id of his session

    @property
    def author(self) -> Author:
        """How the audit log names him."""
        return Author(f"{self.address} (user)", self.client)


@dataclasses.dataclass(frozen=True, slots=True)
class Begun:
    """A session that has begun: `text` is what its cookie says."""

    text: str


class UserSignIn:
    """Begins sessions of users. Every method raises DatabaseUnavailable."""

    def __init__(  # what it stands on
        self,
        book: Book,
        passwords: Passwords,
        customers: Directory,
        directory: Asked,
        *,
        by_client: int,
        by_subject: int,
        failure_seconds: float = 0.0,
        pause: Pause = asyncio.sleep,
    ) -> None:
        self._book = book
        self._passwords = passwords
        self._customers = customers
        self._directory = directory
        self._failure_seconds = failure_seconds
        self._pause = pause
        limits = {"by_client": by_client, "by_subject": by_subject}
        self._logins = Throttle("user login", book.clock, **limits)
        self._links = Throttle("user link", book.clock, **limits)
        self._resets = Throttle("user reset", book.clock, **limits)

    # --- by password

    async def login(self, address: str, password: str, client: str, agent: str) -> Begun:
        """Return a new session; raise Refused, with one text for whatever was wrong, or `login.wait`."""
        began = self._book.clock.monotonic()
        try:
            return await self._login(address, password, client, agent)
        except Refused:
            # Which of the ways in it failed on must not be told by the time that it took.
            await self._pause(max(0.0, began + self._failure_seconds - self._book.clock.monotonic()))
            raise

    async def _login(self, address: str, password: str, client: str, agent: str) -> Begun:
        name, customer = self._place(address)
        async with self._book.database.writing() as connection:
            waits = await self._logins.waits(connection, client, name)
            row = await people.by_address(connection, customer.id, name) if customer is not None else None
        if waits:
            raise Refused("login.wait")
        usable = row is not None and row.kind == Kind.USER and not row.closed_at
        stored = row.password if row is not None and usable else ""
        right = await self._passwords.check(stored, password)
        found = None
        if not right and customer is not None and customer.directory:
            try:
                found = await bound(self._directory, customer.id, name, password) if password else None
            except (DirectoryUnavailable, DirectoryRefused) as error:
                raise Refused("users.login-away") from error
        async with self._book.change(Author(name, client)) as change:
            if customer is not None and found is not None and (row is None or usable):
                row = await self._taken_in(change, customer, name, *found)
                right = row is not None and row.kind == Kind.USER and not row.closed_at
            if not right or row is None:
                await self._logins.note(change.connection, client, name)
            else:
                await self._logins.forget(change.connection, name)
                return await self.admit(change, row, client, agent)
        raise Refused("login.wrong")

    async def _taken_in(
        self, change: Change, customer: Customer, name: str, source: str, person: Person
    ) -> Row[Any] | None:
        """Make the user what his directory says that he is, and return him."""
        domains = {domain.name for domain in customer.domains}
        aliases = frozenset(each for each in person.aliases if each.rpartition("@")[2] in domains)
        person = dataclasses.replace(person, aliases=aliases)
        there = await people.concerned(change.connection, customer.id, person, LDAP + source)
        await people.carry_out(change, customer.id, plan(there, [person], LDAP + source, replace=False), LDAP + source)
        return await people.by_address(change.connection, customer.id, name)

    async def admit(self, change: Change, row: Row[Any], client: str, agent: str, *, by: str = "") -> Begun:
        """Return a new session of a user who has shown who he is; the audit log hears of it, and `by` what it was."""
        await change.note(row.customer, "user-logged-in", row.address, after={"by": by} if by else None)
        return await self._begin(change, row, client, agent)

    async def _begin(self, change: Change, row: Row[Any], client: str, agent: str) -> Begun:
        owner = {"user": row.id}
        secret = await open_session(change, USER_SESSIONS, change.new_id(), owner, client=client, agent=agent)
        return Begun(secret.text)

    # --- by cookie

    async def session(self, text: str, client: str) -> User | None:
        """Return who holds the session, None when it is none, its time is over, or no address is his any more."""
        identity, secret = split(text)
        now = self._book.clock.now()
        joined = select(
            USER_SESSIONS.c.hash, USER_SESSIONS.c.made_at.label("begun_at"), USER_SESSIONS.c.seen_at, *USERS.c
        ).join(USERS, USERS.c.id == USER_SESSIONS.c.user)
        async with self._book.reading() as connection:
            row = (await connection.execute(joined.where(USER_SESSIONS.c.id == identity))).first()
            if not same(None if row is None else bytes(row.hash), secret) or row is None or row.closed_at:
                return None
            if now >= row.seen_at + IDLE or now >= row.begun_at + SESSION_MOST:
                return None
            seen = await people.seen_by(connection, row.customer, row.id)
        # A domain that went to another customer takes its addresses along at once.
        his = (each for each in seen if self._owner(each) == row.customer)
        addresses = tuple(sorted(his, key=lambda each: each != row.address))
        if not addresses:
            return None
        if now >= row.seen_at + SEEN_EVERY:
            async with self._book.database.writing() as connection:
                this = USER_SESSIONS.c.id == identity
                await connection.execute(update(USER_SESSIONS).where(this).values(seen_at=now))
        return User(
            id=row.id,
            customer=row.customer,
            address=row.address,
            name=row.name,
            addresses=addresses,
            language=row.language,
            client=client,
            session=identity,
        )

    async def logout(self, user: User) -> None:
        """End the session."""
        async with self._book.change(user.author) as change:
            await change.connection.execute(delete(USER_SESSIONS).where(USER_SESSIONS.c.id == user.session))
            await change.note(user.customer, "user-logged-out", user.address)

    async def sessions(self, user: User) -> list[dict[str, Any]]:
        """Return the user's own sessions, the latest first."""
        asked = select(USER_SESSIONS).where(USER_SESSIONS.c.user == user.id).order_by(USER_SESSIONS.c.seen_at.desc())
        async with self._book.reading() as connection:
            rows = (await connection.execute(asked)).all()
        return [
            {
                "id": row.id,
                "made_at": row.made_at,
                "seen_at": row.seen_at,
                "client": row.client,
                "agent": row.agent,
                "this": row.id == user.session,
            }
            for row in rows
        ]

    async def end_session(self, user: User, session: str) -> None:
        """End one of the user's own sessions; another's is none."""
        mine = (USER_SESSIONS.c.id == session, USER_SESSIONS.c.user == user.id)
        async with self._book.change(user.author) as change:
            gone = await change.connection.execute(delete(USER_SESSIONS).where(*mine))
            if gone.rowcount:
                await change.note(user.customer, "user-session-ended", user.address, before={"session": session})

    async def set_language(self, user: User, language: str) -> None:
        """Remember the language of the user's pages."""
        mine = (USERS.c.id == user.id, USERS.c.customer == user.customer)
        async with self._book.change(user.author) as change:
            await change.connection.execute(update(USERS).where(*mine).values(language=language))
            await change.note(user.customer, "user-language", user.address, after={"language": language})

    # --- by link

    async def forgot(self, address: str, client: str) -> None:
        """Send a link, if there is such a user and his password is ours; nothing tells whether there is, as there."""
        name, customer = self._place(address)
        async with self._book.change(Author(name, client)) as change:
            waits = await self._resets.waits(change.connection, client, name)
            await self._resets.note(change.connection, client, name)
            row = await people.by_address(change.connection, customer.id, name) if customer is not None else None
            if waits:
                return
            kind = RESET if row is not None and row.password else ACTIVATE
            await change.link(kind, row.id if row is not None and _has_password_of_ours(row) else "", client)

    async def link(self, text: str, client: str) -> bool:
        """Return whether the link is good. Whose it is it doesn't say: who uses it writes his address."""
        async with self._book.database.writing() as connection:
            row = await self._links.found(connection, client, lambda c: find_link(c, text, self._book.clock.now()))
        return row is not None

    async def set_password(self, text: str, address: str, password: str, client: str, agent: str) -> Begun:
        """Use the link up, set the password, end every session of the user and begin a new one. Raises Refused.

        The address has to be one of the user's: who only found the mail, or was sent it by mistake, may not know it.
        """
        name, customer = self._place(address)
        problem = password_problem(password, name)
        if problem is not None:
            raise Refused(problem)
        if not await self.link(text, client):
            raise Refused("link.bad")
        async with self._book.database.writing() as connection:
            if await self._links.waits(connection, client, split(text)[0]):
                raise Refused("login.wait")
            row = await find_link(connection, text, self._book.clock.now())
            who = await people.by_address(connection, customer.id, name) if customer is not None else None
            if row is None or who is None or who.id != row.id:
                await self._links.note(connection, client, split(text)[0])
        if row is None or who is None or who.id != row.id:
            raise Refused("users.link-address")
        stored = await self._passwords.hash(password)
        async with self._book.change(Author(name, client)) as change:
            row = await find_link(change.connection, text, change.now)
            if row is None or not await use_up(change.connection, row.id, change.now):
                raise Refused("link.bad")
            mine = (USERS.c.id == row.id, USERS.c.customer == row.customer)
            await change.connection.execute(update(USERS).where(*mine).values(password=stored))
            await people.end_sessions(change, [row.id])
            await self._logins.forget(change.connection, name)
            await change.note(row.customer, "user-password-set", row.address)
            return await self._begin(change, row, client, agent)

    # --- whose

    def _place(self, address: str) -> tuple[str, Customer | None]:
        """Return the address as it is looked up, and the customer whose domain it is in."""
        try:
            name = canonical(address)
        except Refused:
            return address[:300], None
        found = self._customers.lookup_domain(name.rpartition("@")[2])
        return name, None if found is None else found[0]

    def _owner(self, address: str) -> str:
        found = self._customers.lookup_domain(address.rpartition("@")[2])
        return "" if found is None else found[0].id
