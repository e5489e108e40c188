"""A licence's whole life with the clock moved, to the day on which everything is deleted and that is certified."""

from __future__ import annotations

import asyncio
import base64
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from sqlalchemy import select

from schemas.catalog import COMMANDS, CUSTOMERS, DIRECTORY_STATE, DISPOSITIONS, OUTCOMES, RECIPIENTS, SENDERS
from schemas.events import (
    Action,
    Branch,
    Customer,
    DirectoryState,
    Disposition,
    Domain,
    Envelope,
    Event,
    Host,
    Outcome,
    QuarantineCommand,
    Recipient,
    SenderEntry,
    State,
    Status,
)
from services.console import models
from services.console.book import Author
from services.console.caller import Refused
from services.console.census import Census, users_of
from services.console.certificate import Certificate, holds
from services.console.licence import DAY, Terms, issue_key
from services.console.purge import EVERY, SETTLED, OfQuarantine, OfSigning, OfTopics, OfTrace, Owner, Purges
from services.console.roles import Role
from services.console.tables import CUSTOMERS as CUSTOMER_ROWS
from services.console.tables import METADATA, PURGES
from services.core.customers import CustomerSpec
from services.core.errors import StoreUnavailable
from services.core.secrets import Secrets
from services.core.stored import pack
from services.quarantine.app import Quarantine
from services.quarantine.config import QuarantineConfig
from services.quarantine.index import Index as Index_
from services.quarantine.keyring import Keyring
from services.quarantine.master import Secrets as Master
from services.quarantine.vault import Vault
from services.runtime.bus import Record
from services.runtime.dkim_keys import DkimKeys
from services.runtime.fakes_store import MemoryStore
from services.runtime.latest import latest
from tests.house.console import OPERATOR, ConsoleHouse, console_house
from tests.samples import received

ME = Author("me")


class Life:
    """A console, a quarantine and a store, and everything that a customer may leave in them."""

    def __init__(self, house: ConsoleHouse, index: Index_) -> None:
        self.house = house
        self.index = index
        self.store = MemoryStore(house.clock)
        self.keys = self.keyring(b"w" * 32)
        self.quarantine = Quarantine(
            QuarantineConfig(),
            index,
            self.store,
            house.bus,
            lambda customer: Customer(id=customer),
            house.clock,
            vault=Vault(self.store, self.keys, os.urandom),
            secrets=Master(b"m" * 32),
            plan=lambda: (),
        )
        self.secrets = Secrets(bytes(32), os.urandom)
        self.purges = self.purging(self.secrets)

    def keyring(self, wrapping: bytes) -> Keyring:
        return Keyring(self.index.database, self.store, wrapping, self.house.clock, os.urandom)

    def purging(self, secrets: Secrets | None) -> Purges:
        bus = self.house.bus
        owners: list[Owner] = [
            OfQuarantine(self.index, self.store, bus, self.keyring(b"")),
            OfTopics(bus),
            OfTrace(self.house.trace),
            OfSigning(self.store),
        ]
        return Purges(self.house.book, owners, secrets, "gp.test")

    async def customer(self, name: str) -> None:
        """Make a customer who has something everywhere."""
        domain = f"{name}.test"
        event = Customer(id=name, name=name.title(), domains=(Domain(name=domain, relay=(Host(host="mx.test"),)),))
        await self.house.desk.customers.take_in([CustomerSpec(event, (f"a@{domain}",))], ME)
        await self.house.person(Role.OWNER, name)
        await self.house.settle()
        others: list[Event] = [
            Recipient(customer=name, digest="ab" * 32, source="ldap:ldap", entry="e"),
            SenderEntry(customer=name, whom="*", sender="@spam.test", approved=False, by="x", at=1.0),
            DirectoryState(customer=name, source="ldap:ldap", tried_at=1.0),
        ]
        await self.house.bus.publish(others)
        await DkimKeys(self.store, bytes(32), self.house.clock, os.urandom).make(name, domain)
        await self.held(name)

    async def held(self, customer: str) -> None:
        body = b"Subject: a secret\r\n\r\nbody\r\n"
        envelope = Envelope(reverse_path="x@sender.test", recipients=(f"a@{customer}.test",), client_ip="192.0.2.1")
        identity = f"01HF7YAT0000000000000{customer.upper():0>5.5}"
        event = received(
            id=identity, customer=customer, key=f"mail/{customer}/{identity}", envelope=envelope, size=len(body)
        )
        await self.store.put(event.key, [pack(event), body])
        branch = Branch(recipients=envelope.recipients, action=Action.QUARANTINE, rule="virus", reason="")
        disposition = Disposition(received=event, branches=(branch,), status=Status.VIRUS, score=9, decided_at=1.0)
        await self.handle(DISPOSITIONS, disposition)

    async def handle(self, topic: object, event: Event) -> None:
        record = Record(topic, 0, 0, "", event, self.house.clock.now())  # type: ignore[arg-type]
        made = await self.quarantine.handle(record)
        await self.house.bus.publish([each for each in made if isinstance(each, Event)])

    async def obey(self) -> None:
        """Let the quarantine do what it was told."""
        for event in self.house.bus.events(COMMANDS):
            assert isinstance(event, QuarantineCommand)
            await self.handle(COMMANDS, event)
        for event in self.house.bus.events(OUTCOMES):
            await self.handle(OUTCOMES, event)

    async def left(self, customer: str) -> list[str]:
        """Return where anything of the customer is left: rows, records of compacted topics, objects."""
        found = []
        async with self.house.book.reading() as connection:
            for table in METADATA.tables.values():
                column = table.c.id if table is CUSTOMER_ROWS else table.c.get("customer")
                if column is not None and table is not PURGES:
                    rows = await connection.execute(select(table).where(column == customer))
                    found += [table.name for _ in rows]
        for topic in (CUSTOMERS, RECIPIENTS, SENDERS, DIRECTORY_STATE):
            keys = await latest(self.house.bus, topic, Event)
            found += [key for key in keys if key.partition("/")[0] == customer]
        found += [key for key in self.store.objects if f"/{customer}/" in key and not key.startswith("mail/")]
        found += [row.id for row in await self.index.list(state=None) if row.customer == customer]
        return found


@pytest.fixture
async def life(tmp_path: Path) -> AsyncIterator[Life]:
    async with console_house(tmp_path) as house:
        index = await Index_.open(f"sqlite:///{tmp_path / 'console.db'}")
        yield Life(house, index)
        await index.close()


async def test_from_trial_to_purge_each_state_begins_at_its_second_and_the_end_takes_everything(life: Life) -> None:
    house = life.house
    await life.customer("acme")
    await life.customer("globex")
    began = house.clock.now()

    async def at(days: float) -> str:
        house.clock.advance(began + days * DAY - house.clock.now())
        assert await life.purges.round() == 0
        licence = await house.desk.licences.licence(OPERATOR, customer="acme")
        return licence.state.value

    assert [await at(days) for days in (29.99, 30.0, 59.99, 60.0, 149.99)] == [
        "trial",
        "grace",
        "grace",
        "lapsed",
        "lapsed",
    ]
    acme = house.published("acme")
    assert acme is not None
    assert acme.lapses_at == pytest.approx(began + 60 * DAY)  # from when delivery puts the notice on

    until = house.clock.now() + 400 * DAY  # globex renews at the last moment: nothing of it is touched
    terms = Terms(id="01K", customer="globex", users=5, since=house.clock.now(), until=until)
    body = models.LicenceKey(key=issue_key(house.licences, terms))
    await house.desk.licences.renew(OPERATOR, customer="globex", body=body)
    await house.settle()
    kept = await life.left("globex")

    house.clock.advance(0.02 * DAY)
    assert await life.purges.round() == 0  # begun: the customer is gone, and what is held is being deleted
    await house.settle()
    assert house.published("acme") is None
    with pytest.raises(Refused, match=r"customer\.taken"):
        await house.desk.customers.add_customer(OPERATOR, body=models.NewCustomer(id="acme", owner="x@acme.test"))
    await life.obey()
    assert await life.purges.round() == 0
    assert await life.left("acme") == []
    assert await life.purges.round() == 0, "certified before what was on its way can have come"
    await life.held("acme")  # had been accepted in the second before
    house.clock.advance(SETTLED)
    assert await life.purges.round() == 0
    await life.obey()
    house.clock.advance(EVERY)
    assert [await life.purges.round() for _ in range(3)] == [0, 1, 0]
    assert await life.left("acme") == []
    assert await life.left("globex") == kept
    ended = [each for each in house.bus.events(OUTCOMES) if isinstance(each, Outcome)]
    assert {(each.customer, each.state) for each in ended} == {("acme", State.QUARANTINE_DELETED)}  # it balances


async def test_the_certificate_says_what_was_deleted_is_signed_and_is_an_operators_to_fetch(life: Life) -> None:
    house = life.house
    await life.customer("acme")
    house.clock.advance(150 * DAY)
    await life.purges.round()
    await life.obey()
    house.clock.advance(SETTLED)
    for _ in range(3):
        await life.purges.round()
    (purge,) = (await house.desk.purged.purges(OPERATOR)).purges
    operator = await house.person(Role.OPERATOR, "")
    page = await operator.get("/purges")
    assert f'href="/purges/{purge.id}"' in page.text
    answer = await operator.get(f"/purges/{purge.id}")
    assert answer.headers["content-disposition"] == f'attachment; filename="deleted-{purge.id}.json"'
    certificate = Certificate(**json.loads(answer.text))
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(certificate.public_key))
    assert public.public_bytes_raw() == life.secrets.signing().public_key().public_bytes_raw()
    assert holds(certificate, public)
    said = json.loads(certificate.text)
    assert (said["customer"], said["name"], said["service"]) == ("acme", "Acme", "gp.test")
    deleted = said["deleted"]
    assert deleted["quarantined messages"] == 1
    assert deleted["quarantine keys"] == 1
    assert deleted["DKIM keys"] == 2
    assert deleted["recipients.v1 records"] >= 1
    assert deleted["console_accounts rows"] == 1
    assert not holds(msgspec.structs.replace(certificate, text=certificate.text.replace("acme", "acne")), public)
    await house.customer("globex")
    owner = await house.person(Role.OWNER, "globex")
    assert (await owner.get(f"/purges/{purge.id}")).status == 403
    assert (await operator.get("/purges/01K8Z4N5QJ3M8V7T2R6XW9YB0C")).status == 404


async def test_without_a_key_to_sign_with_nothing_is_deleted_and_a_store_that_is_away_is_waited_for(life: Life) -> None:
    await life.customer("acme")
    life.house.clock.advance(150 * DAY)
    await life.purging(None).run(asyncio.Event())
    assert life.house.published("acme") is not None
    life.store.down = True
    with pytest.raises(StoreUnavailable):
        await life.purges.round()
    life.store.down = False
    await life.purges.round()
    await life.obey()
    await life.purges.round()
    await life.house.settle()
    assert await life.left("acme") == []


# --- users


def recipient(digest: str, source: str = "", entry: str = "", customer: str = "acme") -> Recipient:
    return Recipient(customer=customer, digest=digest, source=source, entry=entry)


@pytest.mark.parametrize(
    ("recipients", "users"),
    [
        ([], {}),
        ([recipient("a"), recipient("b")], {"acme": 2}),
        ([recipient("a", "ldap:x", "1"), recipient("b", "ldap:x", "1")], {"acme": 1}),  # an alias
        ([recipient("a", "ldap:x", "1"), recipient("a", "csv")], {"acme": 1}),  # two sources know her
        # an address that several have is a list's
        ([recipient("a", "ldap:x", "1"), recipient("b", "ldap:x", "2"), recipient("c", "ldap:x")], {"acme": 2}),
        ([recipient("a", "ldap:x", "1"), recipient("a", "ldap:y", "9")], {"acme": 1}),  # in two directories
        ([recipient("a", "csv"), recipient("a", "", customer="globex")], {"acme": 1, "globex": 1}),
    ],
)
def test_users_are_people_and_aliases_are_none(recipients: list[Recipient], users: dict[str, int]) -> None:
    assert users_of(recipients) == users


async def test_more_users_than_the_licence_is_for_are_shown_to_everybody_of_the_customer(life: Life) -> None:
    house = life.house
    await house.customer("acme")
    await house.bus.publish([recipient(f"{n:064x}", "csv") for n in range(7)])
    await Census(house.book, house.bus).count()
    terms = Terms(id="01K", customer="acme", users=7, since=house.clock.now(), until=house.clock.now() + 400 * DAY)
    body = models.LicenceKey(key=issue_key(house.licences, terms))
    licence = await house.desk.licences.renew(OPERATOR, customer="acme", body=body)
    assert (licence.users, licence.counted, licence.over) == (7, 7, 0)
    browser = await house.person(Role.READER)
    assert "licence is for 7" not in (await browser.get("/c/acme")).text
    await house.bus.publish([recipient("f" * 64, "csv")])
    await Census(house.book, house.bus).count()
    assert "The directory has 8 users; the licence is for 7" in (await browser.get("/c/acme")).text
