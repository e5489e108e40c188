"""The impersonation scanner: whose name, brand or domain a stranger uses, and who may."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.events import Brand, Person, Status
from services.runtime.dns import Answer
from services.runtime.fakes_dns import FakeDns
from services.scanners.briefing import EMPTY, Briefing
from services.scanners.checks import impersonation
from services.scanners.contract import Finding
from services.scanners.persons import Names, tokens
from tests.mails import context, crlf, mail, sample
from tests.unit.test_scanners_dkim import key, pem, record

import dkim as dkimpy  # isort: skip

Zone = dict[tuple[str, str], Answer]
ERIKA = Person(name="Erika Mustermann", addresses=("erika@home.test",))
OWN = Briefing(
    domains=("musterbau.example",),
    persons=(ERIKA, Person(name="Jean-Luc Lefèvre")),
    partners=("hausbank.example",),
    brands=(Brand(name="Rocket Forms", domains=("rocketforms.example",)),),
)


def letter(sender: str, *more: str) -> bytes:
    fields = "".join(f"{line}\n" for line in (f"From: {sender}", *more))
    rest = "To: bob@musterbau.example\nSubject: x\nDate: Tue, 14 Nov 2023 22:13:20 +0000\nMessage-ID: <1@sender.test>\n"
    return (fields + rest + "\nhello\n").encode()


async def scan(sender: str, *more: str, briefing: Briefing = OWN, zone: Zone | None = None, **envelope: Any) -> Finding:
    raw = letter(sender, *more)
    return await impersonation.scan(mail(raw, **envelope), context(zone, briefing=briefing))


def codes(finding: Finding) -> set[str]:
    return {item.code for item in finding.evidence}


@pytest.mark.parametrize(
    ("name", "exact"),
    [
        ("Erika Mustermann", True),
        ("MUSTERMANN, Erika", True),
        ("Dr. Erika  Mustermann (CEO)", True),
        ("Erika Mustermann via Portal", True),
        ("Ërika Müstermann", True),
        ("Еrikа Мustermann", True),  # three Cyrillic letters
        ("𝐄𝐫𝐢𝐤𝐚 𝐌𝐮𝐬𝐭𝐞𝐫𝐦𝐚𝐧𝐧", True),
        ("Er1ka Musterrnann", False),
        ("Erika Mustermann - Managing Director", True),
        ("E. Mustermann", False),
        ("Erika M.", False),
        ("Erika Musterman", False),
        ("Lefevre Jean-Luc", True),
    ],
)
def test_the_names_of_a_person(name: str, exact: bool) -> None:
    match = Names(OWN.persons).match(name)
    assert match is not None
    assert match.exact is exact


@pytest.mark.parametrize(
    "name", ["", "Erika", "Mustermann", "Erik Mustafa", "Max Mustermann", "Muster GmbH", "?!", "E M"]
)
def test_the_names_of_others(name: str) -> None:
    assert Names(OWN.persons).match(name) is None


def test_a_name_of_one_word_is_matched_as_it_is() -> None:
    match = Names((Person(name="Erika"),)).match("ERIKA")
    assert match is not None
    assert Names((Person(name="Dr."), Person(name=""))).match("Dr.") is None


def test_no_name_is_too_long() -> None:
    assert len(tokens("a " * 10_000)) <= 100


@pytest.mark.parametrize(
    ("sender", "more", "found", "status"),
    [
        ("Erika Mustermann <x@sender.test>", (), {"PERSON_NAME"}, Status.SUSPICIOUS),
        ("Erika Mustermann <ceo.office@gmail.com>", (), {"PERSON_NAME", "PERSON_FREE_MAIL"}, Status.PHISHING),
        (
            "Erika Mustermann <x@sender.test>",
            ("Reply-To: x@gmail.com",),
            {"PERSON_NAME", "PERSON_FREE_MAIL", "REPLY_TO_FREE"},
            Status.PHISHING,
        ),
        ("E. Mustermann <x@sender.test>", (), {"PERSON_NAME_NEARLY"}, Status.CLEAN),
        ("=?utf-8?B?RXJpa2EgTXVzdGVybWFubg==?= <x@sender.test>", (), {"PERSON_NAME"}, Status.SUSPICIOUS),
        ("PayPal Customer Service <x@sender.test>", (), {"BRAND_NAME"}, Status.SUSPICIOUS),
        ("DocuSign <x@gmail.com>", (), {"BRAND_NAME"}, Status.PHISHING),
        ("Microsoft Support <x@outlook.com>", (), {"BRAND_NAME"}, Status.PHISHING),
        ("Wells Fargo Billing <x@sender.test>", (), {"BRAND_NAME"}, Status.SUSPICIOUS),
        ("Rocket Forms <x@sender.test>", (), {"BRAND_NAME"}, Status.SUSPICIOUS),
        ('"ceo@musterbau.example" <x@sender.test>', (), {"NAME_HOLDS_ADDRESS"}, Status.SUSPICIOUS),
        ('"hausbank.example" <x@sender.test>', (), {"NAME_HOLDS_DOMAIN"}, Status.SUSPICIOUS),
        ("Billing <x@rnusterbau.example>", (), {"COUSIN_DOMAIN"}, Status.PHISHING),
        ("Billing <x@musterbua.example>", (), {"COUSIN_DOMAIN"}, Status.SUSPICIOUS),
        ("Billing <x@hausbank-login.test>", (), {"COUSIN_DOMAIN"}, Status.SUSPICIOUS),
        ("Billing <x@paypa1.com>", (), {"BRAND_DOMAIN"}, Status.PHISHING),
        ("Billing <x@paypal.com>", ("Reply-To: x@hausbank.org",), {"COUSIN_DOMAIN"}, Status.SUSPICIOUS),
        ("Pаypal <x@sender.test>", (), {"NAME_MIXED_SCRIPT", "BRAND_NAME"}, Status.PHISHING),
        ("A\u200blice <x@sender.test>", (), {"NAME_INVISIBLE"}, Status.CLEAN),
        ("𝕀𝕙𝕣 Preis <x@sender.test>", (), {"NAME_STYLED"}, Status.CLEAN),
        ("Bob Smith <bob@sender.test>", ("Reply-To: bob@gmail.com",), {"REPLY_TO_FREE"}, Status.CLEAN),
        ("Bob Smith <bob@gmail.com>", ("Reply-To: bob@proton.me",), {"REPLY_TO_OTHER_FREE"}, Status.CLEAN),
    ],
)
async def test_evidence(sender: str, more: tuple[str, ...], found: set[str], status: Status) -> None:
    finding = await scan(sender, *more)
    assert found <= codes(finding), finding
    assert finding.status is status


@pytest.mark.parametrize(
    ("sender", "more"),
    [
        ("Alice <alice@sender.test>", ()),
        ("Erika Mustermann <erika@home.test>", ()),
        ("PayPal <service@paypal.com>", ()),
        ("Amazon.de <bestellung@amazon.de>", ()),
        ("Microsoft <x@microsoftonline.com>", ()),
        ("John Chase <john@sender.test>", ("List-Id: <list.sender.test>",)),
        ("alice@sender.test <alice@sender.test>", ()),
        ("alice@mail.sender.test <alice@sender.test>", ()),
        ("The list <list@sender.test>", ("Reply-To: alice@gmail.com", "List-Id: <list.sender.test>")),
        ("Hausbank <info@hausbank.example>", ()),
        ("Björn Müller <b@bücher.test>", ()),
        ("Дмитрий Иванов <d@sender.test>", ()),
        ("", ()),
        ("not an address", ()),
    ],
)
async def test_honest_senders(sender: str, more: tuple[str, ...]) -> None:
    finding = await scan(sender, *more)
    assert (finding.status, finding.evidence) == (Status.CLEAN, ()), finding


async def test_a_namesake_on_a_mailing_list_is_no_suspect() -> None:
    finding = await scan("Erika Mustermann <e@sender.test>", "List-Id: <list.sender.test>")
    assert finding.status is Status.CLEAN


@pytest.mark.parametrize("name", ["ham-newsletter", "ham-receipt", "ham-thread"])
async def test_samples_of_ham(name: str) -> None:
    assert (await impersonation.scan(sample(name), context(briefing=OWN))).status is Status.CLEAN


# --- the customer's own domain

FORGED = "Bob <bob@musterbau.example>"
SPF: Zone = {("musterbau.example", "TXT"): (b"v=spf1 ip4:192.0.2.0/24 -all",)}


async def test_the_own_domain_from_a_stranger() -> None:
    finding = await scan(FORGED, reverse_path="x@sender.test", zone=SPF)
    assert codes(finding) == {"OWN_DOMAIN_SPOOFED"}
    assert finding.status is Status.SUSPICIOUS


async def test_the_own_domain_and_answers_that_leave_it() -> None:
    finding = await scan(FORGED, "Reply-To: bob@gmail.com", reverse_path="x@sender.test")
    assert codes(finding) == {"OWN_DOMAIN_SPOOFED", "REPLY_TO_LEAVES"}
    assert finding.status is Status.PHISHING


async def test_the_own_domain_with_spf() -> None:
    finding = await scan(FORGED, reverse_path="bob@musterbau.example", zone=SPF)
    assert finding.evidence == ()
    assert codes(await scan(FORGED, reverse_path="bob@musterbau.example", client_ip="203.0.113.9", zone=SPF)) == {
        "OWN_DOMAIN_SPOOFED"
    }


async def test_the_own_domain_with_dkim() -> None:
    raw = crlf(letter(FORGED))
    signed = bytes(dkimpy.sign(raw, b"s1", b"musterbau.example", pem(key(2048)))) + raw
    zone: Zone = {("s1._domainkey.musterbau.example", "TXT"): (record(key(2048)),)}
    message = mail(signed, reverse_path="x@sender.test", client_ip="203.0.113.9")
    assert (await impersonation.scan(message, context(zone, briefing=OWN))).evidence == ()
    assert codes(await impersonation.scan(message, context(SPF, briefing=OWN))) == {"OWN_DOMAIN_SPOOFED"}


async def test_a_dns_that_is_down_accuses_nobody() -> None:
    dns = FakeDns()
    dns.down = True
    message = mail(letter(FORGED), reverse_path="bob@musterbau.example")
    assert (await impersonation.scan(message, context(dns=dns, briefing=OWN))).evidence == ()


async def test_for_strangers_domains_nothing_is_asked() -> None:
    dns = FakeDns()
    await impersonation.scan(mail(letter("Alice <alice@sender.test>")), context(dns=dns, briefing=OWN))
    assert dns.asked == []


async def test_without_a_briefing_brands_are_still_known() -> None:
    assert codes(await scan("PayPal <x@sender.test>", briefing=EMPTY)) == {"BRAND_NAME"}
    assert codes(await scan("Erika Mustermann <x@sender.test>", briefing=EMPTY)) == set()
