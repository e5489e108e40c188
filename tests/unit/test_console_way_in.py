"""The way in, as a person goes it: invited, link, password, domain proved, routed, tested, published."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from services.console.caller import Caller
from services.console.roles import Role
from tests.house.asgi import Browser
from tests.house.console import PASSWORD, ConsoleHouse, console_house


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[ConsoleHouse]:
    async with console_house(tmp_path) as house:
        yield house


async def test_from_the_invitation_to_a_domain_that_mail_is_taken_for(house: ConsoleHouse) -> None:
    operator = await house.person(Role.OPERATOR, "")
    form = {"id": "acme", "name": "Acme", "owner": "Ann@acme.test", "region": "eu", "language": "it"}
    assert (await operator.fill("/customers", form)).to == "/customers?done=customer-added"
    await house.settle()
    order, link = house.post.sent[-1]
    assert order.kind == "activate"

    ann = house.browser("192.0.2.9")
    assert "ann@acme.test" in (await ann.get(f"/link/{link}")).text
    assert (await ann.post(f"/link/{link}", {"password": PASSWORD, "again": PASSWORD})).status == 303
    assert (await ann.get("/")).to == "/c/acme"
    assert '<html lang="it">' in (await ann.get("/c/acme")).text  # as she was invited

    assert (await ann.fill("/c/acme/domains", {"name": "ACME.test."})).to.startswith("/c/acme/domains/acme.test")
    page = "/c/acme/domains/acme.test"
    assert "_gatepost.acme.test" in (await ann.get(page)).text
    assert (await ann.fill(page, {"action": "prove"})).status == 409  # nothing is there yet
    proof = (await house.desk.domains.domain(await who(house, ann), customer="acme", name="acme.test")).proof
    house.dns.zone["_gatepost.acme.test", "TXT"] = (b"v=spf1 -all", proof.encode())
    assert (await ann.fill(page, {"action": "prove"})).status == 303
    route = {
        "action": "route",
        "relay": "192.0.2.25:2525\nmx:acme.test\n[2001:4860::25]",
        "tls": "",
        "recipients": "any",
    }
    refused = await ann.fill(page, route | {"relay": "127.0.0.1:25"})
    assert refused.status == 409  # the service's own machine is no MTA of hers
    refused = await ann.fill(page, route)
    assert refused.status == 409  # nor is a network for documentation
    assert (await ann.fill(page, route | {"relay": "198.41.0.4:2525\nmx:acme.test\n[2001:4860::25]"})).status == 303
    await house.settle()

    event = house.published("acme")
    assert event is not None
    assert (event.origin, event.name, [domain.name for domain in event.domains]) == ("console", "Acme", ["acme.test"])
    assert [(host.host, host.port, host.lookup) for host in event.domains[0].relay] == [
        ("198.41.0.4", 2525, ""),
        ("acme.test", 25, "mx"),
        ("2001:4860::25", 25, ""),
    ]
    assert [order.kind for order, _ in house.post.sent] == ["activate", "activate", "welcome"]
    house.dns.zone["acme.test", "MX"] = ("10 mx1.console.test", "20 mx2.console.test")
    shown = (await ann.get(page)).text
    assert "la posta viene accettata" in shown
    assert "Il record MX punta qui." in shown
    for host in ("mx1", "mx2"):
        house.dns.zone[f"{host}.console.test", "A"] = ("10.0.0.9",)
    by_mx = await ann.fill(page, {"action": "test-mx", "recipient": "bob@acme.test"})
    assert "* MX acme.test: 10 mx1.console.test, 20 mx2.console.test" in by_mx.text
    assert "mx1.console.test has private addresses only" in by_mx.text


async def who(house: ConsoleHouse, browser: Browser) -> Caller:
    caller = await house.signin.session(browser.cookies["__Host-gatepost"], browser.client)
    assert caller is not None
    return caller
