"""What the console writes to people: well-formed, in their language, and nothing in it can be something else."""

from __future__ import annotations

import email
import email.policy
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from schemas.catalog import RECEIVED
from schemas.events import Received
from services.console import models
from services.console.licence import DAY, Terms, issue_key
from services.console.mails import Mail, compose, welcome, with_link
from services.console.outbox import Outbox
from services.console.post import OPERATORS, MailPath
from services.console.reminders import Reminders
from services.console.roles import Role
from services.core.errors import StoreUnavailable
from services.core.stored import unpack
from services.delivery.decide import goes_anywhere, hosts_of
from services.runtime.fakes_store import MemoryStore
from tests.house.console import OPERATOR, PASSWORD, USERS, ConsoleHouse, console_house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[ConsoleHouse]:
    async with console_house(tmp_path) as house:
        yield house


def parsed(octets: bytes) -> email.message.EmailMessage:
    message = email.message_from_bytes(octets, policy=email.policy.default)
    assert isinstance(message, email.message.EmailMessage)
    assert message.defects == []
    return message


@pytest.mark.parametrize("language", ["en", "it"])
@pytest.mark.parametrize("kind", ["activate", "reset"])
def test_both_forms_have_the_link_and_nothing_else_to_click(kind: str, language: str) -> None:
    mail = with_link(kind, language, "https://console.test/link/01K_x-_", "gp.test")
    octets = compose(mail, to="a@b.test", identity="01K", hostname="gp.test", language=language, now=1e9)
    message = parsed(octets)
    assert message["Auto-Submitted"] == "auto-generated"
    for form in ("plain", "html"):
        part = message.get_body((form,))
        assert part is not None
        assert set(re.findall(r"https?://[^\s\"<]+", part.get_content())) == {"https://console.test/link/01K_x-_"}


def test_names_can_end_no_header_and_open_no_tag() -> None:
    mail = Mail(subject="a\r\nBcc: x@evil.test", paragraphs=("<b>&",), facts=(("<i>", '"><script>'),), link='x"y')
    message = parsed(compose(mail, to="a@b.test", identity="01K", hostname="gp.test", language="en", now=1e9))
    assert message["Bcc"] is None
    part = message.get_body(("html",))
    assert part is not None
    assert not re.search(r"<(b|i|script)\b", part.get_content())


def test_the_welcome_names_each_record_exactly() -> None:
    mail = welcome("en", "acme.test", ["mx1.gp.test", "mx2.gp.test"], ["192.0.2.0/24"], "https://x.test/d", "gp.test")
    text = compose(mail, to="a@b.test", identity="01K", hostname="gp.test", language="en", now=1e9).decode()
    assert "acme.test. MX 10: mx1.gp.test." in text
    assert "acme.test. MX 20: mx2.gp.test." in text
    assert "192.0.2.0/24" in text


async def test_mail_goes_into_the_mail_path_and_its_link_opens_the_account(house: ConsoleHouse) -> None:
    store = MemoryStore()
    outbox = Outbox(
        house.book,
        house.bus,
        MailPath(house.book, house.signin, store, house.bus, house.config, "gp.test", users=USERS),
    )
    body = models.NewCustomer(id="acme", owner="ann@elsewhere.test", language="it")
    await house.desk.customers.add_customer(OPERATOR, body=body)
    store.down = True
    with pytest.raises(StoreUnavailable):
        await outbox.turn()
    store.down = False
    while await outbox.turn():
        pass
    (event,) = house.bus.events(RECEIVED)
    assert isinstance(event, Received)
    assert (event.customer, event.own, event.plan, event.envelope.reverse_path) == ("acme", "account", (), "")
    assert event.envelope.recipients == ("ann@elsewhere.test",)
    text = bytes(unpack(store.objects[event.key])[1]).decode()
    found = re.search(r"https://console\.test(/link/\S+)\r", text)
    assert found is not None
    answer = await house.browser().post(found[1], {"password": PASSWORD, "again": PASSWORD})
    assert answer.status == 303
    anywhere = goes_anywhere(event)
    assert [(host.host, host.lookup) for host in hosts_of(None, event.domain, anywhere=anywhere)] == [
        ("elsewhere.test", "mx")
    ]


async def test_operators_have_mail_too_and_nobody_else_has(house: ConsoleHouse) -> None:
    await house.person(Role.OPERATOR, "", "op@console.test")
    path = MailPath(house.book, house.signin, MemoryStore(), house.bus, house.config, "gp.test", users=USERS)
    outbox = Outbox(house.book, house.bus, path)
    while await outbox.turn():
        pass
    before = len(house.bus.events(RECEIVED))
    for address in ("op@console.test", "nobody@console.test", "no address"):
        await house.desk.signin.forgot(address, "192.0.2.1")
    while await outbox.turn():
        pass
    events = [event for event in house.bus.events(RECEIVED)[before:] if isinstance(event, Received)]
    assert not re.fullmatch(r"[a-z0-9][a-z0-9-]*", OPERATORS)  # as customers' ids are
    assert [(event.customer, event.envelope.recipients) for event in events] == [(OPERATORS, ("op@console.test",))]


async def test_owners_hear_of_the_end_of_their_licence_once_for_each_term_and_of_a_new_end_anew(
    house: ConsoleHouse,
) -> None:
    await house.customer("acme")
    await house.person(Role.AUDITOR)
    await house.settle()
    before = len(house.post.sent)
    reminders = [Reminders(house.book), Reminders(house.book)]  # of two processes
    told: list[int] = []
    for day in range(31):
        told += [day for one in reminders if await one.send_due()]
        house.clock.advance(DAY)
    assert told == [0, 16, 23, 27, 29]
    await house.settle()
    assert [order.kind for order, _ in house.post.sent[before:]] == ["licence"] * 5  # the owner alone
    terms = Terms(id="01K", customer="acme", users=1, since=house.clock.now(), until=house.clock.now() + 20 * DAY)
    body = models.LicenceKey(key=issue_key(house.licences, terms))
    await house.desk.licences.renew(OPERATOR, customer="acme", body=body)
    assert [await reminders[0].send_due() for _ in range(2)] == [1, 0]


async def test_the_reminder_names_the_day_and_leads_to_the_licence(house: ConsoleHouse) -> None:
    await house.customer("acme")
    await Reminders(house.book).send_due()
    store = MemoryStore()
    path = MailPath(house.book, house.signin, store, house.bus, house.config, "gp.test", users=USERS)
    await Outbox(house.book, house.bus, path, "one").turn()
    (octets,) = store.objects.values()
    assert b"https://console.test/c/acme/licence" in octets
    assert b"ends on 2023-12-14" in octets
