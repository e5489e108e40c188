"""The API and the pages over real HTTP: who may do what, what is found, what is shown, what is asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from schemas.catalog import AUDIT, COMMANDS, REQUESTS, SENDERS
from schemas.events import Customer, DigestPlan, Domain, Host, QuarantineCommand, SenderEntry
from services.core.errors import BusUnavailable
from services.core.senders import Senders
from services.quarantine.api.app import Parts, make_app
from services.quarantine.api.guard import MAY
from services.quarantine.api.pages import make_pages
from services.quarantine.api.serve import listening, server_of
from services.quarantine.api.spec import spec
from services.quarantine.decide import Shown, holds
from services.quarantine.index import Index
from services.quarantine.links import Link, sign
from services.quarantine.tokens import Role, Tokens
from services.runtime.ports import free_ports
from tests.integration.test_quarantine import DAY, A, B, House, disposition, quarantined
from tests.samples import NOW, received

SPEC = Path(__file__).parents[2] / "docs" / "quarantine-openapi.json"
EVIL = (
    b"From: <script>alert(1)</script>\r\nSubject: <b>Free</b> money\r\nMIME-Version: 1.0\r\n"
    b"Content-Type: multipart/mixed; boundary=x\r\n\r\n--x\r\nContent-Type: text/html\r\n\r\n"
    b'<p onclick="a()">Hello</p><script>steal()</script><img src="http://evil.test/p.gif"><img src="cid:ok">'
    b'<a href="http://evil.test/">bank</a><form action="http://evil.test/"><input></form>'
    b'<div style="background:url(http://evil.test/b)">x</div><iframe src="//evil.test"></iframe>\r\n'
    b"--x\r\nContent-Type: image/png; name=a.png\r\nContent-ID: <ok>\r\n"
    b"Content-Transfer-Encoding: base64\r\n\r\naGk=\r\n"
    b"--x\r\nContent-Type: application/x-msdownload\r\n"
    b'Content-Disposition: attachment; filename="<x>.exe"\r\n\r\nMZ\r\n--x--\r\n'
)


class Site:
    """An API and its pages on loopback, and a caller of each role."""

    def __init__(self, house: House, api: str, pages: str, session: aiohttp.ClientSession) -> None:
        self.house = house
        self.api = api
        self.pages = pages
        self.session = session
        self.tokens: dict[str, str] = {}

    async def ask(self, method: str, path: str, token: str = "", **more: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with self.session.request(method, f"{self.api}/v1/customers/{path}", headers=headers, **more) as answer:
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
            assert "server" not in answer.headers
            text = await answer.text()
            return answer.status, json.loads(text) if text else None


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    index = await Index.open(f"sqlite:///{tmp_path / 'a.db'}")
    house = House(index)
    domain = Domain(name="example.test", relay=(Host(host="127.0.0.1"),), any_recipient=True)
    house.customers["example"] = Customer(
        id="example", salt="00", domains=(domain,), quarantine_days=7, digest=DigestPlan(hours=(7,), language="it")
    )
    house.customers["other"] = Customer(id="other", salt="01")
    lists = Senders()
    lists.apply(SenderEntry(customer="other", whom="*", sender="x@other.test", approved=True, by="o", at=NOW))
    parts = Parts(
        index=index,
        vault=house.vault,
        tokens=Tokens(index.database, house.clock),
        bus=house.bus,
        lists=lists,
        customer=house.customers.get,
        clock=house.clock,
        failures=3,
    )
    api, pages = free_ports(2)
    with listening("127.0.0.1", api) as one, listening("127.0.0.1", pages) as two:
        servers = [server_of(make_app(parts)), server_of(make_pages(parts, house.secrets.links))]
        running = [asyncio.create_task(s.serve([sock])) for s, sock in zip(servers, (one, two), strict=True)]
        async with aiohttp.ClientSession() as session:
            site = Site(house, f"http://127.0.0.1:{api}", f"http://127.0.0.1:{pages}", session)
            for role in Role:
                own = {Role.OWNER: ""}.get(role, "example")
                addresses = (A,) if role is Role.USER else ()
                site.tokens[role] = await parts.tokens.make(role, own, addresses=addresses, label=role.value)
            site.tokens["stranger"] = await parts.tokens.make(Role.ADMINISTRATOR, "other")
            yield site
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*running)
    await index.close()


OPERATIONS: dict[str, tuple[str, str, dict[str, Any] | None]] = {
    "list": ("GET", "messages", None),
    "show": ("GET", "messages/{id}", None),
    "preview": ("GET", "messages/{id}/preview", None),
    "release": ("POST", "messages/{id}/release", {}),
    "delete": ("POST", "messages/{id}/delete", {}),
    "report": ("POST", "messages/{id}/report", {"as": "clean"}),
    "release-to": ("POST", "messages/{id}/release-to", {"to": "soc@example.test"}),
    "senders": ("GET", "senders", None),
    "senders-of-recipient": ("PUT", "senders", {"sender": "a@b.test", "for": A, "list": "approved"}),
    "senders-of-all": ("PUT", "senders", {"sender": "a@b.test", "for": "all", "list": "approved"}),
    "digest": ("GET", f"recipients/{A}/digest", None),
    "digest-change": ("PUT", f"recipients/{A}/digest", {"language": "en", "digest": False}),
}


async def test_every_operation_as_every_role_and_as_a_stranger(site: Site) -> None:
    """One table says who may do what; each cell of it is tried, and so is everybody whom it does not name."""
    assert OPERATIONS.keys() == MAY.keys()
    event = await site.house.hold(quarantined(A, B))
    for act, (method, path, body) in OPERATIONS.items():
        place = f"example/{path.format(id=event.id)}"
        assert (await site.ask(method, place, json=body))[0] in (401, 429), act
        site.house.clock.advance(61)
        assert (await site.ask(method, place, site.tokens["stranger"], json=body))[0] == 404, act
        for role in Role:
            status, said = await site.ask(method, place, site.tokens[role], json=body)
            if role in MAY[act]:
                assert status in (200, 202), (act, role, said)
            else:
                assert status == 403, (act, role, said)


async def test_the_table_names_every_path_of_the_api() -> None:
    paths = json.loads(SPEC.read_text())["paths"]
    assert sum(len(methods) for methods in paths.values()) == len(OPERATIONS) - 1  # one path for both lists


async def test_openapi_in_the_docs_is_what_the_code_says(site: Site) -> None:
    assert json.loads(SPEC.read_text()) == json.loads(json.dumps(spec())), "python -m services.quarantine.api.spec"
    assert (await site.session.get(f"{site.api}/openapi.json")).status == 404


async def test_a_user_sees_and_ends_only_what_is_held_for_him(site: Site) -> None:
    mine, theirs = await site.house.hold(quarantined(A, B)), await site.house.hold(quarantined(B))
    user = site.tokens[Role.USER]
    _, said = await site.ask("GET", "example/messages", user)
    assert [(m["id"], m["recipient"]) for m in said["messages"]] == [(mine.id, A)]
    assert (await site.ask("GET", f"example/messages/{theirs.id}", user))[0] == 404
    assert (await site.ask("POST", f"example/messages/{theirs.id}/release", user, json={}))[0] == 404
    assert (await site.ask("POST", f"example/messages/{mine.id}/release", user, json={"recipients": [B]}))[0] == 404
    assert (await site.ask("POST", f"example/messages/{mine.id}/release", user, json={}))[0] == 202
    (command,) = site.house.bus.events(COMMANDS)
    assert isinstance(command, QuarantineCommand)
    assert (command.recipients, command.by, command.customer) == ((A,), "user (user)", "example")
    whom = {"sender": "a@b.test", "for": B, "list": "approved"}
    assert (await site.ask("PUT", "example/senders", user, json=whom))[0] == 403
    assert (await site.ask("PUT", f"example/recipients/{B}/digest", user, json={}))[0] == 403


async def test_wrong_tokens_are_counted_and_good_ones_end(site: Site) -> None:
    good = site.tokens[Role.AUDITOR]
    for wrong in (good[:-1] + ("A" if good[-1] != "A" else "B"), "gp_x", "x" * 500):
        assert (await site.ask("GET", "example/messages", wrong))[0] == 401
    assert (await site.ask("GET", "example/messages", good))[0] == 429
    site.house.clock.advance(61)
    assert (await site.ask("GET", "example/messages", good))[0] == 200
    tokens = Tokens(site.house.index.database, site.house.clock)
    assert await tokens.revoke(good.split("_")[1])
    assert (await site.ask("GET", "example/messages", good))[0] == 401
    site.house.clock.advance(400 * 86_400)
    assert (await site.ask("GET", "example/messages", site.tokens[Role.HELPDESK]))[0] == 401
    stored = json.dumps([msgspec.to_builtins(token) for token in await tokens.list()])
    assert good.split("_")[2] not in stored


async def fill(house: House, count: int) -> None:
    for number in range(count):
        event = received(id=f"01K8Z4N5QJ3M8V7T2R6XW9Y{number:03}")
        decided = disposition(event, quarantined(A, rule="spam" if number % 2 else "virus"))
        shown = Shown(f"Invoice ÄÖ {number}" if number % 3 == 0 else f"100% off_{number}", f"Carla <c{number}@x.test>")
        await house.index.hold(holds(decided, shown, NOW + number, 7, key="quarantine/x", policy=""), decided)


async def test_pages_are_whole_in_order_and_without_repeats(site: Site) -> None:
    await fill(site.house, 23)
    token, seen, after = site.tokens[Role.HELPDESK], [], ""
    while True:
        status, said = await site.ask("GET", "example/messages", token, params={"limit": 5, "after": after})
        assert status == 200
        seen += [message["id"] for message in said["messages"]]
        if not (after := said["after"]):
            break
    assert len(seen) == 23
    assert seen == sorted(seen, reverse=True)
    for bad in ("x", "AAAA", "é"):
        assert (await site.ask("GET", "example/messages", token, params={"after": bad}))[0] == 422


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({"subject": "invoice äö"}, 8),
        ({"subject": "100% off_1"}, 8),
        ({"subject": "%"}, 15),
        ({"subject": "_"}, 15),
        ({"sender": "C21@X.TEST"}, 1),
        ({"sender": "alice@"}, 23),
        ({"recipient": "A@example"}, 23),
        ({"recipient": "nobody"}, 0),
        ({"reason": "VIRUS SAYS"}, 23),
        ({"held_from": str(NOW + 20)}, 3),
        ({"held_from": str(NOW + 5), "held_to": str(NOW + 7)}, 2),
        ({"state": "released"}, 0),
        ({"everything": "true"}, 23),
    ],
)
async def test_search(site: Site, wanted: dict[str, str], count: int) -> None:
    await fill(site.house, 23)
    _, said = await site.ask("GET", "example/messages", site.tokens[Role.HELPDESK], params=wanted)
    assert len(said["messages"]) == count


async def evil(site: Site) -> str:
    event = received(id="01K8Z4N5QJ3M8V7T2R6XW9YB00")
    decided = disposition(event, quarantined(A))
    place = await site.house.vault.seal(decided, EVIL, NOW, NOW + 7)
    shown = Shown("<b>Free</b> money", "<script>alert(1)</script>")
    await site.house.index.hold(holds(decided, shown, NOW, 7, key=place, policy=""), decided)
    return event.id


async def test_a_preview_runs_and_loads_nothing(site: Site) -> None:
    message = await evil(site)
    _, said = await site.ask("GET", f"example/messages/{message}/preview", site.tokens[Role.HELPDESK])
    for harm in ("script", "evil.test", "onclick", "<form", "<iframe", "style", "href", "http"):
        assert harm not in said["html"]
    assert "Hello" in said["html"]
    assert "data:image/png;base64,aGk=" in said["html"]
    assert [(part["name"], part["type"]) for part in said["attachments"]] == [
        ("a.png", "image/png"),
        ("<x>.exe", "application/x-msdownload"),
    ]
    (audit,) = site.house.bus.events(AUDIT)
    assert (getattr(audit, "what", ""), getattr(audit, "subject", "")) == ("previewed", message)


async def test_a_page_shows_and_only_its_buttons_act(site: Site) -> None:
    message = await evil(site)
    link = sign(site.house.secrets.links, Link("example", message, A, NOW + 1_000))
    async with site.session.get(f"{site.pages}/held/{link}", headers={"Host": "evil.test"}) as answer:
        page = await answer.text()
        policy = answer.headers["Content-Security-Policy"]
    assert answer.status == 200
    assert "default-src 'none'" in policy
    assert "script-src" not in policy
    assert '<html lang="it">' in page
    assert "Recapita questo messaggio" in page
    assert "&lt;b&gt;Free&lt;/b&gt; money" in page
    assert "&lt;x&gt;.exe" in page
    assert re.search(r"<iframe sandbox=\"\"", page)
    assert "<script" not in page
    assert "evil.test" not in page
    async with site.session.head(f"{site.pages}/held/{link}") as answer:
        assert answer.status == 200
    assert site.house.bus.events(COMMANDS) == []  # whoever follows links has released nothing
    for body, kind, expected in (
        ({"action": "explode"}, None, 400),
        ('{"action": "release"}', "application/json", 400),
        ({"action": "release"}, None, 202),
    ):
        headers = {"Content-Type": kind} if kind else {}
        async with site.session.post(f"{site.pages}/held/{link}", data=body, headers=headers) as answer:
            assert answer.status == expected
    (command,) = site.house.bus.events(COMMANDS)
    assert isinstance(command, QuarantineCommand)
    assert (command.action.value, command.recipients, command.id) == ("release", (A,), message)


async def test_a_link_that_is_forged_old_or_another_s_opens_nothing(site: Site) -> None:
    message = await evil(site)
    key = site.house.secrets.links
    good = sign(key, Link("example", message, A, NOW + 1_000))
    wrong = [
        good[:-1] + ("A" if good[-1] != "A" else "B"),
        sign(b"x" * 32, Link("example", message, A, NOW + 1_000)),
        sign(key, Link("example", message, A, NOW - 1)),
        "x",
        ".",
    ]
    for number, token in enumerate(wrong):
        async with site.session.get(f"{site.pages}/held/{token}") as answer:
            assert answer.status == 404, number
        if number == 1:
            site.house.clock.advance(61)
    site.house.clock.advance(61)
    async with site.session.get(f"{site.pages}/held/{sign(key, Link('example', message, B, NOW + 1_000))}") as answer:
        assert answer.status == 404  # not held for him
    async with site.session.get(f"{site.api}/held/{good}") as answer:
        assert answer.status == 404  # the API's origin shows no strangers' content


@pytest.mark.parametrize(("plan", "asked"), [("all", False), ("spam", True), ("none", True)])
async def test_a_link_releases_no_more_than_policy_lets_its_recipient(site: Site, plan: str, asked: bool) -> None:
    known = site.house.customers["example"]
    site.house.customers["example"] = msgspec.structs.replace(known, users_release=plan)
    event = await site.house.hold(quarantined(A, B))  # for a virus
    link = f"{site.pages}/held/{sign(site.house.secrets.links, Link('example', event.id, A, NOW + DAY))}"
    async with site.session.get(link) as answer:
        assert ("Chiedi di recapitarlo" in await answer.text()) is asked
    async with site.session.post(link, data={"action": "release"}) as answer:
        assert ("amministratori" in await answer.text()) is asked
    assert [len(site.house.bus.events(topic)) for topic in (COMMANDS, REQUESTS)] == [int(not asked), int(asked)]
    user = site.tokens[Role.USER]
    _, said = await site.ask("POST", f"example/messages/{event.id}/release", user, json={})
    assert said["decided"] == ("later" if asked else "now")
    for request in site.house.bus.events(REQUESTS):
        await site.house.handle(request)
    helpdesk = site.tokens[Role.HELPDESK]
    _, said = await site.ask("GET", "example/messages", helpdesk, params={"reported": "wanted"})
    assert [message["recipient"] for message in said["messages"]] == ([A] if asked else [])
    _, said = await site.ask("POST", f"example/messages/{event.id}/release", helpdesk, json={})
    assert said["decided"] == "now"  # whoever is asked may


async def test_a_report_may_remember_the_sender(site: Site) -> None:
    event = await site.house.hold(quarantined(A))
    body = {"as": "spam", "remember": True}
    assert (await site.ask("POST", f"example/messages/{event.id}/report", site.tokens[Role.USER], json=body))[0] == 202
    (entry,) = site.house.bus.events(SENDERS)
    assert isinstance(entry, SenderEntry)
    assert (entry.sender, entry.approved, len(entry.whom)) == ("x@sender.test", False, 64)
    assert A not in repr(msgspec.structs.replace(entry, by=""))
    assert len(site.house.bus.events(REQUESTS)) == 1


async def test_mistakes_are_one_line_and_name_nothing_that_was_written(site: Site) -> None:
    event = await site.house.hold(quarantined(A))
    admin = site.tokens[Role.ADMINISTRATOR]
    place = f"example/messages/{event.id}"
    for path, body, expected in (
        (f"{place}/release-to", {"to": "soc@elsewhere.test"}, 422),
        (f"{place}/report", {"as": "virus-secret"}, 422),
        (f"{place}/release", {"recipients": "no-secret"}, 422),
        (f"{place}/release", {"unknown": 1}, 422),
        ("example/messages/..%2f..%2fx/release", {}, 404),
    ):
        status, said = await site.ask("POST", path, admin, json=body)
        assert status == expected, path
        assert "secret" not in json.dumps(said)
    assert (await site.ask("POST", f"{place}/release", admin, data=b"x" * 300_000))[0] == 413
    with contextlib.suppress(BusUnavailable):
        site.house.bus.down = True
        assert (await site.ask("POST", f"{place}/release", admin, json={}))[0] == 503
