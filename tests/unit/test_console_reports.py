"""Reports: the same on page, sheet and PDF; by mail once for each period, to who may have them, in his language."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path

import pytest
from pypdfium2 import PdfDocument
from sqlalchemy import update

from schemas.catalog import RECEIVED
from schemas.events import Envelope, Evidence, Outcome, Received, State, Status
from services.console import report_pdf
from services.console.caller import Caller
from services.console.licence import DAY
from services.console.outbox import Outbox
from services.console.periods import PERIODS, SETTLES, last_period
from services.console.reports import Scheduler
from services.console.roles import Role
from services.console.tables import ACCOUNTS, CUSTOMERS
from services.console.traffic_models import Period
from services.core.stored import unpack
from services.runtime.fakes_store import MemoryStore
from services.trace.decide import facts
from tests.house.asgi import Browser
from tests.house.console import ConsoleHouse, console_house
from tests.samples import received, verdict

OWNER = Caller(account="test", customer="acme", role=Role.OWNER, address="test@acme.test")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[ConsoleHouse]:
    async with console_house(tmp_path) as house:
        await house.customer("acme")
        await house.customer("globex")
        async with house.book.database.writing() as connection:
            await connection.execute(update(CUSTOMERS).values(paid_until=1e12))
        await house.settle()
        yield house


async def mail(house: ConsoleHouse, sender: str = "news@big.test", customer: str = "acme") -> None:
    """Have a message delivered, in which a virus was found, to two people."""
    now = house.clock.now()
    envelope = Envelope(reverse_path=sender, recipients=("a@acme.test", "b@acme.test"), client_ip="192.0.2.7")
    message = received(customer=customer, envelope=envelope, received_at=now)
    found = verdict(message, "virus", Status.VIRUS, scanned_at=now, evidence=(Evidence(code="EICAR", text="x"),))
    done = Outcome(
        id=message.id,
        customer=customer,
        key=message.key,
        recipients=envelope.recipients,
        total=2,
        state=State.DELIVERED,
        at=now + 0.2,
        received_at=now,
        attempts=1,
    )
    await house.trace.write([facts(event, now) for event in (message, found, done)])


def day(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("period", "now", "begin", "end"),
    [
        ("daily", "2026-03-01T00:29", "2026-02-27", "2026-02-28"),  # not settled yet
        ("daily", "2026-03-01T00:31", "2026-02-28", "2026-03-01"),
        ("weekly", "2026-11-29T12:00", "2026-11-16", "2026-11-23"),  # a Sunday
        ("weekly", "2026-11-30T00:31", "2026-11-23", "2026-11-30"),
        ("monthly", "2026-03-01T00:31", "2026-02-01", "2026-03-01"),
        ("monthly", "2026-01-31T12:00", "2025-12-01", "2026-01-01"),
    ],
)
def test_periods_end_at_midnight_utc_and_settle(period: Period, now: str, begin: str, end: str) -> None:
    assert last_period(period, day(now)) == (day(begin), day(end))


def test_periods_follow_on_each_other_without_a_gap() -> None:
    for period in PERIODS:
        begin, end = last_period(period, day("2026-11-29"))
        assert last_period(period, begin + SETTLES)[1] == begin
        assert last_period(period, end + SETTLES) == (begin, end)


# --- on the page


async def test_page_sheet_and_pdf_say_the_same_and_of_nobody_else(house: ConsoleHouse) -> None:
    for sender in ("news@big.test", "news@big.test", "=1+1@evil.test"):
        await mail(house, sender)
    await mail(house, "secret@theirs.test", "globex")
    browser = await house.person(Role.AUDITOR)
    for days in ("1", "7", "30", "90", "365", "x"):
        page = (await browser.get(f"/c/acme/reports?days={days}")).text
        assert '<th scope="row">news@big.test</th><td class="number">2</td>' in page
        assert '<th scope="row">a@acme.test</th><td class="number">3</td>' in page
        assert '<th scope="row">EICAR</th><td class="number">3</td>' in page
        assert "Delivered within 5.0" in page
        assert "<p>Mail report of acme, 20" in page
        assert "secret" not in page
        assert 'action="add"' not in page
    answer = await browser.get("/c/acme/reports.csv?days=7")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.reader(io.StringIO(answer.text.removeprefix("\ufeff"))))
    assert ["news@big.test", "2"] in rows
    assert ["'=1+1@evil.test", "1"] in rows
    assert ["In all", "6", "6", "0", "0", "0"] in rows
    assert "secret" not in answer.text
    others = [await house.person(Role.READER), await house.person(Role.OPERATOR, "")]
    for path in ("reports", "reports.csv", "reports.pdf"):
        assert (await browser.get(f"/c/globex/{path}")).status == 404
        assert [(await person.get(f"/c/acme/{path}")).status for person in others] == [403, 403]


async def test_a_pdf_has_names_in_their_own_letters_where_its_font_has_them(house: ConsoleHouse) -> None:
    for sender in ("ελένη@πόλη.test", "иван@пример.test", "北京@例.test"):
        await mail(house, sender)
    found = await house.desk.reports.report(OWNER, customer="acme", days=7)
    for language, told in (("en", "written in Latin letters"), ("it", "scritto in lettere latine")):
        said = said_by(report_pdf.pdf(found, language, house.clock.now()))
        assert "ελένη@πόλη.test" in said
        assert "иван@пример.test" in said
        assert "bei jing@li.test*" in said
        assert "?" not in said
        assert told in said
    plain = said_by(report_pdf.pdf(found.model_copy(update={"senders": []}), "en", house.clock.now()))
    assert "written in Latin letters" not in plain


def said_by(octets: bytes) -> str:
    document = PdfDocument(octets)
    return "\n".join(page.get_textpage().get_text_range() for page in document)


# --- by mail


async def schedule(house: ConsoleHouse, browser: Browser, period: str, address: str) -> None:
    accounts = (await house.desk.accounts.accounts(OWNER, customer="acme")).accounts
    account = next(each.id for each in accounts if each.address == address)
    answer = await browser.fill("/c/acme/reports", {"action": "add", "account": account, "period": period})
    assert answer.to == "/c/acme/reports?done=report-added", answer.text


async def sent(house: ConsoleHouse, store: MemoryStore) -> list[EmailMessage]:
    """Return the reports that were sent."""
    outbox = Outbox(house.book, house.bus, house.mail_path(store), "one")
    while await outbox.turn():
        pass
    found = []
    for event in house.bus.events(RECEIVED):
        assert isinstance(event, Received)
        message = message_from_bytes(bytes(unpack(store.objects[event.key])[1]), policy=default)
        assert isinstance(message, EmailMessage)
        if message.get_content_type() == "multipart/mixed":
            found.append(message)
    return found


def files(message: EmailMessage) -> Mapping[str, bytes]:
    return {str(part.get_filename()): part.get_payload(decode=True) for part in message.iter_attachments()}  # type: ignore[misc]  # octets, of what is base64


async def test_a_report_is_sent_once_for_its_period_whoever_looks_and_however_often(house: ConsoleHouse) -> None:
    browser = await house.person(Role.OWNER)
    await schedule(house, browser, "daily", "owner@acme.test")
    store, clocks = MemoryStore(), [Scheduler(house.book), Scheduler(house.book)]
    await mail(house)
    assert [await each.order_due() for each in clocks] == [0, 0]  # the day is not over
    house.clock.advance(DAY + SETTLES)
    assert [await each.order_due() for each in clocks] == [1, 0]
    assert await Scheduler(house.book).order_due() == 0  # after a restart
    (message,) = await sent(house, store)
    assert message["Subject"] == "Mail report of acme, 2023-11-14 to 2023-11-14"
    assert message["To"] == "owner@acme.test"
    body = message.get_body(("plain",))
    assert body is not None
    assert "Received: 2" in body.get_content()
    assert "https://console.test/c/acme/reports" in body.get_content()
    found = files(message)
    assert list(found) == ["acme-2023-11-14-2023-11-14.pdf", "acme-2023-11-14-2023-11-14.csv"]
    drawn, sheet = found.values()
    assert (drawn[:5], drawn.rstrip()[-5:], b"/Lang (en)" in drawn) == (b"%PDF-", b"%%EOF", True)
    assert b"news@big.test,1\r\n" in sheet
    house.clock.advance(5 * DAY)  # the console was down: of what was missed the last is sent
    assert await clocks[0].order_due() == 1
    assert sorted(each["Subject"][-10:] for each in await sent(house, store)) == ["2023-11-14", "2023-11-19"]


async def test_an_order_that_is_carried_out_twice_is_one_message(house: ConsoleHouse) -> None:
    """As after a crash between the publishing and the emptied outbox."""
    browser = await house.person(Role.OWNER)
    await schedule(house, browser, "weekly", "owner@acme.test")
    house.clock.advance(8 * DAY)
    assert await Scheduler(house.book).order_due() == 1
    store = MemoryStore()
    path = house.mail_path(store)
    orders = []

    class Twice:
        async def send(self, order: object) -> None:
            orders.append(order)
            for _ in range(2):
                await path.send(order)  # type: ignore[arg-type]  # the MailOrder it is given
                house.clock.advance(1)

    outbox = Outbox(house.book, house.bus, Twice(), "one")
    while await outbox.turn():
        pass
    events = [
        event for event in house.bus.events(RECEIVED) if isinstance(event, Received) and "report" in event.subject
    ]
    assert len(events) == 2
    assert events[0] == events[1]
    assert len(store.objects[events[0].key]) > events[0].size


async def test_who_may_not_see_it_is_sent_nothing(house: ConsoleHouse) -> None:
    owner = await house.person(Role.OWNER)
    auditor = await house.person(Role.AUDITOR)
    reader = await house.person(Role.READER)
    del reader
    accounts = {each.role: each.id for each in (await house.desk.accounts.accounts(OWNER, customer="acme")).accounts}
    add = {"action": "add", "period": "daily"}
    refused = await owner.fill("/c/acme/reports", {**add, "account": accounts[Role.READER]})
    assert "may not see reports" in refused.text
    assert (await auditor.fill("/c/acme/reports", {**add, "account": accounts[Role.AUDITOR]})).status == 403
    assert (await owner.fill("/c/acme/reports", {**add, "account": accounts[Role.AUDITOR]})).status == 303
    assert "has it already" in (await owner.fill("/c/acme/reports", {**add, "account": accounts[Role.AUDITOR]})).text
    assert (await owner.fill("/c/acme/reports", {**add, "account": "x"})).status == 404
    house.clock.advance(2 * DAY)
    assert await Scheduler(house.book).order_due() == 1
    async with house.book.database.writing() as connection:
        await connection.execute(
            update(ACCOUNTS).where(ACCOUNTS.c.id == accounts[Role.AUDITOR]).values(role="read-only")
        )
    assert await sent(house, MemoryStore()) == []


async def test_it_comes_in_its_readers_language_and_ends_with_the_licence_or_by_hand(house: ConsoleHouse) -> None:
    browser = await house.person(Role.OWNER)
    async with house.book.database.writing() as connection:
        await connection.execute(update(ACCOUNTS).values(language="it"))
    await schedule(house, browser, "monthly", "owner@acme.test")
    house.clock.advance(31 * DAY)
    assert await Scheduler(house.book).order_due() == 1
    (message,) = await sent(house, MemoryStore())
    assert message["Subject"] == "Rapporto di posta di acme, dal 2023-11-01 al 2023-11-30"
    assert b"Mittenti principali" in list(files(message).values())[1]
    async with house.book.database.writing() as connection:
        await connection.execute(update(CUSTOMERS).values(trial_until=1.0, paid_until=2.0))
    house.clock.advance(31 * DAY)
    assert await Scheduler(house.book).order_due() == 0
    async with house.book.database.writing() as connection:
        await connection.execute(update(CUSTOMERS).values(paid_until=1e12))
    (there,) = (await house.desk.reports.schedules(OWNER, customer="acme")).schedules
    await house.desk.reports.remove_schedule(OWNER, customer="acme", schedule=there.id)
    house.clock.advance(31 * DAY)
    assert await Scheduler(house.book).order_due() == 0
