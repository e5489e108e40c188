"""Outgoing mail in the console: off during a trial, who may send, what DNS is to say, keys, and the mail about it."""

from __future__ import annotations

import html
import re
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from sqlalchemy import insert, select, update

from schemas.events import Domain, Host
from services.console.book import written
from services.console.config import ConsoleConfig
from services.console.export import to_yaml
from services.console.licence import DAY
from services.console.mails import Sending, compose, outbound
from services.console.records import dmarc, spf
from services.console.roles import Role
from services.console.tables import AUDIT, CUSTOMERS, DOMAINS
from services.core.client_certificates import Shown, known_by
from services.core.customers import CustomerSpec, parse_customers
from services.core.errors import ConfigError
from services.ingress.submission.passwords import _fits
from services.runtime.config import load
from services.runtime.dkim_records import Published
from services.runtime.fakes_dns import FakeDns
from services.runtime.yaml_tree import parse_tree
from tests.house.asgi import Browser
from tests.house.authority import made
from tests.house.console import ConsoleHouse, console_house

PAGE = "/c/acme/outbound"


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[ConsoleHouse]:
    async with console_house(tmp_path, spf=("eu:_spf.console.test",)) as house:
        await house.customer("acme")
        domain = Domain(name="acme.test", relay=(Host(host="198.41.0.4"),), any_recipient=True)
        row = {"name": "acme.test", "customer": "acme", "place": 0, "spec": written(domain), "made_at": 0.0}
        async with house.book.database.writing() as connection:
            await connection.execute(insert(DOMAINS), [row])
        yield house


async def licensed(house: ConsoleHouse) -> Browser:
    """Return the owner's browser; the customer has a licence."""
    now = house.clock.now()
    async with house.book.database.writing() as connection:
        await connection.execute(update(CUSTOMERS).values(trial_until=now - DAY, paid_until=now + 300 * DAY))
    return await house.person(Role.OWNER)


async def test_during_a_trial_it_stays_off(house: ConsoleHouse) -> None:
    owner = await house.person(Role.OWNER)
    assert "During a trial" in (await owner.get(PAGE)).text
    assert (await owner.fill(PAGE, {"action": "addresses", "addresses": "192.0.2.10"})).status == 303
    answer = await owner.fill(PAGE, {"action": "on"})
    assert answer.status == 409
    assert "During a trial" in answer.text
    await house.settle()
    event = house.published("acme")
    assert event is not None
    assert event.outbound.addresses == ("192.0.2.10/32",)
    assert not event.outbound.enabled


async def test_switched_on_it_is_published_and_administrators_hear_how_to_go_on(house: ConsoleHouse) -> None:
    owner = await licensed(house)
    await house.person(Role.ADMINISTRATOR)
    await house.person(Role.READER)
    await house.settle()
    house.post.sent.clear()
    assert (await owner.fill(PAGE, {"action": "on"})).status == 409  # nobody could send
    assert (await owner.fill(PAGE, {"action": "addresses", "addresses": "10.0.0.0/8"})).status == 409
    assert (await owner.fill(PAGE, {"action": "addresses", "addresses": "198.51.100.0/28\n\n192.0.2.10"})).status == 303
    assert (await owner.fill(PAGE, {"action": "on"})).to == f"{PAGE}?done=outbound-on"
    await house.settle()
    event = house.published("acme")
    assert event is not None
    assert event.outbound.enabled
    assert event.outbound.addresses == ("198.51.100.0/28", "192.0.2.10/32")
    assert [order.kind for order, _ in house.post.sent] == ["outbound"] * 3  # its owners and administrators
    house.post.sent.clear()
    assert (await owner.fill(PAGE, {"action": "addresses", "addresses": "192.0.2.11"})).status == 303
    assert (await owner.fill(PAGE, {"action": "addresses", "addresses": " "})).status == 409  # nobody would be left
    assert (await owner.fill(PAGE, {"action": "off"})).status == 303
    await house.settle()
    assert house.post.sent == []
    event = house.published("acme")
    assert event is not None
    assert not event.outbound.enabled


async def test_an_account_has_a_password_that_is_shown_once_and_kept_by_nobody(house: ConsoleHouse) -> None:
    owner = await licensed(house)
    assert (await owner.fill(PAGE, {"action": "add", "name": "mta@globex.test"})).status == 409
    answer = await owner.fill(PAGE, {"action": "add", "name": "MTA@acme.test"})
    assert answer.status == 200
    shown = re.search(r'class="good">.*?<pre tabindex="0">(.*?)</pre>', answer.text, re.DOTALL)
    assert shown is not None
    password = html.unescape(shown[1])
    assert password not in (await owner.get(PAGE)).text
    await house.settle()
    event = house.published("acme")
    assert event is not None
    (account,) = event.outbound.accounts
    assert account.name == "mta@acme.test"
    assert _fits(password.encode(), account.password)
    async with house.book.reading() as connection:
        lines = (await connection.execute(select(AUDIT).where(AUDIT.c.what == "submitter-made"))).all()
    assert len(lines) == 1
    assert password not in str(lines)
    assert account.password not in str(lines)
    assert (await owner.fill(PAGE, {"action": "remove", "account": "mta@acme.test"})).status == 303
    await house.settle()
    assert msgspec.structs.replace(event.outbound, accounts=()) == getattr(house.published("acme"), "outbound", None)


async def test_keys_are_made_checked_used_and_removed(house: ConsoleHouse) -> None:
    owner = await licensed(house)
    form = {"domain": "acme.test", "key": "gp1"}
    assert (await owner.fill(PAGE, form | {"action": "make-keys"})).status == 303
    page = (await owner.get(PAGE)).text
    assert "gp1._domainkey.acme.test. IN TXT" in page
    answer = await owner.fill(PAGE, form | {"action": "use-keys"})
    assert answer.status == 409
    assert "nobody could verify" in answer.text
    for each in await house.keys.all("acme", "acme.test"):
        house.dns.zone[each.name, "TXT"] = (each.stored.record,)
    assert (await owner.fill(PAGE, form | {"action": "use-keys"})).status == 303
    assert len(await house.keys.signing("acme", "acme.test")) == 2
    assert (await owner.fill(PAGE, form | {"action": "make-keys"})).status == 303
    assert (await owner.fill(PAGE, form | {"action": "make-keys"})).status == 409  # both names are taken
    assert (await owner.fill(PAGE, form | {"action": "remove-keys"})).status == 409  # they sign
    assert (await owner.fill(PAGE, form | {"action": "remove-keys", "key": "gp2"})).status == 303
    assert (await owner.fill(PAGE, {"domain": "globex.test", "action": "make-keys"})).status == 404


async def test_the_page_says_what_dns_says_in_the_readers_language(house: ConsoleHouse) -> None:
    reader = await house.person(Role.READER)
    house.dns.zone["acme.test", "TXT"] = (b"v=spf1 include:_spf.console.test -all",)
    house.dns.zone["_dmarc.acme.test", "TXT"] = (b"v=DMARC1; p=reject",)
    page = (await reader.get(PAGE)).text
    assert "include:_spf.console.test" in page
    assert page.count("as it should be") == 2
    assert "policy reject" in page
    assert "<button" not in page.partition("<main")[2]  # who only reads finds nothing to press


@pytest.mark.parametrize(
    ("records", "addresses", "said"),
    [
        ((), (), Published.MISSING),
        (("v=spf1 include:_spf.gp.test -all",), (), Published.RIGHT),
        (("v=spf1 -all",), (), Published.WRONG),
        (("v=spf1 -all", "v=spf1 include:_spf.gp.test -all"), (), Published.SEVERAL),
        (("v=spf1 include:far.test -all",), ("192.0.2.1",), Published.RIGHT),  # by way of another name
        (("v=spf1 include:_spf.gp.test -all",), ("192.0.2.1",), Published.WRONG),  # named, and not there
        (("v=spf1 include:acme.test -all",), ("192.0.2.1",), Published.WRONG),  # leads to itself
    ],
)
async def test_spf(records: tuple[str, ...], addresses: tuple[str, ...], said: Published) -> None:
    dns = FakeDns({("acme.test", "TXT"): records, ("far.test", "TXT"): ("v=spf1 ip4:192.0.2.0/24 -all",)})
    assert await spf(dns, "acme.test", ("include:_spf.gp.test",), addresses) is said
    dns.down = True
    assert await spf(dns, "acme.test", (), addresses) is Published.UNKNOWN


@pytest.mark.parametrize(
    ("records", "said"),
    [
        ((), (Published.MISSING, "")),
        (("v=DMARC1; p=none",), (Published.RIGHT, "none")),
        (("v=DMARC1; p=perhaps",), (Published.WRONG, "")),
        (("v=DMARC1; p=none", "v=DMARC1; p=reject"), (Published.SEVERAL, "")),
    ],
)
async def test_dmarc(records: tuple[str, ...], said: tuple[Published, str]) -> None:
    assert await dmarc(FakeDns({("_dmarc.acme.test", "TXT"): records}), "acme.test") == said


def test_the_mail_names_the_host_and_every_record() -> None:
    how = Sending(
        host="out.gp.test", starttls=587, tls=465, spf=("include:_spf.gp.test",), domains=("a.test",), dmarc="v=DMARC1"
    )
    for language in ("en", "it"):
        mail = outbound(language, "acme", how, "https://console.test/c/acme/outbound", "gp.test")
        text = compose(mail, to="a@a.test", identity="1" * 26, hostname="gp.test", language=language, now=0.0).decode()
        for said in ("out.gp.test", "587", "465", "include:_spf.gp.test", '_dmarc.a.test. TXT "v=DMARC1"', "DKIM"):
            assert said in text, (language, said)


def test_where_customers_send_and_what_their_spf_names() -> None:
    config = ConsoleConfig()
    assert config.submission_of("eu", "gp.test") == "gp.test"
    assert config.spf_of("eu", "gp.test") == ("a:gp.test",)
    config = ConsoleConfig(networks=("eu:192.0.2.0/24", "eu:2001:db8::/32"), submission=("eu:out.gp.test",))
    assert config.submission_of("eu", "gp.test") == "out.gp.test"
    assert config.spf_of("eu", "gp.test") == ("ip4:192.0.2.0/24", "ip6:2001:db8::/32")
    told = {"GATEPOST_CONSOLE_SUBMISSION_PORTS": "2587,2465"}
    assert load(ConsoleConfig, told, "GATEPOST_CONSOLE_").submission_ports == (2587, 2465)
    with pytest.raises(ConfigError):
        load(ConsoleConfig, {"GATEPOST_CONSOLE_SPF": "nowhere"}, "GATEPOST_CONSOLE_")


async def test_a_certificate_is_added_shown_and_removed_and_limits_are_ones_own(
    house: ConsoleHouse, tmp_path: Path
) -> None:
    owner = await licensed(house)
    ca, own = made(tmp_path, "ca.acme.test", ca=True), made(tmp_path, "mta.acme.test")
    pem = own.certificate.public_bytes(serialization.Encoding.PEM).decode()
    assert (
        await owner.fill(PAGE, {"action": "add-certificate", "certificate": pem})
    ).to == f"{PAGE}?done=outbound-saved"
    vouching = {
        "action": "add-certificate",
        "certificate": ca.certificate.public_bytes(serialization.Encoding.PEM).decode(),
        "names": "MTA.acme.test",
    }
    assert (await owner.fill(PAGE, vouching)).status == 303
    for wrong in ({"certificate": "nonsense"}, {"certificate": pem, "names": "mta.acme.test"}):
        answer = await owner.fill(PAGE, {"action": "add-certificate", **wrong})
        assert (answer.status, "That does not do" in answer.text) == (409, True)
    assert (
        await owner.fill(PAGE, {"action": "limits", "sender_messages": "100", "customer_messages": ""})
    ).status == 303
    await house.settle()
    known = house.published("acme")
    assert known is not None
    certificates = known.outbound.certificates
    assert [each.names for each in certificates] == [(), ("mta.acme.test",)]
    assert known_by([known], Shown((own.der,), frozenset())) == (known,)
    assert (known.outbound.sender_messages, known.outbound.customer_messages) == (100, 0)
    domain = Domain(name="acme.test", relay=(Host(host="198.41.0.4"),), any_recipient=True)
    spec = CustomerSpec(msgspec.structs.replace(known, domains=(domain,)))
    (again,) = parse_customers(parse_tree(to_yaml([spec]), "file"))
    assert again.customer.outbound == known.outbound

    page = (await owner.get(PAGE)).text
    digests = re.findall(r'name="certificate" value="(\w{64})"', page)
    assert "CN=mta.acme.test" in page
    assert (await owner.fill(PAGE, {"action": "on"})).status == 303  # a certificate is enough to send by
    assert (await owner.fill(PAGE, {"action": "remove-certificate", "certificate": digests[0]})).status == 303
    last = await owner.fill(PAGE, {"action": "remove-certificate", "certificate": digests[1]})
    assert (last.status, "Nobody could send" in last.text) == (409, True)
