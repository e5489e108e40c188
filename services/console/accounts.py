"""Accounts: invited, changed, closed; and the sessions that are one's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from sqlalchemy import Row, delete, func, insert, select, update

from services.console import models
from services.console.book import Book, Change
from services.console.caller import Caller, Forbidden, NotFound, Refused, allowed
from services.console.roles import Act, Role, may_manage
from services.console.signin import canonical
from services.console.tables import ACCOUNTS, CLAIMS, DOMAINS, SESSIONS, STEPS, TOKENS
from services.core.address import parse, quote

ACCOUNTS_MOST: Final = 500  # that one list shows


async def add_account(change: Change, customer: str, body: models.NewAccount, *, invited: bool = True) -> str:
    """Insert the account and order its invitation, if it is `invited`; return its id. Raises Refused."""
    address = canonical(body.address)
    local, _, domain = address.rpartition("@")
    parse(f"{quote(local)}@{domain}")
    if await change.connection.scalar(select(ACCOUNTS.c.id).where(ACCOUNTS.c.address == address)) is not None:
        raise Refused("account.taken")
    identity = change.new_id()
    row = {
        "id": identity,
        "customer": customer,
        "address": address,
        "name": body.name,
        "role": body.role.value,
        "language": body.language,
        "password": "",
        "made_at": change.now,
        "closed_at": 0.0,
        "domains": await _limits(change, customer, body.role, body.domains),
    }
    await change.connection.execute(insert(ACCOUNTS), [row])
    after = {"role": body.role.value, "name": body.name, "domains": body.domains}
    await change.note(customer, "account-invited", address, after=after)
    if invited:
        await change.mail("activate", identity)
    return identity


class Accounts:
    """Operations on accounts."""

    def __init__(self, book: Book) -> None:
        self.book = book

    @allowed(Act.ACCOUNTS_SHOW, limited=True)
    async def accounts(self, caller: Caller, customer: str) -> models.Accounts:
        """Who may log in for a customer."""
        asked = select(ACCOUNTS).where(ACCOUNTS.c.customer == customer).order_by(ACCOUNTS.c.address)
        if caller.domains is not None:
            asked = asked.where(ACCOUNTS.c.domains != "")
        async with self.book.reading() as connection:
            rows = (await connection.execute(asked.limit(ACCOUNTS_MOST))).all()
        return models.Accounts(accounts=[_shown(row) for row in rows if caller.covers(limits_of(row))])

    @allowed(Act.ACCOUNTS_CHANGE, limited=True)
    async def invite(self, caller: Caller, customer: str, body: models.NewAccount) -> models.Account:
        """Invite somebody: a mail with a link goes to the address."""
        if body.role is Role.OPERATOR or not may_manage(caller.role, body.role):
            raise Forbidden("a role above one's own")
        body = body.model_copy(update={"domains": body.domains or sorted(caller.domains or ())})
        if not caller.covers(frozenset(body.domains) or None):
            raise Forbidden("a domain that the caller doesn't see")
        async with self.book.change(caller.author) as change:
            if not await change.hold(customer):
                raise NotFound(customer)
            identity = await add_account(change, customer, body)
            return _shown(await account_of(change, caller, customer, identity))

    @allowed(Act.ACCOUNTS_CHANGE, limited=True)
    async def change_account(
        self, caller: Caller, customer: str, account: str, body: models.AccountChange
    ) -> models.Account:
        """Change the role of an account or the domains that it is limited to, close it, or open it again."""
        async with self.book.change(caller.author) as change:
            await change.hold(customer)
            row = await account_of(change, caller, customer, account)
            role = Role(row.role) if body.role is None else body.role
            closed = bool(row.closed_at) if body.closed is None else body.closed
            if role is Role.OPERATOR or not (may_manage(caller.role, Role(row.role)) and may_manage(caller.role, role)):
                raise Forbidden("a role above one's own")
            leaves = closed or role is not Role.OWNER
            if Role(row.role) is Role.OWNER and not row.closed_at and leaves and await _owners(change, customer) == 1:
                raise Refused("account.last-owner")
            names = row.domains.split() if body.domains is None else body.domains
            if not caller.covers(frozenset(names) or None):
                raise Forbidden("a domain that the caller doesn't see")
            values = {
                "role": role.value,
                "closed_at": (row.closed_at or change.now) if closed else 0.0,
                "domains": await _limits(change, customer, role, names, known=row.domains.split()),
            }
            mine = (ACCOUNTS.c.id == account, ACCOUNTS.c.customer == customer)
            await change.connection.execute(update(ACCOUNTS).where(*mine).values(**values))
            if closed:
                for begun in (SESSIONS, STEPS):
                    await change.connection.execute(delete(begun).where(begun.c.account == account))
                revoked = update(TOKENS).where(TOKENS.c.account == account, TOKENS.c.revoked_at == 0)
                await change.connection.execute(revoked.values(revoked_at=change.now))
            await change.note(
                customer,
                "account-changed",
                row.address,
                before={"role": row.role, "closed": bool(row.closed_at), "domains": row.domains.split()},
                after={"role": role.value, "closed": closed, "domains": sorted(names)},
            )
            return _shown(await account_of(change, caller, customer, account))

    @allowed(Act.PASSWORDS_RESET, limited=True)
    async def send_link(self, caller: Caller, customer: str, account: str) -> models.Empty:
        """Send an account a link again: to activate it, or for a new password. The old one works until it is used."""
        async with self.book.change(caller.author) as change:
            row = await account_of(change, caller, customer, account)
            if row.closed_at:
                raise Refused("account.closed")
            if not may_manage(caller.role, Role(row.role)):
                raise Forbidden("a role above one's own")
            await change.mail("reset" if row.password else "activate", account)
            await change.note(customer, "password-link-sent", row.address)
        return models.Empty()

    # --- one's own

    @allowed(Act.SELF)
    async def me(self, caller: Caller) -> models.Me:
        """Who the caller is, and what he may."""
        return models.Me(
            account=caller.account,
            customer=caller.customer,
            address=caller.address,
            role=caller.role,
            scopes=[act for act in Act if caller.may(act)],
            domains=sorted(caller.domains or ()),
        )

    @allowed(Act.SELF)
    async def sessions(self, caller: Caller) -> models.Sessions:
        """The caller's own sessions."""
        asked = select(SESSIONS).where(SESSIONS.c.account == caller.account).order_by(SESSIONS.c.seen_at.desc())
        async with self.book.reading() as connection:
            rows = (await connection.execute(asked)).all()
        return models.Sessions(
            sessions=[
                models.Session(
                    id=row.id,
                    made_at=row.made_at,
                    seen_at=row.seen_at,
                    client=row.client,
                    agent=row.agent,
                    this=row.id == caller.session,
                )
                for row in rows
            ]
        )

    @allowed(Act.SELF)
    async def end_session(self, caller: Caller, session: str) -> models.Empty:
        """End one of the caller's own sessions."""
        mine = (SESSIONS.c.id == session, SESSIONS.c.account == caller.account)
        async with self.book.change(caller.author) as change:
            gone = await change.connection.execute(delete(SESSIONS).where(*mine))
            if not gone.rowcount:
                raise NotFound(session)
            await change.note(caller.customer, "session-ended", caller.address, before={"session": session})
        return models.Empty()

    @allowed(Act.SELF)
    async def end_other_sessions(self, caller: Caller) -> models.Empty:
        """End every session of the caller's but the one that asks."""
        mine = (SESSIONS.c.account == caller.account, SESSIONS.c.id != caller.session)
        async with self.book.change(caller.author) as change:
            gone = await change.connection.execute(delete(SESSIONS).where(*mine))
            await change.note(caller.customer, "sessions-ended", caller.address, before={"sessions": gone.rowcount})
        return models.Empty()

    @allowed(Act.ACCOUNTS_CHANGE, limited=True)
    async def sign_out(self, caller: Caller, customer: str, account: str) -> models.Empty:
        """End every session of an account."""
        async with self.book.change(caller.author) as change:
            row = await account_of(change, caller, customer, account)
            if not may_manage(caller.role, Role(row.role)):
                raise Forbidden("a role above one's own")
            gone = await change.connection.execute(delete(SESSIONS).where(SESSIONS.c.account == account))
            await change.note(customer, "sessions-ended", row.address, before={"sessions": gone.rowcount})
        return models.Empty()


async def account_of(change: Change, caller: Caller, customer: str, account: str) -> Row[Any]:
    """Return the account's row; raise NotFound, also when it sees more domains than the caller is limited to."""
    asked = select(ACCOUNTS).where(ACCOUNTS.c.id == account, ACCOUNTS.c.customer == customer)
    row = (await change.connection.execute(asked)).first()
    if row is None or not caller.covers(limits_of(row)):
        raise NotFound(account)
    return row


def limits_of(row: Row[Any]) -> frozenset[str] | None:
    """Return the domains that an account's row limits it to, None for all."""
    return frozenset(row.domains.split()) or None


async def _limits(change: Change, customer: str, role: Role, names: list[str], known: Sequence[str] = ()) -> str:
    """Return how a row says the limits: domains that the customer has or claims, or that are in the row already."""
    if names and role is Role.OWNER:
        raise Refused("account.owner-limited")
    found = set(known)
    for table in (DOMAINS, CLAIMS):
        asked = select(table.c.name).where(table.c.customer == customer, table.c.name.in_(names))
        found |= {name for (name,) in await change.connection.execute(asked)}
    missing = next((name for name in names if name not in found), None)
    if missing is not None:
        raise Refused("account.no-domain", name=missing)
    return "\n".join(sorted(set(names)))


async def _owners(change: Change, customer: str) -> int:
    owners = select(func.count()).select_from(ACCOUNTS)
    owners = owners.where(
        ACCOUNTS.c.customer == customer, ACCOUNTS.c.role == Role.OWNER.value, ACCOUNTS.c.closed_at == 0
    )
    return int(await change.connection.scalar(owners) or 0)


def _shown(row: Row[Any]) -> models.Account:
    return models.Account(
        id=row.id,
        address=row.address,
        name=row.name,
        role=Role(row.role),
        language=row.language,
        active=bool(row.password),
        closed=bool(row.closed_at),
        made_at=row.made_at,
        domains=row.domains.split(),
    )
