"""End-user management: a customer's users and groups, from the directory, from a table, or made by hand."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import ColumnElement, Row, false, func, not_, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.console.book import Author, Book, Change, event_of
from services.console.caller import Caller, NotFound, Refused, allowed
from services.console.models import Empty
from services.console.roles import Act
from services.console.tables import DOMAINS
from services.console.users import models, people
from services.console.users.decide import NAME_MOST, Person, Plan, kept_within, owned, parse_table, plan
from services.console.users.directory import Asked, TooMany, listed
from services.console.users.links import ACTIVATE, RESET
from services.console.users.tables import ADDRESSES, CSV, HAND, MEMBERS, USERS, Kind
from services.core.address import parse
from services.core.directory import LDAP
from services.core.directory_groups import Membership, in_none
from services.core.errors import BadAddress, ConfigError, DirectoryRefused, DirectoryUnavailable

PAGE: Final = 100


class Management:
    """Operations on users and groups."""

    def __init__(self, book: Book, directory: Asked, groups_of: Membership = in_none) -> None:
        self.book = book
        self._directory = directory
        self._groups_of = groups_of

    @allowed(Act.USERS_SHOW, limited=True)
    async def users(self, caller: Caller, customer: str, search: str = "", after: str = "") -> models.EndUsers:
        """Users and groups of a customer, by address; `search` is a part of an address or a name."""
        asked = select(USERS).where(USERS.c.customer == customer).order_by(USERS.c.address, USERS.c.id)
        asked = asked.where(*_within(caller, customer))
        if after:
            asked = asked.where(USERS.c.address > after)
        if text := search.strip().casefold():
            has = select(ADDRESSES.c.user).where(ADDRESSES.c.customer == customer)
            has = has.where(ADDRESSES.c.address.contains(text, autoescape=True))
            asked = asked.where(USERS.c.id.in_(has) | func.lower(USERS.c.name).contains(text, autoescape=True))
        async with self.book.reading() as connection:
            rows = (await connection.execute(asked.limit(PAGE))).all()
            addresses = await people.addresses_of(connection, customer, [row.id for row in rows])
            event = await event_of(connection, customer)
        return models.EndUsers(
            users=[models.EndUser(**_said(row, addresses[row.id])) for row in rows],
            after=rows[-1].address if len(rows) == PAGE else "",
            ldap=event is not None and bool(event.directory) and caller.domains is None,
        )

    @allowed(Act.USERS_SHOW, limited=True)
    async def user(self, caller: Caller, customer: str, user: str) -> models.EndUserShown:
        """One of them."""
        async with self.book.reading() as connection:
            shown = await _shown(connection, caller, customer, user)
            event = await event_of(connection, customer)
        if event is None:
            return shown
        names = {name for address in shown.addresses for name in self._groups_of(event, address)}
        return shown.model_copy(update={"directory_groups": sorted(names)})

    @allowed(Act.USERS_CHANGE, limited=True)
    async def add_user(self, caller: Caller, customer: str, body: models.NewEndUser) -> models.EndUserShown:
        """Make a user or a group by hand; a user is sent the mail with his activation link."""
        async with self.book.change(caller.author) as change:
            domains = await _held(change, caller, customer)
            address = _owned(body.address, domains)
            person = Person(
                address=address,
                kind=Kind(body.kind),
                name=body.name.strip(),
                aliases=frozenset(_owned(each, domains) for each in body.aliases) - {address},
                language=body.language,
            )
            await _free(change, customer, person, "")
            (identity,) = await people.add(change, customer, [person], HAND)
            if person.kind is Kind.GROUP:
                await people.set_members(change, customer, identity, _members(body.members, caller))
            shown = await _shown(change.connection, caller, customer, identity)
            if body.invite and person.kind is Kind.USER:
                await change.mail(ACTIVATE, identity)
            await change.note(customer, "user-added", address, after=_audited(shown))
            return shown

    @allowed(Act.USERS_CHANGE, limited=True)
    async def change_user(
        self, caller: Caller, customer: str, user: str, body: models.EndUserChange
    ) -> models.EndUserShown:
        """Change a user or group; who comes from the directory is changed there, but for being closed."""
        async with self.book.change(caller.author) as change:
            domains = await _held(change, caller, customer)
            row = await _row(change.connection, caller, customer, user)
            before = await _shown(change.connection, caller, customer, user)
            theirs = (body.name, body.aliases, body.members) != (None, None, None)
            if theirs and row.source.startswith(LDAP):
                raise Refused("user.directory")
            aliases = before.addresses if body.aliases is None else [_owned(each, domains) for each in body.aliases]
            person = Person(
                address=row.address,
                kind=Kind(row.kind),
                name=row.name if body.name is None else body.name.strip(),
                aliases=frozenset(aliases) - {row.address},
                entry=row.entry,
                language=row.language if body.language is None else body.language,
            )
            await _free(change, customer, person, user)
            await people.alter(change, customer, user, person, row.source)
            if person.kind is Kind.GROUP and body.members is not None:
                unseen = [
                    each for each in await _members_of(change.connection, customer, user) if not _sees(caller, each)
                ]
                await people.set_members(change, customer, user, [*_members(body.members, caller), *unseen])
            if body.closed is not None:
                await _close(change, customer, row, closed=body.closed)
            shown = await _shown(change.connection, caller, customer, user)
            await change.note(customer, "user-changed", row.address, before=_audited(before), after=_audited(shown))
            return shown

    @allowed(Act.USERS_CHANGE, limited=True)
    async def remove_user(self, caller: Caller, customer: str, user: str) -> Empty:
        """Take a user or group out; what is held for the addresses stays held."""
        async with self.book.change(caller.author) as change:
            row = await _row(change.connection, caller, customer, user)
            before = await _shown(change.connection, caller, customer, user)
            await people.remove(change, customer, [user])
            await change.note(customer, "user-removed", row.address, before=_audited(before))
        return Empty()

    @allowed(Act.USERS_CHANGE, limited=True)
    async def import_users(self, caller: Caller, customer: str, body: models.EndUsersTable) -> models.TakenIn:
        """Take users and groups in from a table (CSV)."""
        async with self.book.change(caller.author) as change:
            domains = await _held(change, caller, customer)
            try:
                wanted = parse_table(body.csv, domains)
            except ConfigError as error:
                raise Refused("users.csv", reason=str(error)) from error
            there = await people.known(change.connection, customer)
            what = plan(there, wanted, CSV, replace=body.replace)
            if caller.domains is not None:
                what = kept_within(what, caller.domains)
            return await _carried_out(change, customer, what, CSV, invite=body.invite)

    @allowed(Act.USERS_CHANGE)
    async def read_users(self, caller: Caller, customer: str) -> models.TakenIn:
        """Read users and groups from the customer's LDAP directories now."""
        return await self.read(caller.author, customer)

    async def read(self, author: Author, customer: str) -> models.TakenIn:
        """See `read_users`, for whoever needs no leave. Raises Refused, and nothing of that source has changed."""
        async with self.book.reading() as connection:
            event = await event_of(connection, customer)
        if event is None or not event.directory:
            raise Refused("users.no-directory")
        total = models.TakenIn(added=0, changed=0, removed=0, left_out=[])
        for source in event.directory:
            try:
                found = await listed(self._directory, customer, source.name)
            except DirectoryUnavailable as error:
                raise Refused("users.directory-away") from error
            except DirectoryRefused as error:
                raise Refused("users.directory-refuses", reason=str(error)) from error
            async with self.book.change(author) as change:
                await _hold(change, customer)
                name = LDAP + source.name
                there = await people.known(change.connection, customer)
                what = plan(there, found, name, replace=True)
                before = sum(each.source == name for each in there)
                try:
                    TooMany.check(len(what.removed), before, source.drop_share)
                except TooMany as error:
                    raise Refused("users.drop", gone=error.gone, before=error.before) from error
                done = await _carried_out(change, customer, what, name, invite=False)
            total = models.TakenIn(
                added=total.added + done.added,
                changed=total.changed + done.changed,
                removed=total.removed + done.removed,
                left_out=total.left_out + done.left_out,
            )
        return total

    # --- passwords

    @allowed(Act.PASSWORDS_RESET, limited=True)
    async def user_link(self, caller: Caller, customer: str, user: str) -> Empty:
        """Send a user his activation link, or one for a new password; the old password works until it is used."""
        async with self.book.change(caller.author) as change:
            row = await _row(change.connection, caller, customer, user)
            if row.kind != Kind.USER:
                raise Refused("user.group")
            if row.closed_at:
                raise Refused("account.closed")
            kind = RESET if row.password else ACTIVATE
            await change.mail(kind, user)
            await change.note(customer, f"{kind}-sent", row.address)
        return Empty()

    @allowed(Act.PASSWORDS_RESET, limited=True)
    async def invite_users(self, caller: Caller, customer: str) -> models.Invited:
        """Send an activation link to every user who has no password yet."""
        waiting = select(USERS.c.id, USERS.c.address).where(
            USERS.c.customer == customer,
            USERS.c.kind == Kind.USER.value,
            USERS.c.password == "",  # nobody's secret: there is none
            USERS.c.closed_at == 0,
            *_within(caller, customer),
        )
        async with self.book.change(caller.author) as change:
            rows = (await change.connection.execute(waiting.order_by(USERS.c.address))).all()
            for row in rows:
                await change.mail(ACTIVATE, row.id)
            await change.note(customer, "users-invited", customer, after={"count": len(rows)})
        return models.Invited(count=len(rows))


# --- within a transaction


async def _hold(change: Change, customer: str) -> None:
    """Hold the customer, so that no two changes of its people mix."""
    if not await change.hold(customer):
        raise NotFound(customer)


async def _held(change: Change, caller: Caller, customer: str) -> frozenset[str]:
    """Hold the customer, and return those of its domains that the caller sees."""
    await _hold(change, customer)
    asked = select(DOMAINS.c.name).where(DOMAINS.c.customer == customer)
    return frozenset(name for (name,) in await change.connection.execute(asked) if caller.sees(name))


def _within(caller: Caller, customer: str) -> list[ColumnElement[bool]]:
    """Return what must hold of users that the caller sees: they have no address beside the domains of his."""
    if caller.domains is None:
        return []
    inside = [ADDRESSES.c.address.endswith(f"@{name}", autoescape=True) for name in sorted(caller.domains)]
    beyond = select(ADDRESSES.c.user).where(ADDRESSES.c.customer == customer, not_(or_(false(), *inside)))
    return [USERS.c.id.not_in(beyond)]


def _sees(caller: Caller, address: str) -> bool:
    return caller.sees(address.rpartition("@")[2])


async def _row(connection: AsyncConnection, caller: Caller, customer: str, user: str) -> Row[Any]:
    asked = select(USERS).where(USERS.c.id == user, USERS.c.customer == customer, *_within(caller, customer))
    row = (await connection.execute(asked)).first()
    if row is None:
        raise NotFound(user)
    return row


async def _members_of(connection: AsyncConnection, customer: str, group: str) -> list[str]:
    of = select(USERS.c.address).where(USERS.c.customer == customer).order_by(USERS.c.address)
    members = of.join(MEMBERS, MEMBERS.c.user == USERS.c.id).where(MEMBERS.c.group == group)
    return [address for (address,) in await connection.execute(members)]


async def _shown(connection: AsyncConnection, caller: Caller, customer: str, user: str) -> models.EndUserShown:
    row = await _row(connection, caller, customer, user)
    addresses = (await people.addresses_of(connection, customer, [user])).get(user, [])
    members = await _members_of(connection, customer, user)
    of = select(USERS.c.address).where(USERS.c.customer == customer).order_by(USERS.c.address)
    groups = of.join(MEMBERS, MEMBERS.c.group == USERS.c.id).where(MEMBERS.c.user == user)
    return models.EndUserShown(
        **_said(row, addresses),
        members=[address for address in members if _sees(caller, address)],
        groups=[address for (address,) in await connection.execute(groups) if _sees(caller, address)],
    )


async def _free(change: Change, customer: str, person: Person, but: str) -> None:
    """Raise Refused when somebody else holds one of the addresses."""
    asked = select(ADDRESSES.c.address).where(
        ADDRESSES.c.customer == customer, ADDRESSES.c.address.in_(person.addresses), ADDRESSES.c.user != but
    )
    taken = await change.connection.scalar(asked.order_by(ADDRESSES.c.address).limit(1))
    if taken is not None:
        raise Refused("user.taken", address=taken)


async def _close(change: Change, customer: str, row: Row[Any], *, closed: bool) -> None:
    mine = (USERS.c.id == row.id, USERS.c.customer == customer)
    at = (row.closed_at or change.now) if closed else 0.0
    await change.connection.execute(update(USERS).where(*mine).values(closed_at=at))
    if closed:
        await people.end_sessions(change, [row.id])


async def _carried_out(change: Change, customer: str, what: Plan, source: str, *, invite: bool) -> models.TakenIn:
    new = await people.carry_out(change, customer, what, source)
    done = models.TakenIn(
        added=len(what.added), changed=len(what.changed), removed=len(what.removed), left_out=list(what.left_out)
    )
    if invite:
        for identity in new:
            await change.mail(ACTIVATE, identity)
    if done.added or done.changed or done.removed:
        await change.note(customer, "users-taken-in", source, after=done.model_dump(exclude={"left_out"}))
    return done


def _owned(text: str, domains: frozenset[str]) -> str:
    try:
        return owned(text, domains)
    except BadAddress as error:
        raise Refused("user.address", address=text[:NAME_MOST]) from error


def _members(texts: list[str], caller: Caller) -> list[str]:
    """Return the canonical addresses; raise Refused for what is none, or not for the caller to see."""
    try:
        found = [parse(each.strip()).canonical for each in texts]
    except BadAddress as error:
        raise Refused("address.bad") from error
    for each in found:
        if not _sees(caller, each):
            raise Refused("user.address", address=each[:NAME_MOST])
    return found


def _said(row: Row[Any], addresses: list[str]) -> dict[str, Any]:
    return {
        "id": row.id,
        "kind": row.kind,
        "address": row.address,
        "name": row.name,
        "source": row.source,
        "language": row.language,
        "addresses": addresses,
        "active": bool(row.password),
        "closed": bool(row.closed_at),
        "made_at": row.made_at,
    }


def _audited(shown: models.EndUserShown) -> dict[str, Any]:
    return shown.model_dump(include={"kind", "name", "addresses", "members", "closed", "language"})
