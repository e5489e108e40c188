"""Customers: made by operators, looked at by their own people, taken in from and given out as the customers file."""

from __future__ import annotations

import os
from typing import Any, Final

import msgspec
from sqlalchemy import Row, Select, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.catalog import CUSTOMERS as CUSTOMERS_TOPIC
from schemas.events import Customer, Domain, Trial
from services.console import models
from services.console.accounts import add_account
from services.console.book import Author, Book, Change, composed, domain_of, settings_of, written
from services.console.caller import Caller, NotFound, Refused, allowed
from services.console.config import ConsoleConfig
from services.console.erase import erase
from services.console.export import to_yaml
from services.console.licence import DAY, days_left, next_change, state_of
from services.console.roles import Act, Role
from services.console.tables import (
    AUDIT,
    CENSUS,
    CLAIMS,
    CUSTOMERS,
    DOMAINS,
    PURGES,
    RECIPIENTS,
)
from services.console.users.people import remove_all
from services.core.customers import CustomerSpec
from services.core.directory import Directory
from services.runtime.customers_plan import SALT_OCTETS

PAGE: Final = 50


class Customers:
    """Operations on customers."""

    def __init__(self, book: Book, config: ConsoleConfig, directory: Directory) -> None:
        self.book = book
        self._config = config
        self._directory = directory

    @allowed(Act.CUSTOMERS_SHOW)
    async def customers(self, caller: Caller, after: str = "") -> models.Customers:  # noqa: ARG002 - `allowed` reads it
        """Every customer of the service, by id."""
        some = with_census().where(CUSTOMERS.c.id > after).order_by(CUSTOMERS.c.id).limit(PAGE)
        counted = select(DOMAINS.c.customer, func.count()).group_by(DOMAINS.c.customer)
        async with self.book.reading() as connection:
            rows = (await connection.execute(some)).all()
            of = counted.where(DOMAINS.c.customer.in_([row.id for row in rows]))
            counts = {row[0]: int(row[1]) for row in await connection.execute(of)}
        shown = [self._shown(row, counts.get(row.id, 0)) for row in rows]
        return models.Customers(customers=shown, after=rows[-1].id if len(rows) == PAGE else "")

    @allowed(Act.CUSTOMER_SHOW, limited=True)
    async def customer(self, caller: Caller, customer: str) -> models.Customer:
        """One customer."""
        counted = select(func.count()).select_from(DOMAINS).where(DOMAINS.c.customer == customer)
        if caller.domains is not None:
            counted = counted.where(DOMAINS.c.name.in_(caller.domains))
        async with self.book.reading() as connection:
            row = await found(connection, customer)
            return self._shown(row, int(await connection.scalar(counted) or 0))

    @allowed(Act.CUSTOMERS_CHANGE)
    async def add_customer(self, caller: Caller, body: models.NewCustomer) -> models.Customer:
        """Make a customer on trial, and invite its owner."""
        region = body.region or self._config.regions[0]
        if region not in self._config.regions:
            raise Refused("region.unknown", regions=", ".join(self._config.regions))
        if self._directory.customer(body.id) is not None:
            raise Refused("customer.taken", id=body.id)
        async with self.book.change(caller.author) as change:
            known = select(CUSTOMERS.c.id).where(CUSTOMERS.c.id == body.id)
            # What is left of one that was removed (trace, held mail, audit log) must not become a stranger's.
            removed = select(AUDIT.c.id).where(AUDIT.c.customer == body.id, AUDIT.c.what == "customer-removed").limit(1)
            purged = select(PURGES.c.id).where(PURGES.c.customer == body.id)
            for there in (known, removed, purged):
                if await change.connection.scalar(there) is not None:
                    raise Refused("customer.taken", id=body.id)
            event = Customer(id=body.id, name=body.name, trial=Trial(hourly=self._config.trial_hourly))
            await insert_customer(change, self._config, event, region, body.language)
            await change.publish(body.id)
            await change.note(body.id, "customer-added", body.id, after={"name": body.name, "region": region})
            owner = models.NewAccount(address=body.owner, role=Role.OWNER, language=body.language)
            await add_account(change, body.id, owner)
            return self._shown(await found(change.connection, body.id), 0)

    @allowed(Act.CUSTOMERS_CHANGE)
    async def remove_customer(self, caller: Caller, customer: str) -> models.Empty:
        """Take a customer and its accounts away: its mail is refused from now on. The audit log stays."""
        async with self.book.change(caller.author) as change:
            if not await change.hold(customer):
                raise NotFound(customer)
            before = await spec_of(change.connection, customer)
            await change.set_recipients(customer, before.customer.salt, frozenset())
            await change.send(CUSTOMERS_TOPIC, customer, None)
            await remove_all(change, customer)
            await erase(change.connection, customer, keep=(AUDIT, PURGES))
            await change.note(customer, "customer-removed", customer, before=_summary(before))
        return models.Empty()

    @allowed(Act.CUSTOMER_EXPORT, limited=True)
    async def export(self, caller: Caller, customer: str) -> models.Yaml:
        """A customer as the customers file has it; domains without a host to relay to are left out."""
        async with self.book.reading() as connection:
            spec = await spec_of(connection, customer)
        if caller.domains is not None:
            spec = _limited(spec, caller)
        return models.Yaml(yaml=to_yaml([spec]))

    async def take_in(self, specs: list[CustomerSpec], author: Author) -> int:
        """Make the customers what the file says, from now on kept here; return how many were changed. All or nothing.

        For the command line: who may read the file may do this. Raises Refused for a domain that is another's.
        """
        changed = 0
        async with self.book.change(author) as change:
            for spec in specs:
                changed += await self._take(change, spec)
            await change.note("", "imported", ", ".join(spec.customer.id for spec in specs)[:500])
        return changed

    async def _take(self, change: Change, spec: CustomerSpec) -> bool:
        event = spec.customer
        existing = self._directory.customer(event.id)
        before = None
        if await change.hold(event.id):
            before = await spec_of(change.connection, event.id)
            salt = before.customer.salt
            settings = written(msgspec.structs.replace(event, salt=salt))
            await change.connection.execute(
                update(CUSTOMERS).where(CUSTOMERS.c.id == event.id).values(settings=settings)
            )
        else:
            known = existing.salt if existing else ""  # the recipients that other sources brought stay theirs by it
            fresh = msgspec.structs.replace(event, salt=known)
            region, language = self._config.regions[0], event.digest.language
            salt = await insert_customer(change, self._config, fresh, region, language)
        await self._take_domains(change, event)
        await change.set_recipients(event.id, salt, frozenset(spec.recipients))
        after = await spec_of(change.connection, event.id)
        if before == after:
            return False
        await change.publish(event.id)
        old = None if before is None else _summary(before)
        await change.note(event.id, "customer-imported", event.id, before=old, after=_summary(after))
        return True

    async def _take_domains(self, change: Change, event: Customer) -> None:
        mine = DOMAINS.c.customer == event.id
        names = [domain.name for domain in event.domains]
        taken = select(DOMAINS.c.name).where(DOMAINS.c.name.in_(names), DOMAINS.c.customer != event.id)
        other = await change.connection.scalar(taken)
        owner = next((name for name in names if self._foreign(name, event.id)), other)
        if owner is not None:
            raise Refused("domain.taken", name=owner)
        await change.connection.execute(delete(DOMAINS).where(mine))
        rows = [_domain_row(event.id, place, domain, change.now) for place, domain in enumerate(event.domains)]
        if rows:
            await change.connection.execute(insert(DOMAINS), rows)
        claimed = delete(CLAIMS).where(CLAIMS.c.customer == event.id, CLAIMS.c.name.in_(names))
        await change.connection.execute(claimed)

    def _foreign(self, name: str, customer: str) -> bool:
        owned = self._directory.lookup_domain(name)
        return owned is not None and owned[0].id != customer

    def _shown(self, row: Row[Any], domains: int) -> models.Customer:
        settings = composed(row, [])
        return models.Customer(
            id=row.id,
            name=settings.name,
            region=row.region,
            language=row.language,
            made_at=row.made_at,
            domains=domains,
            licence=licence_of(row, self.book),
        )


def _limited(spec: CustomerSpec, caller: Caller) -> CustomerSpec:
    """Return what is of the caller's domains alone: what holds for all of the customer is left out."""
    event = spec.customer
    domains = tuple(domain for domain in event.domains if caller.sees(domain.name))
    recipients = tuple(address for address in spec.recipients if caller.sees(address.rpartition("@")[2]))
    return CustomerSpec(Customer(id=event.id, name=event.name, domains=domains), recipients)


def _domain_row(customer: str, place: int, domain: Domain, now: float) -> dict[str, Any]:
    return {"name": domain.name, "customer": customer, "place": place, "spec": written(domain), "made_at": now}


def _summary(spec: CustomerSpec) -> dict[str, Any]:
    """Return what the audit log says of a customer: no secret, and of recipients their number."""
    tree: dict[str, Any] = msgspec.to_builtins(spec.customer)
    for secret in ("salt", "bounce_key"):
        tree.pop(secret, None)
    for account in tree["outbound"]["accounts"]:
        account.pop("password")
    return {**tree, "recipients": len(spec.recipients)}


async def insert_customer(change: Change, config: ConsoleConfig, event: Customer, region: str, language: str) -> str:
    """Insert a customer's row, on trial, and return its salt."""
    salt = event.salt or os.urandom(SALT_OCTETS).hex()
    row = {
        "id": event.id,
        "settings": written(msgspec.structs.replace(event, salt=salt)),
        "region": region,
        "language": language,
        "version": 1,
        "made_at": change.now,
        "trial_until": change.now + config.trial_days * DAY,
        "paid_until": 0.0,
        "users": 0,
        "licence": "",
    }
    await change.connection.execute(insert(CUSTOMERS), [row])
    return salt


def licence_of(row: Row[Any], book: Book) -> models.Licence:
    """Return where a customer's row, with what was counted, stands."""
    standing, now = book.standing(row), book.clock.now()
    counted = row.counted or 0
    return models.Licence(
        state=state_of(standing, now),
        trial_until=row.trial_until,
        paid_until=row.paid_until,
        users=row.users,
        counted=counted,
        trial=trial_of(row),
        over=max(0, counted - row.users) if row.users else 0,
        changes_at=next_change(standing, now),
        days_left=days_left(standing, now),
    )


def trial_of(row: Row[Any]) -> models.Trial | None:
    """Return what a trial is limited to; None for who has paid."""
    if row.paid_until:
        return None
    trial = settings_of(row).trial
    return models.Trial(recipients=list(trial.recipients), hourly=trial.hourly)


async def found(connection: AsyncConnection, customer: str) -> Row[Any]:
    """Return the customer's row; raise NotFound."""
    row: Row[Any] | None = (await connection.execute(with_census().where(CUSTOMERS.c.id == customer))).first()
    if row is None:
        raise NotFound(customer)
    return row


def with_census() -> Select[Any]:
    """Return the statement that selects customers' rows with the users that were `counted`, None where nobody has."""
    return select(CUSTOMERS, CENSUS.c.users.label("counted")).outerjoin(CENSUS, CENSUS.c.customer == CUSTOMERS.c.id)


async def spec_of(connection: AsyncConnection, customer: str) -> CustomerSpec:
    """Return the customer as published, with its recipients' addresses; raise NotFound."""
    row = await found(connection, customer)
    rows = select(DOMAINS).where(DOMAINS.c.customer == customer).order_by(DOMAINS.c.place)
    domains = [domain_of(each) for each in await connection.execute(rows)]
    listed = select(RECIPIENTS.c.address).where(RECIPIENTS.c.customer == customer).order_by(RECIPIENTS.c.address)
    addresses = tuple(address for (address,) in await connection.execute(listed))
    return CustomerSpec(composed(row, domains), addresses)
