"""Users and groups in the database: found, put in, taken out; always within somebody's transaction."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Row, delete, insert, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from services.console.book import Change
from services.console.users.decide import Known, Person, Plan
from services.console.users.tables import ADDRESSES, MEMBERS, USER_LINKS, USER_SESSIONS, USERS, WISHES, Kind

AT_ONCE: Final = 500  # values in one statement
ADDRESSES_MOST: Final = 300  # that somebody sees, his groups' included: what a pass can name


async def by_address(connection: AsyncConnection, customer: str, address: str) -> Row[Any] | None:
    """Return who holds the canonical address."""
    asked = select(USERS).join(ADDRESSES, ADDRESSES.c.user == USERS.c.id)
    asked = asked.where(ADDRESSES.c.customer == customer, ADDRESSES.c.address == address, USERS.c.customer == customer)
    return (await connection.execute(asked)).first()


async def addresses_of(connection: AsyncConnection, customer: str, users: Collection[str]) -> dict[str, list[str]]:
    """Return each one's own addresses, sorted."""
    found: dict[str, list[str]] = defaultdict(list)
    for some in _some(users):
        asked = select(ADDRESSES.c.user, ADDRESSES.c.address)
        asked = asked.where(ADDRESSES.c.customer == customer, ADDRESSES.c.user.in_(some)).order_by(ADDRESSES.c.address)
        for user, address in await connection.execute(asked):
            found[user].append(address)
    return found


async def seen_by(connection: AsyncConnection, customer: str, user: str) -> list[str]:
    """Return the addresses whose mail a user sees: his own, and those of the groups that he is in."""
    groups = select(MEMBERS.c.group).where(MEMBERS.c.user == user, MEMBERS.c.customer == customer)
    asked = select(ADDRESSES.c.address).where(ADDRESSES.c.customer == customer)
    asked = asked.where(or_(ADDRESSES.c.user == user, ADDRESSES.c.user.in_(groups)))
    own_first = (ADDRESSES.c.user != user, ADDRESSES.c.address)
    return [address for (address,) in await connection.execute(asked.order_by(*own_first).limit(ADDRESSES_MOST))]


async def known(connection: AsyncConnection, customer: str, users: Collection[str] | None = None) -> list[Known]:
    """Return the customer's users and groups, or those of the ids, each with all that there is to it."""
    asked = select(USERS).where(USERS.c.customer == customer)
    asked = asked if users is None else asked.where(USERS.c.id.in_(list(users)))
    rows = (await connection.execute(asked.order_by(USERS.c.address))).all()
    addresses = await addresses_of(connection, customer, [row.id for row in rows])
    members: dict[str, set[str]] = defaultdict(set)
    joined = select(MEMBERS.c.group, USERS.c.address).join(USERS, USERS.c.id == MEMBERS.c.user)
    for group, address in await connection.execute(joined.where(MEMBERS.c.customer == customer)):
        members[group].add(address)
    return [
        Known(
            row.id,
            row.source,
            Person(
                address=row.address,
                kind=Kind(row.kind),
                name=row.name,
                aliases=frozenset(addresses[row.id]) - {row.address},
                members=frozenset(members[row.id]) if row.kind == Kind.GROUP else None,
                entry=row.entry,
                language=row.language,
            ),
        )
        for row in rows
    ]


async def concerned(connection: AsyncConnection, customer: str, person: Person, source: str) -> list[Known]:
    """Return those whom it concerns when this person comes from that source."""
    holders = select(ADDRESSES.c.user).where(
        ADDRESSES.c.customer == customer, ADDRESSES.c.address.in_(person.addresses)
    )
    same = select(USERS.c.id).where(
        USERS.c.customer == customer, USERS.c.source == source, USERS.c.entry == person.entry, USERS.c.entry != ""
    )
    return await known(connection, customer, [user for (user,) in await connection.execute(holders.union(same))])


async def add(change: Change, customer: str, people: Sequence[Person], source: str) -> list[str]:
    """Insert them and return their ids; whose addresses are whose has been looked at. Members come later."""
    rows = [
        {
            "id": change.new_id(),
            "customer": customer,
            "kind": person.kind.value,
            "address": person.address,
            "name": person.name,
            "source": source,
            "entry": person.entry,
            "language": person.language,
            "password": "",
            "made_at": change.now,
            "closed_at": 0.0,
        }
        for person in people
    ]
    identities = [str(row["id"]) for row in rows]
    addresses = [
        {"customer": customer, "address": address, "user": identity}
        for identity, person in zip(identities, people, strict=True)
        for address in sorted(person.addresses)
    ]
    for table, values in ((USERS, rows), (ADDRESSES, addresses)):
        for some in _some(values):
            await change.connection.execute(insert(table), some)
    return identities


async def alter(change: Change, customer: str, user: str, person: Person, source: str) -> None:
    """Make the user what `person` says, but for a group's members."""
    values = {"address": person.address, "name": person.name, "language": person.language}
    mine = (USERS.c.id == user, USERS.c.customer == customer)
    await change.connection.execute(update(USERS).where(*mine).values(source=source, entry=person.entry, **values))
    await change.connection.execute(delete(ADDRESSES).where(ADDRESSES.c.customer == customer, ADDRESSES.c.user == user))
    rows = [{"customer": customer, "address": address, "user": user} for address in sorted(person.addresses)]
    await change.connection.execute(insert(ADDRESSES), rows)


async def set_members(change: Change, customer: str, group: str, addresses: Collection[str]) -> None:
    """Make the users who have these addresses the group's members; an address of nobody's is passed over."""
    users: set[str] = set()
    for some in _some(addresses):
        asked = select(USERS.c.id).join(ADDRESSES, ADDRESSES.c.user == USERS.c.id)
        asked = asked.where(
            ADDRESSES.c.customer == customer, ADDRESSES.c.address.in_(some), USERS.c.kind == Kind.USER.value
        )
        users |= {user for (user,) in await change.connection.execute(asked)}
    await change.connection.execute(delete(MEMBERS).where(MEMBERS.c.group == group, MEMBERS.c.customer == customer))
    if users:
        rows = [{"group": group, "user": user, "customer": customer} for user in sorted(users)]
        await change.connection.execute(insert(MEMBERS), rows)


async def remove(change: Change, customer: str, users: Collection[str]) -> None:
    """Take them out, with everything that hangs on them."""
    for some in _some(users):
        await end_sessions(change, some)
        await change.connection.execute(delete(USER_LINKS).where(USER_LINKS.c.user.in_(some)))
        await change.connection.execute(delete(WISHES).where(WISHES.c.user.in_(some)))
        await change.connection.execute(delete(MEMBERS).where(or_(MEMBERS.c.user.in_(some), MEMBERS.c.group.in_(some))))
        await change.connection.execute(delete(ADDRESSES).where(ADDRESSES.c.user.in_(some)))
        await change.connection.execute(delete(USERS).where(USERS.c.id.in_(some), USERS.c.customer == customer))


async def remove_all(change: Change, customer: str) -> None:
    """Take everybody of a customer out: the customer goes."""
    asked = select(USERS.c.id).where(USERS.c.customer == customer)
    await remove(change, customer, [user for (user,) in await change.connection.execute(asked)])


async def end_sessions(change: Change, users: Collection[str]) -> None:
    """End every session of these users."""
    await change.connection.execute(delete(USER_SESSIONS).where(USER_SESSIONS.c.user.in_(list(users))))


async def carry_out(change: Change, customer: str, what: Plan, source: str) -> list[str]:
    """Do what the plan says, and return the ids of those that are new."""
    await remove(change, customer, [each.id for each in what.removed])
    # What changes gives its addresses up before anybody takes one that was another's.
    moving = [before.id for before, _ in what.changed]
    for some in _some(moving):
        await change.connection.execute(
            delete(ADDRESSES).where(ADDRESSES.c.customer == customer, ADDRESSES.c.user.in_(some))
        )
    for before, person in what.changed:
        await alter(change, customer, before.id, person, source)
    new = await add(change, customer, what.added, source)
    groups = [*zip(new, what.added, strict=True), *((before.id, person) for before, person in what.changed)]
    for identity, person in groups:
        if person.kind is Kind.GROUP and person.members is not None:
            await set_members(change, customer, identity, person.members)
    return [identity for identity, person in zip(new, what.added, strict=True) if person.kind is Kind.USER]


def _some(values: Iterable[Any]) -> Iterator[list[Any]]:
    """Yield the values some at a time: a statement takes no end of them."""
    listed = list(values)
    for start in range(0, len(listed), AT_ONCE):
        yield listed[start : start + AT_ONCE]
