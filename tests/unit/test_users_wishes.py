"""What users ask for: who decides finds it by the mail's link, which does nothing by itself; and the user is told."""

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
from services.console.accounts import add_account
from services.console.book import Author
from services.console.caller import Caller
from services.console.outbox import LEASE, Outbox
from services.console.roles import Role
from services.console.traffic_models import HeldAct
from services.console.users.answers import KEPT, Answers
from services.core.stored import unpack
from services.runtime.fakes_store import MemoryStore
from tests.house.users import UsersHouse, users_house

ANNA, BOB = "anna@acme.test", "bob@acme.test"
OWNER = Caller(account="o", customer="acme", role=Role.OWNER, address="owner@acme.test")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[UsersHouse]:
    async with users_house(tmp_path, one_database=True) as house:
        await house.domain("acme", "alt.test", users_release="none")
        yield house


async def wish(house: UsersHouse, address: str = ANNA, *more: str, subject: str = "offer") -> str:
    """Let a new user ask for a message; return its id."""
    browser = await house.signed_in("acme", address)
    message = await house.hold("acme", address, *more, subject=subject)
    assert (await browser.fill(f"/held/{message}", {"action": "release"})).to.endswith("done=held-ask")
    await house.carry_out()
    return message


async def decide(house: UsersHouse, action: str, message: str, *recipients: str) -> None:
    """Let an administrator decide, and the quarantine carry it out."""
    items = [{"id": message, "recipient": each} for each in recipients]
    body = HeldAct.model_validate({"action": action, "items": items})
    await house.console.desk.held.act_held(OWNER, customer="acme", body=body)
    await house.console.settle()
    await house.carry_out()


async def written(house: UsersHouse) -> dict[str, email.message.EmailMessage]:
    """Send what is ordered by the real post; return the mails by whom they are to."""
    house.console.clock.advance(LEASE + 1)
    store = MemoryStore(house.console.clock)
    before = [event for event in house.console.bus.events(RECEIVED) if isinstance(event, Received)]
    outbox = Outbox(house.console.book, house.console.bus, house.console.mail_path(store), "another")
    while await outbox.turn():
        pass
    house.console.clock.advance(LEASE + 1)  # and the house has its turn again
    mails = {}
    for event in house.console.bus.events(RECEIVED):
        assert isinstance(event, Received)
        if event in before:
            continue
        octets = unpack(await store.get(event.key))[1]
        parsed = email.message_from_bytes(bytes(octets), policy=email.policy.default)
        assert isinstance(parsed, email.message.EmailMessage)
        mails[event.envelope.recipients[0]] = parsed
    return mails


def text_of(mail: email.message.EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    content: str = part.get_content()
    return content


async def test_who_decides_finds_what_is_asked_for_by_the_link_and_no_look_does_anything(house: UsersHouse) -> None:
    await wish(house, ANNA, subject="wanted one")
    await house.hold("acme", BOB, subject="another")
    mails = await written(house)
    (link,) = re.findall(r"https://console.test(/\S+)", text_of(mails["first@acme.test"]))
    browser = await house.console.person(Role.HELPDESK)
    for _ in range(2):
        page = (await browser.get(link)).text
        assert ("wanted one" in page, "another" in page) == (True, False)
    await house.carry_out()
    assert await Answers(house.console.book).tell_due() == 0  # nothing was decided by looking


@pytest.mark.parametrize(
    ("action", "said"), [("release", "Your organisation has released"), ("delete", "Your organisation has deleted")]
)
async def test_the_user_is_told_what_was_decided_once(house: UsersHouse, action: str, said: str) -> None:
    message = await wish(house, ANNA, BOB, subject="quarterly numbers")
    answers = Answers(house.console.book)
    assert await answers.tell_due() == 0
    await decide(house, action, message, BOB)  # another's part of it
    assert await answers.tell_due() == 0
    await written(house)
    await decide(house, action, message, ANNA)
    assert (await answers.tell_due(), await answers.tell_due()) == (1, 0)
    mails = await written(house)
    assert list(mails) == [ANNA]
    text = text_of(mails[ANNA])
    assert all(each in text for each in (said, "quarterly numbers", f"https://held.test/held/{message}"))


async def test_what_nobody_decides_is_told_when_its_time_is_over(house: UsersHouse) -> None:
    await wish(house)
    await written(house)
    house.console.clock.advance(31 * 86_400.0)
    await house.quarantine.sweep()
    assert await Answers(house.console.book).tell_due() == 1
    assert "is over" in text_of((await written(house))[ANNA])


async def test_of_a_user_who_is_gone_and_of_what_is_forgotten_nothing_is_told(house: UsersHouse) -> None:
    message = await wish(house)
    users = house.console.desk.users
    (anna,) = (await users.users(OWNER, customer="acme", search=ANNA)).users
    await users.remove_user(OWNER, customer="acme", user=anna.id)
    await decide(house, "release", message, ANNA)
    answers = Answers(house.console.book)
    assert await answers.tell_due() == 0
    await wish(house, BOB)
    house.console.clock.advance(KEPT + 1)
    await house.quarantine.sweep()
    assert await answers.tell_due() == 0


async def test_who_sees_none_of_the_users_mail_is_not_told_of_his_wish(house: UsersHouse) -> None:
    async with house.console.book.change(Author("test")) as change:
        for name, domain in (("in", "acme.test"), ("out", "alt.test")):
            body = models.NewAccount(address=f"{name}@acme.test", role=Role.HELPDESK, domains=[domain])
            await add_account(change, "acme", body)
    await written(house)  # their invitations
    await wish(house)
    assert sorted(await written(house)) == ["first@acme.test", "in@acme.test"]
