"""Where recipients come from: written down, tried, used; uploaded, compared, applied. And where passwords lie."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import select

from schemas.catalog import DIRECTORY_STATE, RECIPIENTS
from schemas.events import Customer, DirectoryState, LdapSource, Recipient
from services.console import models
from services.console.directories import FRESH, UPLOAD_SECONDS
from services.console.forms import FIELDS_MOST, fields_of
from services.console.roles import Role
from services.console.tables import METADATA
from services.core.directory import recipient_digest
from services.core.directory_config import sealed_for
from services.core.secrets import Purpose
from services.directory.sync import Sync
from services.runtime.latest import latest
from tests.house.asgi import Browser
from tests.house.console import OPERATOR, ConsoleHouse, console_house

PASSWORD = "s3cret of the directory"
PAGE = "/c/acme/directory"
FORM = {
    "action": "draft",
    "source": "office",
    "url": "ldaps://ldap.acme.test",
    "base": "dc=acme,dc=test",
    "filter": "",
    "bind_dn": "cn=gatepost,dc=acme",
    "password": PASSWORD,
    "minutes": "30",
}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[ConsoleHouse]:
    async with console_house(tmp_path) as house:
        await house.customer("acme")
        await house.desk.domains.add_domain(OPERATOR, customer="acme", body=models.NewDomain(name="acme.test"))
        proof = (await house.desk.domains.domain(OPERATOR, customer="acme", name="acme.test")).proof
        house.dns.zone["_gatepost.acme.test", "TXT"] = (proof.encode(),)
        await house.desk.domains.prove_domain(OPERATOR, customer="acme", name="acme.test")
        body = models.Routing(relay=[models.Relay(host="198.41.0.4")], any_recipient=False)
        await house.desk.domains.route_domain(OPERATOR, customer="acme", name="acme.test", body=body)
        await house.settle()
        yield house


@pytest.fixture
async def admin(house: ConsoleHouse) -> Browser:
    return await house.person(Role.ADMINISTRATOR)


def source_of(house: ConsoleHouse) -> LdapSource:
    acme = house.published("acme")
    assert acme is not None
    (source,) = acme.directory
    return source


async def test_a_directory_is_tried_before_it_is_used_and_then_synced(house: ConsoleHouse, admin: Browser) -> None:
    house.reader.put("1", "ann@acme.test", "smtp:a.nn@acme.test")
    house.reader.put("2", "bob@acme.test", "bob@elsewhere.test", "no address")
    assert (await admin.fill(PAGE, FORM)).to == f"{PAGE}?done=directory-drafted"
    await house.settle()
    acme = house.published("acme")
    assert acme is not None
    assert acme.directory == (), "used before anybody looked"
    tried = await admin.fill(PAGE, {"action": "try", "source": "office"})
    assert "2 entries, 2 users, 3 addresses in your domains." in tried.text
    assert "3 addresses would come, 0 would go." in tried.text
    assert "1 are in other domains, 1 are no addresses." in tried.text
    assert "ann@acme.test" in tried.text
    assert house.bus.events(RECIPIENTS) == [], "a preview that changes something"
    assert (await admin.fill(PAGE, {"action": "use", "source": "office"})).to == f"{PAGE}?done=directory-used"
    await house.settle()
    source = source_of(house)
    assert (source.url, source.interval_seconds, source.public) == ("ldaps://ldap.acme.test", 1_800.0, True)
    acme = house.published("acme")
    assert acme is not None
    await Sync(house.bus, house.reader, house.clock).ldap(acme, source, None)  # as the directory service does
    house.clock.advance(FRESH)
    assert ">3</td>" in (await admin.get(PAGE)).text
    again = await admin.fill(PAGE, {"action": "try", "source": "office"})
    assert "0 addresses would come, 0 would go." in again.text
    house.reader.delete("1")
    gone = await admin.fill(PAGE, {"action": "try", "source": "office"})
    assert "0 addresses would come, 2 would go." in gone.text
    house.reader.down = True
    down = await admin.fill(PAGE, {"action": "try", "source": "office"})
    assert "down, by order of the test" in down.text
    assert (await admin.fill(PAGE, {"action": "remove", "source": "office"})).status == 303
    await house.settle()
    assert not await latest(house.bus, RECIPIENTS, Recipient)
    assert not await latest(house.bus, DIRECTORY_STATE, DirectoryState)


async def test_groups_are_previewed_synced_and_then_what_a_rule_means(house: ConsoleHouse, admin: Browser) -> None:
    house.reader.put("1", "ann@acme.test", "smtp:a.nn@acme.test")
    house.reader.put("2", "bob@acme.test")
    house.reader.groups = {"1": ("sales",), "2": ("sales", "staff")}
    wrong = await admin.fill(PAGE, {**FORM, "groups": "Sales Team!"})
    assert "no name of a group" in wrong.text
    assert (await admin.fill(PAGE, {**FORM, "groups": "sales, staff"})).status == 303
    tried = await admin.fill(PAGE, {"action": "try", "source": "office"})
    assert '<th scope="row">directory:sales</th><td>0</td><td>3</td>' in tried.text
    assert '<th scope="row">directory:staff</th><td>0</td><td>1</td>' in tried.text
    await admin.fill(PAGE, {"action": "use", "source": "office"})
    await house.settle()
    acme = house.published("acme")
    assert acme is not None
    assert source_of(house).groups == ("sales", "staff")
    await Sync(house.bus, house.reader, house.clock).ldap(acme, source_of(house), None)
    house.reader.groups = {"2": ("sales",)}
    again = await admin.fill(PAGE, {"action": "try", "source": "office"})
    assert '<th scope="row">directory:sales</th><td>3</td><td>1</td>' in again.text
    assert '<th scope="row">directory:staff</th><td>1</td><td>0</td>' in again.text
    assert 'value="sales, staff"' in (await admin.get(f"{PAGE}?edit=office")).text


async def test_a_list_with_groups_says_what_would_change_and_changes_it(house: ConsoleHouse, admin: Browser) -> None:
    page = await uploaded(admin, "email,group\nann@acme.test,Sales Team|VIP\nbob@acme.test,\n")
    assert '<th scope="row">directory:sales-team</th><td>0</td><td>1</td>' in page
    await admin.fill(PAGE, {"action": "apply", "force": "yes"})
    await house.settle()
    said = {each.groups for each in (await latest(house.bus, RECIPIENTS, Recipient)).values()}
    assert said == {("sales-team", "vip"), ()}
    page = await uploaded(admin, "email,group\nann@acme.test,VIP\nbob@acme.test,VIP\n")
    assert "0 addresses would come, 0 would go." in page
    assert '<th scope="row">directory:vip</th><td>1</td><td>2</td>' in page
    await admin.fill(PAGE, {"action": "apply"})
    await house.settle()
    assert {each.groups for each in (await latest(house.bus, RECIPIENTS, Recipient)).values()} == {("vip",)}


async def test_a_password_lies_nowhere_in_the_clear_and_goes_to_its_server_alone(
    house: ConsoleHouse, admin: Browser
) -> None:
    await admin.fill(PAGE, FORM)
    await admin.fill(PAGE, {"action": "use", "source": "office"})
    await house.settle()
    source = source_of(house)
    assert house.secrets.open(Purpose.DIRECTORY, sealed_for(source), source.password_sealed) == PASSWORD
    async with house.book.reading() as connection:
        dumped = "".join([repr((await connection.execute(select(t))).all()) for t in METADATA.tables.values()])
    topics = b"".join(bytes(raw.value or b"") for log in house.bus.logs.values() for raw in log)
    audit = (await admin.get("/c/acme/audit")).text
    for place in (dumped, topics.decode(), (await admin.get(f"{PAGE}?edit=office")).text, audit):
        assert PASSWORD not in place
    assert source.password_sealed not in audit
    # Another server, or another name, and the kept password is not sent there.
    for change in ({"url": "ldaps://evil.test"}, {"bind_dn": "cn=other"}, {"url": "ldap://ldap.acme.test"}):
        answer = await admin.fill(PAGE, {**FORM, "password": "", **change})
        assert answer.status == 409, change
        assert "Enter the password" in answer.text
    assert (await admin.fill(PAGE, {**FORM, "password": "", "filter": "(mail=*)"})).status == 303
    await admin.fill(PAGE, {"action": "use", "source": "office"})
    await house.settle()
    assert source_of(house).filter == "(mail=*)"
    assert source_of(house).password_sealed == source.password_sealed


@pytest.mark.parametrize(
    "change",
    [
        {"url": "http://ldap.acme.test"},
        {"url": "ldaps://user:pw@ldap.acme.test"},
        {"url": "ldaps://"},
        {"filter": "mail=*"},
        {"source": "No Name"},
        {"source": ""},
        {"base": ""},
        {"minutes": "0"},
        {"minutes": "x"},
        {"bind_dn": ""},
    ],
)
async def test_what_can_not_be_read_is_refused(admin: Browser, change: dict[str, str]) -> None:
    assert (await admin.fill(PAGE, {**FORM, **change})).status in {404, 409}


# --- a list


async def uploaded(admin: Browser, text: str) -> str:
    """Upload as a browser does, and return the page."""
    page = (await admin.get(PAGE)).text
    csrf = re.search(r'name="csrf" value="(\w+)"', page)
    assert csrf is not None
    parts = {"csrf": csrf[1], "action": "upload"}
    body = "".join(f'--XX\r\nContent-Disposition: form-data; name="{n}"\r\n\r\n{v}\r\n' for n, v in parts.items())
    body += '--XX\r\nContent-Disposition: form-data; name="csv"; filename="a.csv"\r\n'
    body += f"Content-Type: text/csv\r\n\r\n{text}\r\n--XX--\r\n"
    answer = await admin.ask("POST", PAGE, body.encode(), {"content-type": "multipart/form-data; boundary=XX"})
    return (await admin.get(PAGE)).text if answer.status == 303 else answer.text


async def test_a_list_is_compared_before_it_is_applied(house: ConsoleHouse, admin: Browser) -> None:
    page = await uploaded(admin, "name;email\nAnn;Ann@acme.test\nBob;bob@acme.test\nAnn again;ann@acme.test\n")
    assert "The list has 2 addresses. 2 addresses would come, 0 would go." in page
    await house.settle()
    assert house.bus.events(RECIPIENTS) == []
    assert (await admin.fill(PAGE, {"action": "apply"})).to == f"{PAGE}?done=list-applied"
    await house.settle()
    acme = house.published("acme")
    assert isinstance(acme, Customer)
    known = {each.digest for each in (await latest(house.bus, RECIPIENTS, Recipient)).values()}
    assert known == {recipient_digest(acme.salt, f"{name}@acme.test") for name in ("ann", "bob")}
    assert (await admin.fill(PAGE, {"action": "apply"})).status == 409  # once is all
    many = "\n".join(f"u{n}@acme.test" for n in range(500))
    assert "500 addresses would come, 2 would go." in await uploaded(admin, many)
    refused = await admin.fill(PAGE, {"action": "apply"})
    assert refused.status == 409
    assert "Confirm that it is meant" in refused.text
    assert (await admin.fill(PAGE, {"action": "apply", "force": "yes"})).status == 303
    await house.settle()
    assert len(await latest(house.bus, RECIPIENTS, Recipient)) == 500
    exported = await house.desk.customers.export(OPERATOR, customer="acme")
    assert exported.yaml.count("@acme.test") >= 500


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "no address in it"), ("a@elsewhere.test", "in none of"), ("a@acme.test\nnot one", "CSV:2"), ("\x00", "CSV")],
)
async def test_half_a_list_is_no_list(admin: Browser, text: str, said: str) -> None:
    assert said in await uploaded(admin, text)


async def test_an_upload_waits_for_an_hour(house: ConsoleHouse, admin: Browser) -> None:
    await uploaded(admin, "a@acme.test")
    house.clock.advance(UPLOAD_SECONDS)
    admin = await house.person(Role.OWNER)
    assert (await admin.fill(PAGE, {"action": "apply"})).status == 409


async def test_who_may_look_may_not_change(house: ConsoleHouse) -> None:
    reader = await house.person(Role.READER)
    page = (await reader.get(PAGE)).text
    assert "<button name=" not in page
    assert (await reader.fill(PAGE, {"action": "apply"})).status == 403


def test_a_form_is_read_whatever_is_posted() -> None:
    assert fields_of("application/x-www-form-urlencoded", b"a=1&a=2&b=") == {"a": ["1", "2"], "b": [""]}
    for kind, body in (
        ("application/x-www-form-urlencoded", b"\xff"),
        ("application/x-www-form-urlencoded", b"&".join(b"a=1" for _ in range(FIELDS_MOST + 1))),
        ("multipart/form-data", b"x"),
        ("multipart/form-data; boundary=X\r\nEvil: 1", b"--X\r\n"),
        ("multipart/form-data; boundary=X", b"\xff\x00--X--"),
        ("text/plain", b"a=1"),
    ):
        assert fields_of(kind, body) == {}
