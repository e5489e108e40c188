"""A policy made on its pages, tried on what came in, and published as the customers file would publish it."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from schemas.events import (
    Action,
    Disposition,
    Envelope,
    Evidence,
    Group,
    Match,
    Received,
    Rule,
    SenderEntry,
    Status,
    Verdict,
)
from services.console.book import Author
from services.console.export import to_yaml
from services.console.licence import DAY
from services.console.look_back import PAGE
from services.console.roles import Role
from services.console.settings import current
from services.core.customers import CustomerSpec, parse_customers
from services.core.ids import message_id
from services.policy.decide import decide, with_received
from services.policy.defaults import RULES
from services.replay.decide import as_joined
from services.runtime.yaml_tree import parse_tree
from services.trace.decide import facts
from tests.house.asgi import Browser
from tests.house.console import ConsoleHouse, console_house
from tests.samples import received, verdict

POLICIES = "/c/acme/policies"
RULE = f"{POLICIES}/rule"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[ConsoleHouse]:
    async with console_house(tmp_path) as house:
        await house.customer("acme")
        await house.customer("globex")
        yield house


async def save(browser: Browser, path: str = RULE, **form: Any) -> str:
    """Fill in the page's form, whichever version it has, and return the answer's text."""
    version = re.search(r'name="version" value="(\w+)"', (await browser.get(path)).text)
    assert version is not None
    answer = await browser.fill(path, {"on": "yes", "action": "save", "version": version[1], **form})
    return answer.text if answer.status != 303 else answer.to


def rules(house: ConsoleHouse) -> tuple[Rule, ...]:
    known = house.published("acme")
    assert known is not None
    return known.rules


async def test_a_rule_is_made_moved_switched_off_changed_and_removed(house: ConsoleHouse) -> None:
    browser = await house.person(Role.ADMINISTRATOR)
    assert "these are Gatepost" in (await browser.get(POLICIES)).text
    form: dict[str, Any] = {
        "name": "partner",
        "place": "1",
        "senders": "@partner.test\r\nboss@else.test\r\n",
        "auth": "dmarc=pass",
        "attachments": ".pdf\nzip",
        "max_size": "10MB",
        "min_score": "2.5",
        "status": ["spam", "suspicious"],
        "then": "deliver",
        "tag_subject": "[P]",
        "headers": "X-Partner: yes: it is",
        "stamp": " From a\r\npartner. ",
        "strip": "dangerous\n.iso\ninvoice*.doc?",
        "bcc": "archive@acme.test",
        "notify": "desk@acme.test",
    }
    assert await save(browser, **form) == f"{POLICIES}?done=policy-saved"
    await house.settle()
    made = Rule(
        name="partner",
        when=Match(
            status=(Status.SPAM, Status.SUSPICIOUS),
            senders=("@partner.test", "boss@else.test"),
            auth=("dmarc=pass",),
            attachments=(".pdf", "zip"),
            max_size=10_485_760,
            min_score=2.5,
        ),
        action=Action.DELIVER,
        tag_subject="[P]",
        add_headers=(("X-Partner", "yes: it is"),),
        stamp="From a partner.",
        strip=("dangerous", ".iso", "invoice*.doc?"),
        bcc=("archive@acme.test",),
        notify=("desk@acme.test",),
    )
    assert rules(house) == (made, *RULES)  # what protected before still does
    shown = (await browser.get(f"{RULE}?name=partner")).text
    assert ">@partner.test\nboss@else.test</textarea>" in shown
    assert 'value="10MB"' in shown
    assert 'value="spam" checked' in shown

    await save(browser, POLICIES, action="down", rule="partner")
    await save(browser, POLICIES, action="off", rule="virus")
    await house.settle()
    assert [rule.name for rule in rules(house)][:2] == ["virus", "partner"]
    assert rules(house)[0].off
    await save(browser, f"{RULE}?name=partner", name="friends", place="3", tag_subject="[F]")
    await house.settle()
    assert rules(house)[2] == Rule(name="friends", tag_subject="[F]")
    await save(browser, f"{RULE}?name=friends", action="delete")
    await house.settle()
    assert "friends" not in [rule.name for rule in rules(house)]
    line = (await browser.get("/c/acme/audit")).text
    assert line.count("policy-changed") == 5
    assert "boss@else.test" in line


async def test_what_cannot_be_meant_is_said_and_what_was_filled_in_stays(house: ConsoleHouse) -> None:
    browser = await house.person(Role.OWNER)
    for form, said in (
        ({"name": "x", "then": "delete", "tag_subject": "[X]"}, "a rule that deletes a message changes nothing in it"),
        ({"name": "x"}, "a rule that does nothing"),
        ({"name": "virus", "then": "delete"}, "another rule is named"),
        ({"name": "x", "then": "deliver", "recipients": "@other.test"}, "in none of this customer"),
        ({"name": "x", "strip": "EXE files"}, "is none of all, dangerous, sealed"),
        ({"name": "x", "then": "delete", "strip": "all"}, "a rule that deletes a message changes nothing in it"),
        ({"name": "x", "headers": "no colon"}, "A header is written"),
        ({"name": "x", "headers": "Subject: x"}, "is not a header that a rule may add"),
        ({"name": "x", "then": "deliver", "min_size": "2MB", "max_size": "1MB"}, "min_size is above max_size"),
        ({"name": "x", "then": "deliver", "auth": "dmarc=maybe"}, "is not a result such as dmarc=fail"),
        ({"name": "x", "then": "explode"}, "This is not as it should be: then"),
        ({"name": "", "then": "deliver"}, "This is not as it should be: name"),
        ({"name": "x", "bcc": "\n".join(f"a{n}@b.test" for n in range(11))}, "This is not as it should be: bcc"),
        ({"name": '"><script>', "then": "deliver", "evidence": "lower"}, "is not a code"),
    ):
        shown = await save(browser, **form)
        assert said in shown, (form, shown)
        assert "<script" not in shown
        assert f'value="{form["name"]}"' in shown or form["name"].startswith('"')
    await house.settle()
    assert rules(house) == ()
    assert (await browser.get(f"{RULE}?name=nobody")).status == 404


async def test_a_group_is_made_used_and_not_taken_away_from_under_a_rule(house: ConsoleHouse) -> None:
    browser = await house.person(Role.OWNER)
    bad = await save(browser, POLICIES, action="groups", groups="sales: ann@acme.test")
    assert "in none of this customer" in bad  # it has no domain yet
    assert ">sales: ann@acme.test</textarea>" in bad
    spec = parse_customers(parse_tree(FILE, "file"))
    await house.desk.customers.take_in(spec, Author("test"))
    await save(browser, POLICIES, action="groups", groups="sales: ann@acme.test, @acme.test\n")
    await save(browser, name="sales", place="1", recipients="group:sales", tag_subject="[S]")
    await house.settle()
    known = house.published("acme")
    assert known is not None
    assert known.groups == (Group(name="sales", members=("ann@acme.test", "@acme.test")),)
    assert known.rules[0].when.recipients == ("group:sales",)
    assert "is none of this customer" in await save(browser, POLICIES, action="groups", groups="")
    exported = await browser.fill(f"{POLICIES}/yaml", {"action": "export"})
    await save(browser, f"{POLICIES}/yaml", yaml="rules: []")
    await save(browser, f"{POLICIES}/yaml", yaml=exported.text)
    await house.settle()
    assert house.published("acme") == known


async def test_two_who_change_it_at_once_do_not_undo_each_other(house: ConsoleHouse) -> None:
    one, two = await house.person(Role.OWNER), await house.person(Role.ADMINISTRATOR)
    version = re.search(r'name="version" value="(\w+)"', (await one.get(RULE)).text)
    assert version is not None
    await save(two, name="theirs", then="deliver")
    late = await one.fill(
        RULE, {"name": "mine", "on": "yes", "then": "delete", "version": version[1], "action": "save"}
    )
    assert (late.status, "Somebody has changed the policy" in late.text) == (409, True)
    await house.settle()
    assert "mine" not in [rule.name for rule in rules(house)]


async def test_yaml_out_and_in_is_the_same_and_what_the_customers_file_makes_of_it(house: ConsoleHouse) -> None:
    browser = await house.person(Role.OWNER)
    path = f"{POLICIES}/yaml"
    await save(
        browser, name="big", place="2", min_size="1536KB", status=["virus"], then="quarantine", notify="a@b.test"
    )
    await save(browser, POLICIES, action="unscanned", unscanned="deliver")
    await house.settle()
    known = house.published("acme")
    assert known is not None
    assert (known.hold_unscanned, known.unscanned) == (False, Action.DELIVER)
    exported = await browser.fill(path, {"action": "export"})
    assert exported.headers["content-type"] == "application/yaml"
    for text in ("", "rules: []"):
        assert (await save(browser, path, yaml=text)).endswith("policy-saved")
        await house.settle()
        emptied = house.published("acme")
        assert emptied is not None
        assert (emptied.rules, emptied.hold_unscanned) == ((), True)
    await save(browser, path, yaml=exported.text)
    await house.settle()
    assert house.published("acme") == known
    whole = msgspec.structs.replace(known, salt="", origin="", domains=())
    domain = msgspec.structs.replace(
        parse_customers(parse_tree(FILE, "file"))[0].customer, rules=whole.rules, hold_unscanned=False
    )
    domain = msgspec.structs.replace(domain, unscanned=whole.unscanned)
    again = parse_customers(parse_tree(to_yaml([CustomerSpec(domain)]), "again"))[0].customer
    assert again.rules == known.rules
    bad = await save(browser, path, yaml="rules:\n  - {name: a}\n  - nonsense")
    assert "2: rules[0]: a rule that does nothing" in bad


FILE = 'customers: [{id: acme, domains: [{name: acme.test, relay: ["mx.acme.test"], recipients: any}]}]'


async def test_a_policy_that_is_as_it_was_changes_and_says_nothing(house: ConsoleHouse) -> None:
    browser = await house.person(Role.OWNER)
    exported = await browser.fill(f"{POLICIES}/yaml", {"action": "export"})
    await save(browser, f"{POLICIES}/yaml", yaml=exported.text)
    await house.settle()
    assert rules(house) == ()  # Gatepost's own, also when they are better tomorrow
    assert "policy-changed" not in (await browser.get("/c/acme/audit")).text


# --- what-if


async def came(house: ConsoleHouse, at: float, *verdicts: tuple[str, Status, float], **changes: Any) -> Received:
    """Let the trace know a message and what was said and decided of it."""
    event = received(
        id=message_id(at, lambda size: bytes([len(told) % 256]) * size),
        customer=changes.pop("customer", "acme"),
        received_at=at,
        plan=tuple(scanner for scanner, _, _ in verdicts),
        **changes,
    )
    told.append(event.id)
    answers = [verdict(event, scanner, status, score=score, scanned_at=at) for scanner, status, score in verdicts]
    async with house.book.reading() as connection:
        customer = await current(connection, event.customer)
    pending = with_received(None, event, 0)
    pending = msgspec.structs.replace(pending, verdicts=tuple(answers))
    disposition = decide(pending, customer, at)
    assert isinstance(disposition, Disposition)
    events: list[Received | Verdict | Disposition] = [event, *answers, disposition]
    await house.trace.write([facts(each, at) for each in events])
    return event


told: list[str] = []


async def test_what_if_counts_who_would_be_treated_otherwise_and_shows_them_and_saves_nothing(
    house: ConsoleHouse,
) -> None:
    browser = await house.person(Role.ADMINISTRATOR)
    now = house.clock.now()
    await came(house, now - 8 * DAY, ("content", Status.CLEAN, 4.0))  # too long ago
    await came(house, now - DAY, ("content", Status.CLEAN, 4.0), customer="globex", subject="theirs")
    two = Envelope(reverse_path="a@b.test", recipients=("x@acme.test", "y@acme.test"), client_ip="192.0.2.1")
    odd = await came(house, now - DAY, ("content", Status.CLEAN, 4.0), subject="<odd>", envelope=two)
    await came(house, now - DAY, ("content", Status.CLEAN, 0.0), subject="fine")
    await came(house, now - DAY, ("content", Status.SPAM, 10.0), subject="spam")
    form: dict[str, Any] = {"name": "odd", "place": "1", "min_score": "3", "then": "quarantine", "action": "try"}
    shown = await save(browser, **form)
    assert re.search(r"3 messages looked at in [\d.]+ s; 1 would be treated otherwise", shown), shown
    assert f'href="/c/acme/messages/{odd.id}">&lt;odd&gt;</a>' in shown
    assert "x@acme.test, y@acme.test" in shown
    assert "deliver (default)" in shown
    assert "hold in quarantine (odd: score 4.0 of 3)" in shown
    assert 'name="min_score" type="text" value="3"' in shown
    assert "theirs" not in shown
    assert (await browser.get(f"/c/acme/messages/{odd.id}")).status == 200
    without = await save(browser, f"{RULE}?name=spam", action="try-delete")
    assert "1 would be treated otherwise" in without
    assert "deliver; X-Spam-Flag: YES (default: no rule objects)" in without
    await house.settle()
    assert rules(house) == ()
    assert "policy-changed" not in (await browser.get("/c/acme/audit")).text


async def test_what_if_knows_lists_and_goes_over_several_pages(house: ConsoleHouse) -> None:
    now = house.clock.now()
    house.senders.apply(SenderEntry(customer="acme", whom="*", sender="a@b.test", approved=False, by="x", at=now))
    for count in range(PAGE + 1):
        await came(house, now - 60 - count, ("content", Status.CLEAN, 4.0), subject=f"n{count}")
    caller_rules = [{"name": "odd", "when": {"min_score": 3}, "then": "quarantine"}]
    program = await house.person(Role.OWNER)
    version = re.search(r'name="version" value="(\w+)"', (await program.get(RULE)).text)
    assert version is not None
    blocked = Envelope(reverse_path="a@b.test", recipients=("x@acme.test",), client_ip="192.0.2.1")
    await came(house, now - 5, ("content", Status.CLEAN, 4.0), envelope=blocked)
    yaml = f"rules: {caller_rules}"
    shown = await save(program, f"{POLICIES}/yaml", yaml=yaml, action="try")
    assert f"{PAGE + 2} messages looked at" in shown
    assert f"{PAGE + 1} would be treated otherwise" in shown  # who is blocked is held as it is


def test_what_was_one_of_a_burst_is_judged_as_one_again() -> None:
    message = received()
    burst = Evidence(code="OUTBREAK", text="one of 90 alike", score=15.0)
    said = (verdict(message, "outbreak", score=0.5), verdict(message, "virus"))
    decided = Disposition(
        received=message,
        branches=(),
        status=Status.SPAM,
        score=15.5,
        evidence=(burst,),
        scanners=("outbreak/1=spam", "virus/1=clean"),
        decided_at=1.0,
    )
    outbreak, virus = as_joined(said, decided)
    assert (outbreak.status, outbreak.score, outbreak.evidence) == (Status.SPAM, 15.5, (burst,))
    assert virus == said[1]
    assert as_joined(said, msgspec.structs.replace(decided, scanners=("outbreak/1=clean",))) == said


async def test_an_operator_changes_policies_and_sees_nobodys_mail(house: ConsoleHouse) -> None:
    browser = await house.person(Role.OPERATOR, customer="")
    assert 'value="try"' not in (await browser.get(RULE)).text
    assert (await browser.fill(RULE, {"name": "x", "then": "deliver", "action": "try"})).status == 403
    reader = await house.person(Role.READER)
    page = (await reader.get(POLICIES)).text
    assert 'value="up"' not in page
    assert (await reader.fill(RULE, {"name": "x", "then": "deliver", "action": "save"})).status == 403
