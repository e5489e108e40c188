"""The ways in that need no session yet: password, links, a new password; and the sessions that they begin.

Known and unknown accounts get the same answers and cost the same work.
"""

from __future__ import annotations

import dataclasses
import secrets
from typing import Any, Final

from sqlalchemy import Row, delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.console import steps
from services.console.book import Author, Book, Change
from services.console.caller import Caller, Refused
from services.console.credentials import Passwords, new_secret, password_problem, same, split
from services.console.roles import Act, Role
from services.console.second import BY_RECOVERY, Kinds, Seconds
from services.console.secrets import Keeper
from services.console.sessions import IDLE, SEEN_EVERY, SESSION_MOST, open_session
from services.console.tables import ACCOUNTS, CUSTOMERS, LINKS, SESSIONS, STEPS, TOKENS
from services.console.throttle import Throttle
from services.core.address import parse
from services.core.errors import BadAddress
from services.core.secrets import Purpose

LINK_SECONDS: Final = {"activate": 7 * 86_400.0, "reset": 3_600.0}
TOKEN_KIND: Final = "gpc"  # noqa: S105  # how the text of an API token begins
_NO_KEY: Final = Seconds(Keeper(None, Purpose.SECOND_FACTOR))


@dataclasses.dataclass(frozen=True, slots=True)
class Session:
    """A session that has begun: `text` is what its cookie says."""

    text: str
    caller: Caller


@dataclasses.dataclass(frozen=True, slots=True)
class Halfway:
    """The password was right, and one of these is awaited: `text` is what the cookie of the step says."""

    text: str
    kinds: Kinds


def canonical(address: str) -> str:
    """Return the address as accounts have it; raise Refused for what is none."""
    try:
        return parse(address.strip()).canonical
    except BadAddress as error:
        raise Refused("address.bad") from error


class SignIn:
    """Begins sessions. Every method raises DatabaseUnavailable."""

    def __init__(
        self,
        book: Book,
        passwords: Passwords,
        *,
        by_client: int,
        by_subject: int,
        seconds: Seconds = _NO_KEY,
        operators_factor: bool = False,
    ) -> None:
        """`operators_factor`: operators get no further without a second factor."""
        self._book = book
        self._passwords = passwords
        self._seconds = seconds
        self._operators_factor = operators_factor
        self._codes = Throttle("second", book.clock, by_client=by_client, by_subject=by_subject)
        self._logins = Throttle("login", book.clock, by_client=by_client, by_subject=by_subject)
        self._links = Throttle("link", book.clock, by_client=by_client, by_subject=by_subject)
        self._resets = Throttle("reset", book.clock, by_client=by_client, by_subject=by_subject)

    # --- by password

    async def login(self, address: str, password: str, client: str, agent: str) -> Session | Halfway:
        """Return a new session, or the step before it where the account has a second factor.

        Raises Refused, with one text for whatever was wrong, or `login.wait`.
        """
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
                return await self._after_password(change, row, client, agent)
        raise Refused("login.wrong")

    async def _after_password(self, change: Change, row: Row[Any], client: str, agent: str) -> Session | Halfway:
        kinds = await self._seconds.kinds(change.connection, row.id)
        if not kinds.any:
            return await self._begin(change, row, client, agent, by="password", strong=False)
        payload = {"challenge": secrets.token_urlsafe(32)}  # for a passkey to answer
        begun = await steps.begin(
            change.connection, steps.SECOND, change.now, change.new_id(), account=row.id, payload=payload
        )
        return Halfway(begun, kinds)

    async def admit(self, change: Change, row: Row[Any], client: str, agent: str, *, by: str) -> Session:
        """Begin a session for the row of an account that has shown more than a password."""
        return await self._begin(change, row, client, agent, by=by, strong=True)

    async def _begin(self, change: Change, row: Row[Any], client: str, agent: str, *, by: str, strong: bool) -> Session:
        await change.note(row.customer, "logged-in", row.address, after={"by": by})
        identity = change.new_id()
        owner = {"account": row.id}
        secret = await open_session(change, SESSIONS, identity, owner, client=client, agent=agent, strong=int(strong))
        return Session(secret.text, _caller(row, client, identity))

    # --- by a second factor

    async def halfway(self, text: str) -> tuple[Row[Any], Kinds] | None:
        """Return whose step it is and what he may show, None when it is none or its time is over."""
        async with self._book.reading() as connection:
            step = await steps.look(connection, steps.SECOND, text, self._book.clock.now())
            if step is None:
                return None
            row = (await connection.execute(select(ACCOUNTS).where(ACCOUNTS.c.id == step.account))).first()
            if row is None or row.closed_at:
                return None
            return row, await self._seconds.kinds(connection, row.id)

    async def second(self, text: str, shown: str, client: str, agent: str) -> Session:
        """Return a new session for who has shown a code; raise Refused, with one text for every wrong one."""
        found = await self.halfway(text)
        if found is None:
            raise Refused("second.over")
        row, _ = found
        async with self._book.change(Author(row.address, client)) as change:
            await self._hold(change, row.id)  # so that many at once count as one after the other
            if await self._codes.waits(change.connection, client, row.id):
                raise Refused("login.wait")
            by = await self._seconds.take(change, row.id, shown)
            if by and await steps.use(change.connection, steps.SECOND, text, change.now) is not None:
                await self._codes.forget(change.connection, row.id)
                if by == BY_RECOVERY:
                    left = (await self._seconds.kinds(change.connection, row.id)).recovery
                    await change.note(row.customer, "recovery-code-used", row.address, after={"left": left})
                return await self.admit(change, row, client, agent, by=by)
            await self._codes.note(change.connection, client, row.id)
        raise Refused("second.wrong")

    @staticmethod
    async def _hold(change: Change, account: str) -> None:
        """Hold the account's row until the transaction ends; raise Refused when it was closed meanwhile."""
        mine = (ACCOUNTS.c.id == account, ACCOUNTS.c.closed_at == 0)
        held = await change.connection.execute(update(ACCOUNTS).where(*mine).values(address=ACCOUNTS.c.address))
        if not held.rowcount:
            raise Refused("second.over")

    # --- by cookie or token

    async def session(self, text: str, client: str) -> Caller | None:
        """Return who holds the session, None when it is none or its time is over."""
        identity, secret = split(text)
        now = self._book.clock.now()
        joined = (
            select(
                SESSIONS.c.hash,
                SESSIONS.c.made_at.label("begun_at"),
                SESSIONS.c.seen_at,
                SESSIONS.c.strong,
                CUSTOMERS.c.second_factor,
                *ACCOUNTS.c,
            )
            .join(ACCOUNTS, ACCOUNTS.c.id == SESSIONS.c.account)
            .outerjoin(CUSTOMERS, CUSTOMERS.c.id == ACCOUNTS.c.customer)
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
        asked = self._operators_factor if row.role == Role.OPERATOR.value else bool(row.second_factor)
        caller = _caller(row, client, identity)
        return dataclasses.replace(caller, begun_at=row.begun_at, factor_due=asked and not row.strong)

    async def token(self, text: str, client: str) -> Caller | None:
        """Return who holds the API token, None when it is none, was revoked, or its time is over."""
        identity, secret = split(text) if text.startswith(f"{TOKEN_KIND}_") else ("", "")
        joined = select(
            TOKENS.c.hash,
            TOKENS.c.customer.label("of"),
            TOKENS.c.scopes,
            TOKENS.c.expires_at,
            TOKENS.c.revoked_at,
            TOKENS.c.used_at,
            *ACCOUNTS.c,
        ).join(ACCOUNTS, ACCOUNTS.c.id == TOKENS.c.account)
        async with self._book.reading() as connection:
            row = (await connection.execute(joined.where(TOKENS.c.id == identity))).first()
        if not same(None if row is None else bytes(row.hash), secret) or row is None or row.closed_at:
            return None
        now = self._book.clock.now()
        if row.revoked_at or now >= row.expires_at:
            return None
        if now >= row.used_at + SEEN_EVERY:
            async with self._book.database.writing() as connection:
                await connection.execute(update(TOKENS).where(TOKENS.c.id == identity).values(used_at=now))
        scopes = frozenset(Act(each) for each in row.scopes.split())
        return dataclasses.replace(_caller(row, client, ""), scopes=scopes, customer=row.of)

    async def logout(self, caller: Caller) -> None:
        """End the session."""
        async with self._book.change(caller.author) as change:
            await change.connection.execute(delete(SESSIONS).where(SESSIONS.c.id == caller.session))
            await change.note(caller.customer, "logged-out", caller.address)

    # --- by link

    async def forgot(self, address: str, client: str) -> None:
        """Send a link for a new password, if there is such an account.

        Nothing tells whether there is: for an unknown one a mail is ordered as well, and the outbox drops it.
        """
        try:
            name = canonical(address)
        except Refused:
            name = address[:300]
        async with self._book.change(Author(name, client)) as change:
            waits = await self._resets.waits(change.connection, client, name)
            await self._resets.note(change.connection, client, name)
            row = (await change.connection.execute(select(ACCOUNTS).where(ACCOUNTS.c.address == name))).first()
            if waits:
                return
            usable = row is not None and not row.closed_at
            kind = "activate" if row is not None and not row.password else "reset"
            await change.link(kind, row.id if row is not None and usable else "", client)

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
            row = await self._links.found(connection, client, lambda c: self._link(c, text))
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

    async def set_password(self, text: str, password: str, client: str, agent: str) -> Session | Halfway:
        """Use the link up, set the password, and end every session of the account.

        Returns a new session, or the step before it: who reads somebody's mail has not his second factor. Raises
        Refused.
        """
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
            for begun in (SESSIONS, STEPS):  # what the old password began ends with it
                await change.connection.execute(delete(begun).where(begun.c.account == row.id))
            await self._logins.forget(change.connection, address)
            await change.note(row.customer, "password-set", address)
            return await self._after_password(change, row, client, agent)


def _caller(row: Row[Any], client: str, session: str) -> Caller:
    return Caller(
        account=row.id,
        customer=row.customer,
        role=Role(row.role),
        address=row.address,
        language=row.language,
        client=client,
        session=session,
        domains=frozenset(row.domains.split()) or None,
    )
