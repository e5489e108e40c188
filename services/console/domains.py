"""Domains: claimed, proved by a TXT record, routed to the customer's MTAs, tested, pointed here."""

from __future__ import annotations

import dataclasses
import os
import secrets
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Row, delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.events import Domain, Host
from services.console import models
from services.console.book import Book, Change, domain_of, written
from services.console.caller import Caller, Forbidden, NotFound, Refused, allowed
from services.console.config import ConsoleConfig
from services.console.customers import found
from services.console.dialogue import Dialogue
from services.console.roles import Act
from services.console.tables import ACCOUNTS, CLAIMS, DOMAINS
from services.core.address import parse, parse_domain
from services.core.directory import Directory
from services.core.errors import BadAddress, ConfigError, DnsUnavailable
from services.core.ids import message_id
from services.core.outside import may_be_public
from services.core.relay_hosts import Tls, parse_host
from services.core.senders import Senders
from services.core.tree import Place, Scalar
from services.runtime.dns import Dns

LABEL: Final = "_gatepost"
PREFIX: Final = "gatepost-domain="
CLAIMS_MOST: Final = 50  # of one customer that aren't proved
PINNED: Final = "pinned"
TOLD: Final = ("owner", "administrator")  # roles that are told how to go on


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What domains are compared with and tried against."""

    config: ConsoleConfig
    hostname: str
    directory: Directory
    resolver: Callable[[], Dns]  # a new one each time: who has just made a record must not hear what was cached
    senders: Senders = dataclasses.field(default_factory=Senders)  # the lists, as the topic has them


class Domains:
    """Operations on domains."""

    def __init__(self, book: Book, around: Surroundings) -> None:
        self.book = book
        self._around = around

    @allowed(Act.DOMAINS_SHOW, limited=True)
    async def domains(self, caller: Caller, customer: str) -> models.Domains:
        """A customer's domains, and what it claims."""
        proved = select(DOMAINS).where(DOMAINS.c.customer == customer).order_by(DOMAINS.c.place)
        claimed = select(CLAIMS).where(CLAIMS.c.customer == customer).order_by(CLAIMS.c.name)
        async with self.book.reading() as connection:
            await found(connection, customer)
            shown = [self._proved(customer, row) for row in await connection.execute(proved)]
            shown += [_claimed(row) for row in await connection.execute(claimed)]
        return models.Domains(domains=[each for each in shown if caller.sees(each.name)])

    @allowed(Act.DOMAINS_SHOW, limited=True)
    async def domain(self, caller: Caller, customer: str, name: str) -> models.Domain:
        """One of them."""
        _seen(caller, name)
        async with self.book.reading() as connection:
            return await self._shown(connection, customer, name)

    @allowed(Act.DOMAINS_CHANGE, limited=True)
    async def add_domain(self, caller: Caller, customer: str, body: models.NewDomain) -> models.Domain:
        """Claim a domain; a TXT record proves it."""
        name = _name(body.name)
        if not caller.sees(name):
            raise Forbidden("a domain that the caller doesn't see")
        async with self.book.change(caller.author) as change:
            if not await change.hold(customer):
                raise NotFound(customer)
            mine = (CLAIMS.c.customer == customer,)
            known = select(CLAIMS.c.name).where(*mine, CLAIMS.c.name == name)
            own = select(DOMAINS.c.name).where(DOMAINS.c.customer == customer, DOMAINS.c.name == name)
            if (await change.connection.scalar(known) or await change.connection.scalar(own)) is not None:
                raise Refused("domain.known", name=name)
            if int(await change.connection.scalar(select(func.count()).select_from(CLAIMS).where(*mine)) or 0) >= (
                CLAIMS_MOST
            ):
                raise Refused("domain.many", most=CLAIMS_MOST)
            # Whether it is another's already is told to who has proved that it is his, and to nobody else.
            row = {"customer": customer, "name": name, "proof": secrets.token_hex(16), "made_at": change.now}
            await change.connection.execute(insert(CLAIMS), [row])
            await change.note(customer, "domain-claimed", name)
            return await self._shown(change.connection, customer, name)

    @allowed(Act.DOMAINS_CHANGE, limited=True)
    async def prove_domain(self, caller: Caller, customer: str, name: str) -> models.Domain:
        """Look for the TXT record, and take the domain when it is there."""
        _seen(caller, name)
        async with self.book.reading() as connection:
            shown = await self._shown(connection, customer, name)
        if shown.proved:
            return shown
        resolver = self._around.resolver()
        try:
            answer = await resolver.resolve(shown.record, "TXT")
        except DnsUnavailable as error:
            raise Refused("domain.no-answer", name=shown.record) from error
        finally:
            await resolver.close()
        texts = [text.decode("utf-8", "replace") if isinstance(text, bytes) else text for text in answer]
        if shown.proof not in {text.strip() for text in texts}:
            raise Refused("domain.not-proved", name=shown.record)
        async with self.book.change(caller.author) as change:
            await take_domain(change, self._around.directory, customer, name, by="TXT")
            return await self._shown(change.connection, customer, name)

    @allowed(Act.DOMAINS_CHANGE, limited=True)
    async def route_domain(self, caller: Caller, customer: str, name: str, body: models.Routing) -> models.Domain:
        """Say where the domain's mail goes. From the first time on mail to it is taken, and a welcome mail goes out."""
        _seen(caller, name)
        wanted = tuple(self._host(each) for each in body.relay)
        if len({(host.host, host.port, host.lookup) for host in wanted}) < len(wanted):
            raise Refused("relay.twice")
        async with self.book.change(caller.author) as change:
            await change.hold(customer)
            row = await _row(change.connection, customer, name)
            before = domain_of(row)
            relay = _pinned(wanted, before.relay)
            after = Domain(name=name, relay=relay, any_recipient=body.any_recipient)
            mine = (DOMAINS.c.name == name, DOMAINS.c.customer == customer)
            await change.connection.execute(update(DOMAINS).where(*mine).values(spec=written(after)))
            await change.publish(customer)
            await change.note(
                customer, "domain-routed", name, before=msgspec.to_builtins(before), after=msgspec.to_builtins(after)
            )
            if not before.relay:
                await self._welcome(change, customer, name)
            return await self._shown(change.connection, customer, name)

    @allowed(Act.DOMAINS_CHANGE, limited=True)
    async def remove_domain(self, caller: Caller, customer: str, name: str) -> models.Empty:
        """Let go of a domain or a claim: mail to it is refused from now on."""
        _seen(caller, name)
        async with self.book.change(caller.author) as change:
            await change.hold(customer)
            claim = (CLAIMS.c.customer == customer, CLAIMS.c.name == name)
            gone = await change.connection.execute(delete(CLAIMS).where(*claim))
            if not gone.rowcount:
                before = domain_of(await _row(change.connection, customer, name))
                mine = (DOMAINS.c.name == name, DOMAINS.c.customer == customer)
                await change.connection.execute(delete(DOMAINS).where(*mine))
                await change.publish(customer)
                await change.note(customer, "domain-removed", name, before=msgspec.to_builtins(before))
            else:
                await change.note(customer, "domain-claim-removed", name)
        return models.Empty()

    @allowed(Act.DOMAINS_TEST, limited=True)
    async def test_domain(self, caller: Caller, customer: str, name: str, body: models.Test) -> models.Dialogue:
        """Send a test message to one of the domain's hosts, or by its MX records, and return the dialogue."""
        _seen(caller, name)
        async with self.book.reading() as connection:
            domain = domain_of(await _row(connection, customer, name))
        if body.host >= len(domain.relay):
            raise Refused("relay.none")
        host = Host(host=name, lookup="mx") if body.through == "mx" else domain.relay[body.host]
        recipient = body.recipient.strip() or f"postmaster@{name}"
        try:
            address = parse(recipient)
        except BadAddress as error:
            raise Refused("address.bad") from error
        if address.domain != name:
            raise Refused("address.elsewhere", name=name)
        async with self.book.change(caller.author) as change:
            await change.note(
                customer, "delivery-tested", name, after={"recipient": str(address), "through": body.through}
            )
        resolver = self._around.resolver()
        try:
            dialogue = Dialogue(resolver, self._around.hostname, private=self._around.config.private_relays)
            now = self.book.clock.now()
            report = await dialogue.test(host, str(address), now, message_id(now, os.urandom))
        finally:
            await resolver.close()
        lines = [models.DialogueLine(mark=line.mark, text=line.text) for line in report.lines]
        return models.Dialogue(good=report.good, lines=lines)

    @allowed(Act.DOMAINS_SHOW, limited=True)
    async def mx(self, caller: Caller, customer: str, name: str) -> models.Mx:
        """What the domain's MX records are to say, and what they say now."""
        _seen(caller, name)
        async with self.book.reading() as connection:
            region = str((await found(connection, customer)).region)
            await self._shown(connection, customer, name)
        wanted = self._around.config.mx_of(region, self._around.hostname)
        resolver = self._around.resolver()
        try:
            answer: Sequence[str] | None = [str(text) for text in await resolver.resolve(name, "MX")]
        except DnsUnavailable:
            answer = None
        finally:
            await resolver.close()
        hosts = {text.partition(" ")[2].rstrip(".") for text in answer or ()}
        return models.Mx(
            wanted=list(wanted),
            found=None if answer is None else sorted(answer),
            right=bool(hosts) and hosts <= {host.lower() for host in wanted},
            networks=list(self._around.config.networks_of(region)),
        )

    # --- helpers

    async def _welcome(self, change: Change, customer: str, name: str) -> None:
        people = select(ACCOUNTS.c.id).where(
            ACCOUNTS.c.customer == customer, ACCOUNTS.c.role.in_(TOLD), ACCOUNTS.c.closed_at == 0
        )
        for (account,) in (await change.connection.execute(people)).all():
            await change.mail("welcome", account, name)

    def _host(self, body: models.Relay) -> Host:
        try:
            host = parse_host(Place("", "", Scalar(1, body.host.strip())), Tls())
        except ConfigError as error:
            raise Refused("relay.bad", host=body.host[:100]) from error
        if not self._around.config.private_relays and not may_be_public(host.host):
            raise Refused("relay.private", host=host.host)
        if host.port != Host(host="").port and body.port == Host(host="").port:
            body = body.model_copy(update={"port": host.port})
        return Host(host=host.host, port=body.port, preference=body.preference, lookup=body.lookup, tls=body.tls)

    async def _shown(self, connection: AsyncConnection, customer: str, name: str) -> models.Domain:
        claim = select(CLAIMS).where(CLAIMS.c.customer == customer, CLAIMS.c.name == name)
        row = (await connection.execute(claim)).first()
        return _claimed(row) if row is not None else self._proved(customer, await _row(connection, customer, name))

    def _proved(self, customer: str, row: Row[Any]) -> models.Domain:
        domain = domain_of(row)
        owned = self._around.directory.lookup_domain(domain.name)
        return models.Domain(
            name=domain.name,
            proved=True,
            record="",
            proof="",
            relay=[
                models.Relay.model_construct(
                    host=host.host, port=host.port, preference=host.preference, lookup=host.lookup, tls=host.tls
                )
                for host in domain.relay
            ],
            any_recipient=domain.any_recipient,
            live=owned is not None and owned[0].id == customer,
        )


async def take_domain(change: Change, directory: Directory, customer: str, name: str, *, by: str) -> None:
    """Make a domain that is proved the customer's; raise Refused when it is another's."""
    owned = directory.lookup_domain(name)
    if owned is not None and owned[0].id != customer:
        raise Refused("domain.taken", name=name)
    await change.hold(customer)
    if await change.connection.scalar(select(DOMAINS.c.name).where(DOMAINS.c.name == name)) is not None:
        raise Refused("domain.taken", name=name)
    place = await change.connection.scalar(select(func.max(DOMAINS.c.place)).where(DOMAINS.c.customer == customer))
    row = {
        "name": name,
        "customer": customer,
        "place": 0 if place is None else int(place) + 1,
        "spec": written(Domain(name=name, relay=(), any_recipient=True)),
        "made_at": change.now,
    }
    await change.connection.execute(insert(DOMAINS), [row])
    claim = (CLAIMS.c.customer == customer, CLAIMS.c.name == name)
    await change.connection.execute(delete(CLAIMS).where(*claim))
    await change.note(customer, "domain-proved", name, after={"by": by})


def _seen(caller: Caller, name: str) -> None:
    if not caller.sees(name):
        raise NotFound(name)


def _claimed(row: Row[Any]) -> models.Domain:
    return models.Domain(
        name=row.name,
        proved=False,
        record=f"{LABEL}.{row.name}",
        proof=PREFIX + row.proof,
        relay=[],
        any_recipient=True,
        live=False,
    )


def _pinned(wanted: tuple[Host, ...], before: tuple[Host, ...]) -> tuple[Host, ...]:
    """Return the hosts, those that are pinned with the file of their certificates: it lies with the delivery."""
    files = {(host.host, host.port, host.lookup): host.ca_file for host in before if host.tls == PINNED}
    relay = []
    for host in wanted:
        ca_file = files.get((host.host, host.port, host.lookup), "") if host.tls == PINNED else ""
        if host.tls == PINNED and not ca_file:
            raise Refused("relay.pinned", host=host.host)
        relay.append(msgspec.structs.replace(host, ca_file=ca_file))
    return tuple(relay)


async def _row(connection: AsyncConnection, customer: str, name: str) -> Row[Any]:
    asked = select(DOMAINS).where(DOMAINS.c.name == name, DOMAINS.c.customer == customer)
    row = (await connection.execute(asked)).first()
    if row is None:
        raise NotFound(name)
    return row


def _name(text: str) -> str:
    try:
        name = parse_domain(text.strip().removesuffix("."))
    except BadAddress as error:
        raise Refused("domain.bad") from error
    labels = name.split(".")
    if len(labels) < 2 or labels[-1].isdigit() or "_" in name:  # noqa: PLR2004  # a name and what it is under
        raise Refused("domain.bad")
    return name
