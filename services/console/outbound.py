"""A customer's outgoing mail: who may send, where to, what DNS has to say, and the keys that sign."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import ipaddress
import os
import secrets
from collections.abc import Sequence
from typing import Any, Final

import msgspec
from cryptography import x509
from sqlalchemy import select, update

from schemas.events import Account, ClientCertificate, Customer, Outbound
from services.console import models, records
from services.console.book import Book, Change, domain_of, settings_of, written
from services.console.caller import Caller, NotFound, Refused, allowed, standing_state
from services.console.customers import found
from services.console.domains import TOLD, Surroundings
from services.console.licence import State
from services.console.mails import DMARC
from services.console.roles import Act
from services.console.tables import ACCOUNTS, CUSTOMERS, DOMAINS
from services.core.address import parse
from services.core.customer_certificates import CERTIFICATES_MOST, parse_certificates
from services.core.customer_outbound import ACCOUNTS_MOST, parse_addresses
from services.core.dkim import strings
from services.core.errors import BadAddress, ConfigError
from services.core.tree import Items, Place, Scalar, node_of
from services.ingress.submission.passwords import hashed
from services.runtime.dkim_keys import DkimKeys, Listed, generation_of
from services.runtime.dkim_records import Published, published
from services.runtime.dns import Dns

PASSWORD_OCTETS: Final = 18  # of chance


class Outbounds:
    """Operations on outgoing mail."""

    def __init__(self, book: Book, around: Surroundings, keys: DkimKeys | None) -> None:
        """`keys`: None where this process has no master key of them."""
        self.book = book
        self._around = around
        self._keys = keys

    @allowed(Act.OUTBOUND_SHOW, limited=True)
    async def outbound(self, caller: Caller, customer: str) -> models.Outbound:
        """Who may send, and where to; of accounts those in the caller's domains."""
        async with self.book.reading() as connection:
            row = await found(connection, customer)
        settings = settings_of(row).outbound
        config = self._around.config
        starttls, tls = config.submission_ports
        return models.Outbound(
            enabled=settings.enabled,
            trial=await self._on_trial(customer),
            host=config.submission_of(row.region, self._around.hostname),
            starttls=starttls,
            tls=tls,
            addresses=list(settings.addresses) if caller.domains is None else [],
            accounts=[account.name for account in settings.accounts if _sees(caller, account.name)],
            certificates=list(map(_described, settings.certificates)) if caller.domains is None else [],
            sender_messages=settings.sender_messages,
            customer_messages=settings.customer_messages,
            keys_here=self._keys is not None,
        )

    @allowed(Act.OUTBOUND_CHANGE)
    async def change_outbound(self, caller: Caller, customer: str, body: models.OutboundChange) -> models.Outbound:
        """Switch it on or off, say who sends and how much. Switched on, administrators are told how to go on."""
        addresses = None if body.addresses is None else _addresses(body.addresses)
        trial = await self._on_trial(customer)
        async with self.book.change(caller.author) as change:
            before = await self._settings(change, customer)
            changes = body.model_dump(exclude_none=True, exclude={"addresses"})
            after = _replace(before, **changes, **({} if addresses is None else {"addresses": addresses}))
            if after.enabled and not before.enabled:
                if trial:
                    raise Refused("outbound.trial")
                if not await _routed(change, customer):
                    raise Refused("outbound.no-domain")
            if after.enabled and not (after.addresses or after.accounts or after.certificates):
                raise Refused("outbound.nobody")
            if after != before:
                await self._write(change, caller, customer, before, after, "outbound-changed")
            if after.enabled and not before.enabled:
                await _tell(change, customer)
        return await self.outbound(caller, customer=customer)

    @allowed(Act.OUTBOUND_CHANGE, limited=True)
    async def add_submitter(self, caller: Caller, customer: str, body: models.NewSubmitter) -> models.MadeSubmitter:
        """Make an account that signs in, and its password, which is shown now and kept by nobody.

        It sends for the domains that its maker is limited to.
        """
        password = secrets.token_urlsafe(PASSWORD_OCTETS)
        phc = await asyncio.to_thread(hashed, password.encode(), os.urandom)
        async with self.book.change(caller.author) as change:
            before = await self._settings(change, customer)
            name = await _name(change, caller, customer, body.name)
            others = tuple(account for account in before.accounts if account.name != name)
            if len(others) >= ACCOUNTS_MOST:
                raise Refused("outbound.bad", problem=f"{ACCOUNTS_MOST}")
            made = Account(name=name, password=phc, domains=tuple(sorted(caller.domains or ())))
            after = _replace(before, accounts=(*others, made))
            await self._write(change, caller, customer, before, after, "submitter-made", name)
        return models.MadeSubmitter(name=name, password=password)

    @allowed(Act.OUTBOUND_CHANGE, limited=True)
    async def remove_submitter(self, caller: Caller, customer: str, name: str) -> models.Empty:
        """Take an account away: its password is wrong from now on."""
        async with self.book.change(caller.author) as change:
            before = await self._settings(change, customer)
            if not _sees(caller, name):
                raise NotFound(name)
            left = tuple(account for account in before.accounts if account.name != name)
            if len(left) == len(before.accounts):
                raise NotFound(name)
            after = _replace(before, accounts=left)
            if after.enabled and not (after.addresses or after.accounts or after.certificates):
                raise Refused("outbound.nobody")
            await self._write(change, caller, customer, before, after, "submitter-removed", name)
        return models.Empty()

    @allowed(Act.OUTBOUND_CHANGE)
    async def add_certificate(self, caller: Caller, customer: str, body: models.NewCertificate) -> models.Outbound:
        """Know an MTA by its certificate, or by a name that a CA vouches for."""
        (listed,) = _certificates(body)
        async with self.book.change(caller.author) as change:
            before = await self._settings(change, customer)
            others = tuple(each for each in before.certificates if each.der != listed.der)
            if len(others) >= CERTIFICATES_MOST:
                raise Refused("outbound.bad", problem=f"{CERTIFICATES_MOST}")
            after = _replace(before, certificates=(*others, listed))
            await self._write(change, caller, customer, before, after, "certificate-added", _described(listed).subject)
        return await self.outbound(caller, customer=customer)

    @allowed(Act.OUTBOUND_CHANGE)
    async def remove_certificate(self, caller: Caller, customer: str, certificate: str) -> models.Empty:
        """Take a certificate away: nobody is known by it from now on."""
        async with self.book.change(caller.author) as change:
            before = await self._settings(change, customer)
            left = tuple(each for each in before.certificates if _described(each).id != certificate)
            if len(left) == len(before.certificates):
                raise NotFound(certificate)
            after = _replace(before, certificates=left)
            if after.enabled and not (after.addresses or after.accounts or after.certificates):
                raise Refused("outbound.nobody")
            await self._write(change, caller, customer, before, after, "certificate-removed", certificate)
        return models.Empty()

    @allowed(Act.OUTBOUND_SHOW, limited=True)
    async def outbound_records(self, caller: Caller, customer: str, name: str) -> models.OutboundRecords:
        """What a domain's DNS has to say for its mail to be believed, and what it says now."""
        region = await self._region_of(caller, customer, name)
        config = self._around.config
        wanted = config.spf_of(region, self._around.hostname)
        ours = [address for each in config.networks_of(region) if (address := _first(each))]
        resolver = self._around.resolver()
        try:
            spf = await records.spf(resolver, name, wanted, ours)
            dmarc, policy = await records.dmarc(resolver, name)
            keys = [] if self._keys is None else await self._keys.all(customer, name)
            shown = [await _shown(resolver, each) for each in keys]
        finally:
            await resolver.close()
        return models.OutboundRecords(
            domain=name,
            spf_wanted=" ".join(wanted),
            spf=spf.name.lower(),
            dmarc_wanted=f'_dmarc.{name}. IN TXT "{DMARC}"',
            dmarc=dmarc.name.lower(),
            dmarc_policy=policy,
            keys=shown,
        )

    @allowed(Act.OUTBOUND_CHANGE, limited=True)
    async def make_keys(self, caller: Caller, customer: str, name: str) -> models.OutboundRecords:
        """Make a pair of signing keys, which sign nothing until they are used."""
        keys = await self._keyed(caller, customer, name)
        try:
            made = await keys.make(customer, name)
        except ConfigError as error:
            raise Refused("outbound.dkim.taken") from error
        async with self.book.change(caller.author) as change:
            await change.note(customer, "dkim-made", name, after={"selectors": [each.stored.selector for each in made]})
        return await self.outbound_records(caller, customer=customer, name=name)

    @allowed(Act.OUTBOUND_CHANGE, limited=True)
    async def use_keys(self, caller: Caller, customer: str, name: str, body: models.KeyName) -> models.OutboundRecords:
        """Sign with these keys from now on, once their records are published."""
        keys = await self._keyed(caller, customer, name)
        wanted = [each for each in await keys.all(customer, name) if generation_of(each.stored.selector) == body.name]
        if not wanted:
            raise NotFound(body.name)
        resolver = self._around.resolver()
        try:
            said = {await published(resolver, each) for each in wanted}
        finally:
            await resolver.close()
        if said != {Published.RIGHT}:
            raise Refused("outbound.dkim.unpublished", name=body.name)
        await keys.use(customer, name, body.name)
        async with self.book.change(caller.author) as change:
            await change.note(customer, "dkim-used", name, after={"name": body.name})
        return await self.outbound_records(caller, customer=customer, name=name)

    @allowed(Act.OUTBOUND_CHANGE, limited=True)
    async def remove_keys(self, caller: Caller, customer: str, name: str, key: str) -> models.Empty:
        """Remove keys that no longer sign, for good."""
        keys = await self._keyed(caller, customer, name)
        try:
            count = await keys.remove(customer, name, key)
        except ConfigError as error:
            raise Refused("outbound.dkim.in-use", name=key) from error
        if not count:
            raise NotFound(key)
        async with self.book.change(caller.author) as change:
            await change.note(customer, "dkim-removed", name, before={"name": key})
        return models.Empty()

    # --- helpers

    async def _keyed(self, caller: Caller, customer: str, name: str) -> DkimKeys:
        await self._region_of(caller, customer, name)
        if self._keys is None:
            raise Refused("outbound.dkim.elsewhere")
        return self._keys

    async def _region_of(self, caller: Caller, customer: str, name: str) -> str:
        """Return the customer's region; raise NotFound for a domain that isn't its own, or not the caller's to see."""
        if not caller.sees(name):
            raise NotFound(name)
        own = select(DOMAINS.c.name).where(DOMAINS.c.customer == customer, DOMAINS.c.name == name)
        async with self.book.reading() as connection:
            row = await found(connection, customer)
            if await connection.scalar(own) is None:
                raise NotFound(name)
        return str(row.region)

    async def _on_trial(self, customer: str) -> bool:
        return await standing_state(self.book, customer, self.book.clock) is State.TRIAL

    async def _settings(self, change: Change, customer: str) -> Outbound:
        if not await change.hold(customer):
            raise NotFound(customer)
        return settings_of(await found(change.connection, customer)).outbound

    async def _write(
        self,
        change: Change,
        caller: Caller,
        customer: str,
        before: Outbound,
        after: Outbound,
        what: str,
        subject: str = "",
    ) -> None:
        settings = settings_of(await found(change.connection, customer))
        changed: Customer = msgspec.structs.replace(settings, outbound=after)
        mine = CUSTOMERS.c.id == customer
        await change.connection.execute(update(CUSTOMERS).where(mine).values(settings=written(changed)))
        await change.publish(customer)
        await change.note(customer, what, subject or customer, before=_told(before, caller), after=_told(after, caller))


def _replace(settings: Outbound, **changes: object) -> Outbound:
    return msgspec.structs.replace(settings, **changes)


def _told(settings: Outbound, caller: Caller) -> dict[str, Any]:
    """Return what the audit log says of it: no password's hash, and nothing that its author doesn't see."""
    accounts = [account.name for account in settings.accounts if _sees(caller, account.name)]
    if caller.domains is not None:
        return {"accounts": accounts}
    return {
        "enabled": settings.enabled,
        "addresses": list(settings.addresses),
        "accounts": accounts,
        "certificates": [_described(each).id for each in settings.certificates],
        "sender_messages": settings.sender_messages,
        "customer_messages": settings.customer_messages,
    }


def _certificates(body: models.NewCertificate) -> tuple[ClientCertificate, ...]:
    pem = " ".join(body.certificate.split())
    kind: dict[str, object] = {"ca": pem, "names": body.names} if body.names else {"certificate": pem}
    try:
        return parse_certificates(Place("", "", node_of([kind])))
    except ConfigError as error:
        raise Refused("outbound.bad", problem=str(error).rpartition("]: ")[2] or str(error)) from error


def _described(listed: ClientCertificate) -> models.ClientCertificate:
    der = base64.b64decode(listed.der)
    certificate = x509.load_der_x509_certificate(der)
    return models.ClientCertificate(
        id=hashlib.sha256(der).hexdigest(),
        subject=certificate.subject.rfc4514_string()[:200],
        ends_at=certificate.not_valid_after_utc.timestamp(),
        names=list(listed.names),
    )


def _addresses(lines: Sequence[str]) -> tuple[str, ...]:
    node = Items(1, tuple(Scalar(1, line.strip()) for line in lines if line.strip()))
    try:
        return parse_addresses(Place("", "", node))
    except ConfigError as error:
        raise Refused("outbound.bad", problem=str(error).rpartition("]: ")[2]) from error


def _sees(caller: Caller, address: str) -> bool:
    return caller.sees(address.rpartition("@")[2])


async def _name(change: Change, caller: Caller, customer: str, text: str) -> str:
    """Return the account's name; raise Refused for one in no domain of the customer that the caller sees."""
    try:
        address = parse(text.strip())
    except BadAddress as error:
        raise Refused("outbound.bad", problem=str(error)) from error
    own = select(DOMAINS.c.name).where(DOMAINS.c.customer == customer, DOMAINS.c.name == address.domain)
    if not caller.sees(address.domain) or await change.connection.scalar(own) is None:
        raise Refused("outbound.bad", problem=address.domain)
    return address.canonical


async def _routed(change: Change, customer: str) -> bool:
    rows = await change.connection.execute(select(DOMAINS).where(DOMAINS.c.customer == customer))
    return any(domain_of(row).relay for row in rows)


async def _tell(change: Change, customer: str) -> None:
    people = select(ACCOUNTS.c.id).where(
        ACCOUNTS.c.customer == customer, ACCOUNTS.c.role.in_(TOLD), ACCOUNTS.c.closed_at == 0
    )
    for (account,) in (await change.connection.execute(people)).all():
        await change.mail("outbound", account)


async def _shown(resolver: Dns, key: Listed) -> models.SigningKey:
    return models.SigningKey(
        name=generation_of(key.stored.selector),
        record=f"{key.name}. IN TXT ( {strings(key.stored.record)} )",
        in_use=key.in_use,
        said=(await published(resolver, key)).name.lower(),
    )


def _first(network: str) -> str:
    """Return the first address of a network, empty for what is none."""
    try:
        return str(ipaddress.ip_network(network, strict=False)[0])
    except ValueError:
        return ""
