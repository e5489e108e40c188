"""First contact: who wrote before is remembered as digests, within bounds, for a time, and from clean mail only."""

from __future__ import annotations

import asyncio

import pytest

from schemas.catalog import CONTACTS
from schemas.events import Action, Branch, Contact, Customer, Disposition, Evidence, Status, Verdict
from services.core import contacts as bounds
from services.core.clock import ManualClock
from services.core.contacts import KEPT, LEAST, REFRESH, Acquaintance, Contacts, digest
from services.policy import decide as policy
from services.runtime.fakes import MemoryBus
from services.runtime.follow import follow_contacts
from services.scanners import decide
from services.scanners.app import ScannerService
from services.scanners.briefing import Briefing, Briefings
from services.scanners.checks import impersonation
from services.scanners.contract import Finding
from tests.eventually import eventually
from tests.mails import PLAIN, context, mail
from tests.samples import NOW, received, verdict
from tests.unit.test_scanners_app import SPEC, Scans, record

SALT = "00112233445566778899aabbccddeeff"
ALICE = digest(SALT, "alice@sender.test")


def contact(value: str = ALICE, customer: str = "example", at: float = NOW) -> Contact:
    return Contact(customer=customer, digest=value, at=at)


def memory(*known: Contact, others: int = LEAST) -> Contacts:
    contacts = Contacts()
    for number in range(others):
        contacts.apply(contact(f"{number:016x}"))
    for each in known:
        contacts.apply(each)
    contacts.caught_up()
    return contacts


def test_a_digest_depends_on_customer_and_address_alone() -> None:
    assert digest(SALT, "Alice@SENDER.test") == ALICE
    assert len({ALICE, digest(SALT[::-1], "alice@sender.test"), digest(SALT, "bob@sender.test")}) == 3
    assert len(ALICE) == 16
    assert digest("no hex", "alice@sender.test") == ""


def test_who_wrote_before_is_known_for_a_time() -> None:
    contacts = memory(contact())
    assert contacts.acquaintance("example", ALICE, NOW + 1) is Acquaintance.KNOWN
    assert contacts.acquaintance("other", ALICE, NOW + 1) is Acquaintance.UNTOLD
    assert contacts.acquaintance("example", "ff" * 8, NOW + 1) is Acquaintance.NEW
    assert contacts.acquaintance("example", ALICE, NOW + KEPT) is Acquaintance.NEW
    assert not contacts.worth_noting("example", ALICE, NOW + REFRESH - 1)
    assert contacts.worth_noting("example", ALICE, NOW + REFRESH)


def test_with_little_to_go_by_nobody_is_called_new() -> None:
    assert memory(others=LEAST - 1).acquaintance("example", ALICE, NOW) is Acquaintance.UNTOLD
    contacts = Contacts()
    for number in range(LEAST):
        contacts.apply(contact(f"{number:016x}"))
    assert contacts.acquaintance("example", ALICE, NOW) is Acquaintance.UNTOLD  # the topic wasn't read to its end


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounds, "CUSTOMER_MOST", 10)
    monkeypatch.setattr(bounds, "MOST", 15)
    contacts = Contacts()
    for number in range(40):
        contacts.apply(contact(f"{number:016x}"))
        contacts.apply(contact(f"{number:016x}", customer=f"c{number % 3}"))
    assert len(contacts) <= 15
    assert not contacts.worth_noting("example", f"{39:016x}", NOW)
    assert contacts.worth_noting("example", f"{0:016x}", NOW)


def test_a_digest_that_is_none_is_left_out() -> None:
    contacts = memory(contact("not hex"), others=0)
    assert len(contacts) == 0


async def test_a_new_correspondent_is_evidence_and_noted() -> None:
    scans = Scans(Finding(status=Status.CLEAN, contact=ALICE))
    service = ScannerService(SPEC, scans, Briefings(dict[str, Customer]().get), ManualClock(NOW), memory())
    (answer,) = await service.handle(record(received()))
    assert isinstance(answer, Verdict)
    assert [item.code for item in answer.evidence] == ["FIRST_CONTACT"]
    assert (answer.status, answer.contact) == (Status.CLEAN, ALICE)


async def test_a_known_correspondent_is_neither() -> None:
    scans = Scans(Finding(status=Status.CLEAN, contact=ALICE))
    service = ScannerService(SPEC, scans, Briefings(dict[str, Customer]().get), ManualClock(NOW), memory(contact()))
    (answer,) = await service.handle(record(received()))
    assert isinstance(answer, Verdict)
    assert (answer.evidence, answer.contact) == ((), "")


def test_a_first_contact_weighs_more_where_something_is_odd() -> None:
    odd = Finding(status=Status.SUSPICIOUS, score=6.0, evidence=(Evidence(code="PERSON_NAME", text="x", score=6.0),))
    assert decide.acquainted(odd, Acquaintance.NEW, note=False).score == 7.0
    assert decide.acquainted(Finding(status=Status.CLEAN), Acquaintance.NEW, note=False).score < 1.0


def disposition(status: Status, action: Action) -> Disposition:
    branch = Branch(recipients=("bob@example.test",), action=action, rule="default", reason="")
    return Disposition(received=received(), branches=(branch,), status=status, score=0.0, decided_at=NOW)


def test_policy_remembers_the_senders_of_clean_mail_alone() -> None:
    verdicts = (verdict(received(), "auth"), verdict(received(), "impersonation", contact=ALICE))
    assert policy.contacts(disposition(Status.CLEAN, Action.DELIVER), verdicts) == (contact(),)
    assert policy.contacts(disposition(Status.SUSPICIOUS, Action.DELIVER), verdicts) == ()
    assert policy.contacts(disposition(Status.CLEAN, Action.QUARANTINE), verdicts) == ()
    assert policy.contacts(disposition(Status.CLEAN, Action.DELIVER), verdicts[:1]) == ()


async def test_the_check_names_the_correspondent_by_digest_alone() -> None:
    told = context(briefing=Briefing(salt=SALT))
    assert (await impersonation.scan(mail(PLAIN), told)).contact == ALICE
    assert (await impersonation.scan(mail(PLAIN), context())).contact == ""
    assert (await impersonation.scan(mail(b"\nno header\n"), told)).contact == ""


async def test_the_memory_follows_the_topic() -> None:
    bus, contacts = MemoryBus(), Contacts()
    await bus.publish([contact()])
    task = asyncio.create_task(follow_contacts(bus, contacts))
    try:
        await eventually(lambda: len(contacts) == 1, 5.0)
        await bus.publish([contact("ab" * 8)])
        await eventually(lambda: len(contacts) == 2, 5.0)
        assert not contacts.worth_noting("example", ALICE, NOW)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    assert bus.events(CONTACTS) == [contact(), contact("ab" * 8)]
