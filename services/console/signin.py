"""The ways in that need no session yet: password, links, a new password; and the sessions that they begin.

Known and unknown accounts get the same answers and cost the same work.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.console.book import Author, Book, Change
from services.console.caller import Caller, Refused
from services.console.credentials import Passwords, new_secret, password_problem, same, split
from services.console.roles import Act, Role
from services.console.tables import ACCOUNTS, LINKS, SESSIONS, TOKENS
from services.console.throttle import Throttle
from services.core.address import parse
from services.core.errors import BadAddress

IDLE: Final = 1_800.0  # seconds after which a session that isn't used ends
SESSION_MOST: Final = 43_200.0  # seconds after which any ends
SEEN_EVERY: Final = 60.0  # seconds between notes of a session's use
LINK_SECONDS: Final = {"activate": 7 * 86_400.0, "reset": 3_600.0}
SESSIONS_MOST: Final = 20  # of one account; the oldest goes
TOKEN_KIND: Final = "gpc"  # noqa: S105  # how the text of an API token begins
_AGENT_MOST: Final = 200  # characters


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """A session that has begun: `text` is what its cookie says."""

    text: str
    caller: Caller


def canonical(address: str) -> str:
    """Return the address as accounts have it; raise Refused for what is none."""
    try:
        return parse(address.strip()).canonical
    except BadAddress as error:
        raise Refused("address.bad") from error


class SignIn:
    """Begins sessions. Every method raises DatabaseUnavailable."""

    def __init__(self, book: Book, passwords: Passwords, *, by_client: int, by_subject: int) -> None:
        self._book = book
        self._passwords = passwords
        self._logins = Throttle("login", book.clock, by_client=by_client, by_subject=by_subject)
        self._links = Throttle("link", book.clock, by_client=by_client, by_subject=by_subject)
        self._resets = Throttle("reset", book.clock, by_client=by_client, by_subject=by_subject)

    # --- by password

    async def login(self, address: str, password: str, client: str, agent: str) -> Session:
        """Return a new session; raise Refused, with one text for whatever was wrong, or `login.wait`."""
        try:
            name = canonical(address)
        except Refused:
            name = address[:300]
        async with self._book.database.writing() as connection:
            waits = await self._logins.waits(connection, client, name)
            row = (await connection.execute(select(ACCOUNTS).where(ACCOUNTS.c.address == name))).first()
        if waits:
            raise Refused("login.wait")
        right = await self._passwords.check(row.password if row is not None else "", password)
        async with self._book.change(Author(name, client)) as change:
            if not right or row is None or row.closed_at:
                await self._logins.note(change.connection, client, name)
            else:
                await self._logins.forget(change.connection, name)
                await change.note(row.customer, "logged-in", name)
                return await self._begin(change, row, client, agent)
        raise Refused("login.wrong")

    async def _begin(self, change: Change, row: Row[Any], client: str, agent: str) -> Session:
        identity = change.new_id()
        secret = new_secret(identity)
        mine = SESSIONS.c.account == row.id
        old = select(SESSIONS.c.id).where(mine).order_by(SESSIONS.c.seen_at.desc()).offset(SESSIONS_MOST - 1)
        gone = [session for (session,) in await change.connection.execute(old.limit(SESSIONS_MOST))]
        await change.connection.execute(
            delete(SESSIONS).where(mine, SESSIONS.c.id.in_(gone) | (SESSIONS.c.seen_at < change.now - SESSION_MOST))
        )
        await change.connection.execute(
            insert(SESSIONS),
            [
                {
                    "id": identity,
                    "hash": secret.hash,
                    "account": row.id,
                    "made_at": change.now,
                    "seen_at": change.now,
                    "client": client,
                    "agent": agent[:_AGENT_MOST],
                }
            ],
        )
        return Session(secret.text, _caller(row, client, identity))

    # --- by cookie or token

    async def session(self, text: str, client: str) -> Caller | None:
        """Return who holds the session, None when it is none or its time is over."""
        identity, secret = split(text)
        now = self._book.clock.now()
        joined = select(SESSIONS.c.hash, SESSIONS.c.made_at.label("begun_at"), SESSIONS.c.seen_at, *ACCOUNTS.c).join(
            ACCOUNTS, ACCOUNTS.c.id == SESSIONS.c.account
        )
        async with self._book.reading() as connection:
            row = (await connection.execute(joined.where(SESSIONS.c.id == identity))).first()
        if not same(None if row is None else bytes(row.hash), secret) or row is None or row.closed_at:
            return None
        if now >= row.seen_at + IDLE or now >= row.begun_at + SESSION_MOST:
            return None
        if now >= row.seen_at + SEEN_EVERY:
            async with self._book.database.writing() as connection:
                await connection.execute(update(SESSIONS).where(SESSIONS.c.id == identity).values(seen_at=now))
        return _caller(row, client, identity)

    async def token(self, text: str, client: str) -> Caller | None:
        """Return who holds the API token, None when it is none, was revoked, or its time is over."""
        identity, secret = split(text) if text.startswith(f"{TOKEN_KIND}_") else ("", "")
        joined = select(
            TOKENS.c.hash,
            TOKENS.c.customer.label("of"),
            TOKENS.c.scopes,
            TOKENS.c.expires_at,
            TOKENS.c.revoked_at,
            *ACCOUNTS.c,
        ).join(ACCOUNTS, ACCOUNTS.c.id == TOKENS.c.account)
        async with self._book.reading() as connection:
            row = (await connection.execute(joined.where(TOKENS.c.id == identity))).first()
        if not same(None if row is None else bytes(row.hash), secret) or row is None or row.closed_at:
            return None
        if row.revoked_at or self._book.clock.now() >= row.expires_at:
            return None
        scopes = frozenset(Act(each) for each in row.scopes.split())
        return dataclasses.replace(_caller(row, client, ""), scopes=scopes, customer=row.of)

    async def logout(self, caller: Caller) -> None:
        """End the session."""
        async with self._book.change(caller.author) as change:
            await change.connection.execute(delete(SESSIONS).where(SESSIONS.c.id == caller.session))
            await change.note(caller.customer, "logged-out", caller.address)

    # --- by link

    async def forgot(self, address: str, client: str) -> None:
        """Send a link for a new password, if there is such an account; nothing tells whether there is."""
        try:
            name = canonical(address)
        except Refused:
            name = address[:300]
        async with self._book.change(Author(name, client)) as change:
            waits = await self._resets.waits(change.connection, client, name)
            await self._resets.note(change.connection, client, name)
            row = (await change.connection.execute(select(ACCOUNTS).where(ACCOUNTS.c.address == name))).first()
            if row is not None and not row.closed_at and not waits:
                await change.mail("reset" if row.password else "activate", row.id)
                await change.note(row.customer, "password-link-asked", name)

    async def make_link(self, connection: AsyncConnection, account: str, purpose: str, identity: str) -> str:
        """Return the text of a new single-use link; it is never stored."""
        secret = new_secret(identity)
        row = {
            "id": identity,
            "hash": secret.hash,
            "account": account,
            "purpose": purpose,
            "expires_at": self._book.clock.now() + LINK_SECONDS[purpose],
            "used_at": 0.0,
        }
        await connection.execute(insert(LINKS), [row])
        return secret.text

    async def link(self, text: str, client: str) -> str | None:
        """Return the address of the account that the link is good for, None when it is good for none."""
        async with self._book.database.writing() as connection:
            if await self._links.waits(connection, client, "any"):
                return None
            row = await self._link(connection, text)
            if row is None:
                await self._links.note(connection, client, client)
        return None if row is None else str(row.address)

    async def _link(self, connection: AsyncConnection, text: str) -> Row[Any] | None:
        identity, secret = split(text)
        joined = select(LINKS.c.hash, LINKS.c.expires_at, LINKS.c.used_at, LINKS.c.purpose, *ACCOUNTS.c).join(
            ACCOUNTS, ACCOUNTS.c.id == LINKS.c.account
        )
        row = (await connection.execute(joined.where(LINKS.c.id == identity))).first()
        good = same(None if row is None else bytes(row.hash), secret)
        if not good or row is None or row.used_at or row.closed_at or self._book.clock.now() >= row.expires_at:
            return None
        return row

    async def set_password(self, text: str, password: str, client: str, agent: str) -> Session:
        """Use the link up, set the password, end every session of the account and begin a new one. Raises Refused."""
        address = await self.link(text, client)
        if address is None:
            raise Refused("link.bad")
        problem = password_problem(password, address)
        if problem is not None:
            raise Refused(problem)
        stored = await self._passwords.hash(password)
        async with self._book.change(Author(address, client)) as change:
            row = await self._link(change.connection, text)
            used = await change.connection.execute(
                update(LINKS)
                .where(LINKS.c.account == (row.id if row is not None else ""), LINKS.c.used_at == 0)
                .values(used_at=change.now)  # every link of the account: a second mail's, too
            )
            if row is None or not used.rowcount:
                raise Refused("link.bad")
            await change.connection.execute(update(ACCOUNTS).where(ACCOUNTS.c.id == row.id).values(password=stored))
            await change.connection.execute(delete(SESSIONS).where(SESSIONS.c.account == row.id))
            await self._logins.forget(change.connection, address)
            await change.note(row.customer, "password-set", address)
            return await self._begin(change, row, client, agent)


def _caller(row: Row[Any], client: str, session: str) -> Caller:
    return Caller(
        account=row.id,
        customer=row.customer,
        role=Role(row.role),
        address=row.address,
        language=row.language,
        client=client,
        session=session,
    )
