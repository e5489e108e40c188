"""Data-loss rules made on their pages, tried on what was found in mail that went out, and published."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import select

from schemas.events import Account, Customer, DataRule, Direction, Disposition, Domain, Evidence, Host, Outbound, Status
from services.console.book import Author
from services.console.caller import Caller
from services.console.data_loss_models import NewDataLoss
from services.console.export import to_yaml
from services.console.roles import Role
from services.console.tables import AUDIT
from services.core.customers import CustomerSpec, parse_customers
from services.policy.decide import decide, with_received
from services.runtime.yaml_tree import parse_tree
from services.trace.decide import facts
from tests.house.asgi import Browser
from tests.house.console import ConsoleHouse, console_house
from tests.samples import received, verdict

OF = "/c/acme/data-loss"
RULE = f"{OF}/rule"
OWNER = Caller(account="o", customer="acme", role=Role.OWNER, address="o@acme.test")
HASH = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNoaGFzaGhhc2hoYXNoaGFzaGhhc2g"
CARDS = DataRule(name="cards", then="copy", numbers=("card",), bcc=("audit@acme.test",))


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[ConsoleHouse]:
    async with console_house(tmp_path) as house:
        outbound = Outbound(enabled=True, accounts=(Account(name="mta@acme.test", password=HASH),))
        domain = Domain(name="acme.test", relay=(Host(host="198.41.0.4"),))
        spec = CustomerSpec(Customer(id="acme", domains=(domain,), outbound=outbound))
        await house.desk.customers.take_in([spec], Author("file"))
        await house.settle()
        yield house


def rules(house: ConsoleHouse) -> tuple[DataRule, ...]:
    known = house.published("acme")
    assert known is not None
    return known.outbound.data_loss


async def save(browser: Browser, path: str = RULE, **form: Any) -> str:
    """Fill in the page's form, whichever version it has, and return where it leads, or the page."""
    version = re.search(r'name="version" value="(\w+)"', (await browser.get(path)).text)
    assert version is not None
    answer = await browser.fill(path, {"action": "save", "version": version[1], "at_least": "1", **form})
    return answer.text if answer.status != 303 else answer.to


async def test_a_rule_is_made_changed_and_removed_and_the_file_says_the_same(house: ConsoleHouse) -> None:
    browser = await house.person(Role.ADMINISTRATOR)
    form: dict[str, Any] = {
        "name": "cards",
        "then": "block",
        "numbers": ["card", "iban"],
        "words": "Top Secret\r\n",
        "patterns": "(?i)project\\s+zebra",
        "files": "A" * 64,
        "unread": "yes",
        "at_least": "3",
        "senders": "@acme.test",
        "recipients": "@freemail.test",
        "bcc": "audit@acme.test",
    }
    assert await save(browser, **form) == f"{OF}?done=policy-saved"
    await house.settle()
    made = DataRule(
        name="cards",
        then="block",
        numbers=("card", "iban"),
        words=("Top Secret",),
        patterns=("(?i)project\\s+zebra",),
        files=("a" * 64,),
        unread=True,
        at_least=3,
        senders=("@acme.test",),
        recipients=("@freemail.test",),
        bcc=("audit@acme.test",),
    )
    assert rules(house) == (made,)
    known = house.published("acme")
    assert known is not None
    (again,) = parse_customers(parse_tree(to_yaml([CustomerSpec(known)]), "file"))
    assert again.customer.outbound == known.outbound  # import and export give the same
    page = (await browser.get(OF)).text
    assert "payment card" in page
    shown = (await browser.get(f"{RULE}?name=cards")).text
    assert all(each in shown for each in ("Top Secret", 'value="iban" checked', "project\\s+zebra"))

    assert await save(browser, f"{RULE}?name=cards", name="cards", then="quarantine", numbers="card") == (
        f"{OF}?done=policy-saved"
    )
    await save(browser, name="words", then="copy", words="zebra", bcc="audit@acme.test")
    await house.settle()
    assert [(rule.name, rule.then) for rule in rules(house)] == [("cards", "quarantine"), ("words", "copy")]
    await save(browser, f"{RULE}?name=cards", action="delete")
    await house.settle()
    assert [rule.name for rule in rules(house)] == ["words"]
    assert known.outbound.accounts[0].password == HASH  # and nobody reads it in the log
    async with house.book.reading() as connection:
        lines = (await connection.execute(select(AUDIT).where(AUDIT.c.what == "data-loss-changed"))).all()
    told = repr([tuple(line) for line in lines])  # all of each: a row's own repr is cut off
    assert (len(lines), HASH in told, "Top Secret" in told) == (4, False, True)


async def test_what_cannot_be_meant_is_said_and_what_was_filled_in_stays(house: ConsoleHouse) -> None:
    browser = await house.person(Role.OWNER)
    for form, said in (
        ({"name": "x", "then": "block"}, "looks for nothing"),
        ({"name": "X Y", "then": "block", "words": "z"}, "is no name"),
        ({"name": "x", "then": "block", "patterns": "("}, "is no RE2 expression"),
        ({"name": "x", "then": "block", "files": "abc"}, "is not a SHA-256"),
        ({"name": "x", "then": "copy", "words": "z"}, "a rule that copies needs bcc"),
        ({"name": "x", "then": "block", "words": "z", "bcc": "me@else.test"}, "none of this customer"),
        ({"name": "x", "then": "block", "words": "z", "senders": "@else.test"}, "none of this customer"),
        ({"name": "x", "then": "explode", "words": "z"}, "then"),
        ({"name": "x", "then": "block", "words": "z", "at_least": "many"}, "at_least"),
    ):
        page = await save(browser, **form)
        assert said in page.replace("&#39;", "'"), (form, page)
        assert f'value="{form["name"]}"' in page
    await house.settle()
    assert rules(house) == ()


async def test_of_two_who_change_them_the_second_is_told(house: ConsoleHouse) -> None:
    browser = await house.person(Role.OWNER)
    await save(browser, name="one", then="block", words="z")
    answer = await browser.fill(
        RULE, {"action": "save", "version": "old", "name": "two", "then": "block", "words": "z"}
    )
    assert (answer.status, "Somebody has changed" in answer.text) == (409, True)
    await house.settle()
    assert [rule.name for rule in rules(house)] == ["one"]


async def test_what_was_found_then_says_what_other_rules_would_have_done(house: ConsoleHouse) -> None:
    desk, now = house.desk.data_loss, house.clock.now()
    first = (await desk.data_loss(OWNER, customer="acme")).version
    body = NewDataLoss.model_validate({"version": first, "rules": [msgspec.to_builtins(CARDS)]})
    version = (await desk.set_data_loss(OWNER, customer="acme", body=body)).version
    await house.settle()
    known = house.published("acme")
    assert known is not None
    for found in (True, False):
        event = received(
            customer="acme", domain="else.test", received_at=now - 60, plan=("dlp",), direction=Direction.OUTBOUND
        )
        piece = (Evidence(code="DLP_CARDS", text="payment card number ending in 1111"),) if found else ()
        said = verdict(event, "dlp", Status.CLEAN, evidence=piece, scanned_at=now - 60)
        pending = msgspec.structs.replace(with_received(None, event, 0), verdicts=(said,))
        decided = decide(pending, known, now - 60)
        assert isinstance(decided, Disposition)
        await house.trace.write([facts(each, now - 60) for each in (event, said, decided)])

    def tried(**changes: Any) -> NewDataLoss:
        rules = [{**msgspec.to_builtins(CARDS), **changes}]
        return NewDataLoss.model_validate({"version": version, "rules": rules})

    blocks = await desk.try_data_loss(OWNER, customer="acme", body=tried(then="block", bcc=[]))
    assert (blocks.found.messages, blocks.found.otherwise, blocks.unknown) == (2, 1, [])
    assert [(each.before.action, each.after.action, each.after.refuse) for each in blocks.found.changes] == [
        ("deliver", "delete", True)
    ]
    other = await desk.try_data_loss(OWNER, customer="acme", body=tried(numbers=["iban"]))
    assert other.unknown == ["cards"]
    page = await save(
        await house.person(Role.OWNER), f"{RULE}?name=cards", action="try", name="cards", then="block", numbers="card"
    )
    assert "tell its sender" in page
    await house.settle()
    assert rules(house) == (CARDS,)  # nothing was saved
