"""Lists of senders, protected names, TLS and retention: on their pages, to the topics, with what was before."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from schemas.catalog import SENDERS
from schemas.events import Brand, Customer, Domain, Host, Person, Protect, SenderEntry
from services.console.book import Author
from services.console.roles import Role
from services.core.customers import CustomerSpec
from services.core.senders import ALL, names_of
from tests.house.console import ConsoleHouse, console_house

SENDER = "/c/acme/senders"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[ConsoleHouse]:
    async with console_house(tmp_path) as house:
        pinned = Host(host="mx3.acme.test", tls="pinned", ca_file="acme.pem")
        domain = Domain(name="acme.test", relay=(Host(host="mx1.acme.test"), Host(host="mx2.acme.test"), pinned))
        spec = CustomerSpec(Customer(id="acme", domains=(domain, msgspec.structs.replace(domain, name="acme.example"))))
        await house.desk.customers.take_in([spec], Author("test"))
        await house.customer("globex")
        yield house


def published(house: ConsoleHouse) -> Customer:
    known = house.published("acme")
    assert known is not None
    return known


async def test_senders_are_listed_for_all_a_domain_and_a_recipient_and_the_narrowest_counts(
    house: ConsoleHouse,
) -> None:
    browser = await house.person(Role.ADMINISTRATOR)
    for form in (
        {"senders": "Boss@Partner.test\n\n@news.test\n", "for": "all", "list": "blocked"},
        {"senders": "boss@partner.test", "for": "@acme.test", "list": "approved"},
        {"senders": "boss@partner.test", "for": "ann@acme.test", "list": "blocked"},
    ):
        assert (await browser.fill(SENDER, form)).to == f"{SENDER}?done=senders-changed"
    await house.settle()
    known, names = published(house), names_of("boss@partner.test")
    for recipient, approved in (("ann@acme.test", False), ("ben@acme.test", True), ("c@acme.example", False)):
        listed = house.senders.find(known, recipient, names)
        assert listed is not None
        assert listed.entry.approved is approved
        assert listed.entry.by == "administrator@acme.test"
    page = (await browser.get(SENDER)).text
    assert page.index("@news.test") < page.index(">@acme.test<") < page.index(">recipient:")  # all, domains, recipients
    narrowed = (await browser.get(f"{SENDER}?recipient=ben@acme.test&text=boss")).text
    assert "recipient:" not in narrowed
    assert "@news.test" not in narrowed
    digest = re.search(r'name="for" value="(recipient:[0-9a-f]{64})"', page)
    assert digest is not None
    for whom in (digest[1], "all"):
        await browser.fill(SENDER, {"senders": "boss@partner.test", "for": whom, "list": "none"})
    await browser.fill(SENDER, {"senders": "never@was.test", "for": "all", "list": "none"})
    await house.settle()
    assert [(entry.whom, entry.sender) for entry in house.senders.of("acme")] == [
        (ALL, "@news.test"),
        ("@acme.test", "boss@partner.test"),
    ]
    audit = (await browser.get("/c/acme/audit")).text
    assert (audit.count("sender-listed"), audit.count("sender-unlisted")) == (4, 2)
    assert "blocked" in audit


async def test_what_cannot_be_listed_is_refused_and_nothing_of_it_is(house: ConsoleHouse) -> None:
    browser = await house.person(Role.OWNER)
    for form in (
        {"senders": "fine@b.test\nnonsense", "for": "all", "list": "approved"},
        {"senders": "a@b.test", "for": "@globex.test", "list": "approved"},
        {"senders": "a@b.test", "for": "x@else.test", "list": "blocked"},
        {"senders": "a@b.test", "for": "recipient:XYZ", "list": "blocked"},
    ):
        shown = await browser.fill(SENDER, form)
        assert (shown.status, "is no address or @domain" in shown.text) == (409, True), form
        assert form["senders"] in shown.text
    assert (await browser.fill(SENDER, {"senders": "a@b.test", "for": "all", "list": "loved"})).status == 409
    assert (await browser.fill(SENDER, {"senders": "", "for": "all", "list": "blocked"})).status == 409
    assert "is no address of yours" in (await browser.get(f"{SENDER}?recipient=x@else.test")).text
    await house.settle()
    assert list(house.bus.events(SENDERS)) == []


async def test_lists_of_others_are_not_shown(house: ConsoleHouse) -> None:
    house.senders.apply(SenderEntry(customer="globex", whom=ALL, sender="x@theirs.test", approved=True, by="x", at=1.0))
    assert "theirs" not in (await (await house.person(Role.OWNER)).get(SENDER)).text


async def test_protected_names_go_in_as_they_come_out(house: ConsoleHouse) -> None:
    browser = await house.person(Role.OWNER)
    path = "/c/acme/protection"
    form = {
        "persons": "Erika  Muster: erika@HOME.test, e@b.test\nMax Muster",
        "partners": "bank.test",
        "brands": "Acme Rocket: rocket.test, acme.test",
        "allowed": "acne.test\r\n",
    }
    assert (await browser.fill(path, form)).to.endswith("mail-saved")
    await house.settle()
    wanted = Protect(
        persons=(Person(name="Erika Muster", addresses=("erika@home.test", "e@b.test")), Person(name="Max Muster")),
        partners=("bank.test",),
        brands=(Brand(name="Acme Rocket", domains=("rocket.test", "acme.test")),),
        allowed=("acne.test",),
    )
    assert published(house).protect == wanted
    page = (await browser.get(path)).text
    assert ">Erika Muster: erika@home.test, e@b.test\nMax Muster</textarea>" in page
    bad = await browser.fill(path, {**form, "persons": "Max"})
    assert "&#39;Max&#39; is one word, and the name of many" in bad.text
    assert ">Max</textarea>" in bad.text
    assert "is not as it should be: brands.0.domains" in (await browser.fill(path, {"brands": "Rocket"})).text
    await browser.fill(path, {"persons": ""})
    await house.settle()
    assert published(house).protect == Protect()
    assert (await browser.get("/c/acme/audit")).text.count("protection-changed") == 2


async def test_retention_is_chosen_within_limits_and_what_was_promised_is_kept(house: ConsoleHouse) -> None:
    browser = await house.person(Role.ADMINISTRATOR)
    path = "/c/acme/retention"
    form = {"queue_days": "10", "delay_warning_hours": "4", "quarantine_days": "14.5", "retention_hours": "72"}
    assert (await browser.fill(path, form)).to.endswith("mail-saved")
    await house.settle()
    known = published(house)
    assert (known.delay_warning_hours, known.quarantine_days, known.retention_hours) == (4, 14.5, 72)
    for name, wrong in (
        ("queue_days", "11"),
        ("quarantine_days", "31"),
        ("quarantine_days", "0"),
        ("retention_hours", "73"),
        ("retention_hours", "-1"),
        ("delay_warning_hours", "nan"),
        ("delay_warning_hours", "x"),
    ):
        shown = await browser.fill(path, {**form, name: wrong})
        assert f"is not as it should be: {name}" in shown.text, (name, wrong)
        assert f'value="{wrong}"' in shown.text
    assert "10 days were promised" in (await browser.fill(path, {**form, "queue_days": "5"})).text
    await house.settle()
    assert published(house) == known


async def test_tls_is_chosen_for_each_host_and_pinned_certificates_stay(house: ConsoleHouse) -> None:
    browser = await house.person(Role.OWNER)
    path = "/c/acme/tls"
    assert (await browser.get(path)).text.count("<select") == 6
    hosts = [" mx1.acme.test 25", " mx2.acme.test 25", " mx3.acme.test 25"]
    form: dict[str, str | list[str]] = {"domain": "acme.test", "host": hosts, "tls": ["required", "verified", "pinned"]}
    assert (await browser.fill(path, form)).to.endswith("mail-saved")
    await house.settle()
    first, second = published(house).domains
    assert [(host.tls, host.ca_file) for host in first.relay] == [
        ("required", ""),
        ("verified", ""),
        ("pinned", "acme.pem"),
    ]
    assert [host.tls for host in second.relay] == ["", "", "pinned"]
    assert "were changed since" in (await browser.fill(path, {**form, "host": hosts[:2]})).text
    new = await browser.fill(path, {**form, "tls": ["pinned", "", "pinned"]})
    assert "The certificates for mx1.acme.test" in new.text
    # The domain's own page keeps what each host has, unless told otherwise.
    page = "/c/acme/domains/acme.test"
    assert '<option value="keep">' in (await browser.get(page)).text
    relay = "mx2.acme.test:25\nmx3.acme.test:25\nmx4.acme.test"
    assert (await browser.fill(page, {"action": "route", "relay": relay, "tls": "keep"})).status == 303
    await house.settle()
    levels = {host.host: (host.tls, host.ca_file) for host in published(house).domains[0].relay}
    assert levels == {
        "mx2.acme.test": ("verified", ""),
        "mx3.acme.test": ("pinned", "acme.pem"),
        "mx4.acme.test": ("", ""),
    }


async def test_hosts_are_let_in_and_kept_out_and_none_is_both(house: ConsoleHouse) -> None:
    browser = await house.person(Role.ADMINISTRATOR)
    path = "/c/acme/hosts"
    form = {"allow": "192.0.2.7\r\n2001:db8::/48\r\n", "block": "198.51.100.0/24", "forwarders": "203.0.113.9"}
    assert (await browser.fill(path, form)).to == f"{path}?done=mail-saved"
    await house.settle()
    assert published(house).allow == ("192.0.2.7/32", "2001:db8::/48")
    assert published(house).block == ("198.51.100.0/24",)
    assert published(house).forwarders == ("203.0.113.9/32",)
    for wrong, said in (({"allow": "mx.acme.test"}, "is neither"), ({"allow": "198.51.100.0/24"}, "both allowed")):
        answer = await browser.fill(path, {**form, **wrong})
        assert (answer.status, said in answer.text, wrong["allow"] in answer.text) == (409, True, True)
    assert "2001:db8::/48" in (await browser.get(path)).text
    assert (await browser.fill(path, {"allow": "", "block": ""})).status == 303
    await house.settle()
    assert (published(house).allow, published(house).block) == ((), ())
    reader = await house.person(Role.READER)
    assert (await reader.fill(path, form)).status == 403
