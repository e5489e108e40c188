"""The whole way in, against a running Gatepost: an invitation that arrives as mail, and mail that flows at the end."""

from __future__ import annotations

import re
from pathlib import Path

from services.runtime.ports import free_ports
from tests.eventually import eventually
from tests.house.gatepost import House
from tests.house.names import Names
from tests.house.person import PASSWORD, Person, arrived
from tests.house.sender import EICAR, GTUBE, plain, send, with_attachment
from tests.house.sink import Sink
from tests.integration.backing import arguments, environ


async def test_from_an_invitation_to_the_first_filtered_message(tmp_path: Path, sink: Sink) -> None:
    port, dns_port = free_ports(2)
    settings = {
        **environ(),
        "GATEPOST_DNS": f"127.0.0.1:{dns_port}",
        "GATEPOST_SMARTHOST": f"127.0.0.1:{sink.port}",  # the invitation goes to somebody elsewhere
        "GATEPOST_CONSOLE_PRIVATE_RELAYS": "true",
        "GATEPOST_CONSOLE_MX": "here:mx.gp.test",
    }
    house = House(tmp_path / "data", port, *arguments(tmp_path.name), environ=settings)
    async with Names(dns_port) as names, house, Person(house.console) as operator, Person(house.console) as ann:
        made = await house.gatepost("console", "operator", "op@service.test")
        assert made.code == 0, made.err
        link = made.out.strip().removeprefix(house.console)
        status, _ = await operator.fill(link, {"password": PASSWORD, "again": PASSWORD})
        assert status == 200
        invitation = {"id": "acme", "name": "Acme", "owner": "ann@elsewhere.test", "region": "here"}
        status, shown = await operator.fill("/customers", invitation)
        assert (status, "The customer was added" in shown) == (200, True)

        text = await arrived(sink, "ann@elsewhere.test", "Your account")
        found = re.search(rf"{re.escape(house.console)}(/link/\S+)", text)
        assert found is not None, text
        status, shown = await ann.fill(found[1], {"password": PASSWORD, "again": PASSWORD})
        assert (status, "Your password is set" in shown) == (200, True)

        await ann.fill("/c/acme/domains", {"name": "acme.test"})
        page = "/c/acme/domains/acme.test"
        proof = re.search(r"gatepost-domain=\w+", await ann.page(page))
        assert proof is not None
        assert (await ann.fill(page, {"action": "prove"}))[0] == 409
        names.zone["_gatepost.acme.test", "TXT"] = [f'"{proof[0]}"']
        names.zone["acme.test", "MX"] = ["10 mx.gp.test."]
        status, shown = await ann.fill(page, {"action": "prove"})
        assert (status, "The domain is proved" in shown) == (200, True)
        route = {"action": "route", "relay": f"127.0.0.1:{sink.port}", "tls": "", "recipients": "any"}
        assert (await ann.fill(page, route))[0] == 200
        status, shown = await ann.fill(page, {"action": "test", "recipient": "postmaster@acme.test"})
        assert "Your server took the message" in shown, shown
        assert "RCPT TO:&lt;postmaster@acme.test&gt;" in shown
        assert [arrival.recipients for arrival in sink.arrivals][-1] == ("postmaster@acme.test",)
        assert "mx.gp.test" in await arrived(sink, "ann@elsewhere.test", "Mail for acme.test")

        async def live() -> bool:
            return "mail is taken" in await ann.page(page)

        await eventually(live, within=15, every=0.2)
        shown = await ann.page(page)
        assert "The MX record points here" in shown
        assert (await send(port, plain("first light"), recipients=["bob@acme.test"])).code == 250
        assert (await send(port, with_attachment("bad", "a.com", EICAR), recipients=["bob@acme.test"])).code == 250
        await eventually(lambda: any(one.header("subject") == "first light" for one in sink.arrivals), within=20)
        first = next(one for one in sink.arrivals if one.header("subject") == "first light")
        assert "status=clean" in first.header("x-gatepost")

        async def traced() -> bool:
            shown = await ann.page("/c/acme/messages?recipient=bob@acme.test")
            return "delivered" in shown and "held" in shown

        await eventually(traced, within=20, every=0.2)

        assert (await ann.fill("/c/acme/accounts", {"action": "invite", "address": "it@acme.test", "role": "auditor"}))[
            0
        ] == 200
        assert "/link/" in await arrived(sink, "it@acme.test", "Your account")  # by the customer's own hosts
        assert not any(one.header("subject") == "bad" for one in sink.arrivals)
        await a_user_releases(house, sink, ann, port)
        await a_policy_is_tried_and_works_on_the_next_message(ann, sink, port)


async def a_user_releases(house: House, sink: Sink, owner: Person, port: int) -> None:
    """From the activation mail over the first session to a held message that arrives at the MTA."""
    held = plain("an offer", f"{GTUBE}\r\n")
    assert (await send(port, held, recipients=["bob@acme.test"])).code == 250
    form = {"action": "add", "kind": "user", "address": "bob@acme.test", "name": "Bob", "invite": "yes"}
    assert (await owner.fill("/c/acme/users", form))[0] == 200
    mail = await arrived(sink, "bob@acme.test", "Your held mail")
    found = re.search(rf"{re.escape(house.users)}(/link/\S+)", mail)
    assert found is not None, mail
    async with Person(house.users) as bob:
        chosen = {"address": "bob@acme.test", "password": PASSWORD, "again": PASSWORD}
        status, shown = await bob.fill(found[1], chosen)
        assert (status, "Your password is set" in shown) == (200, True)

        async def listed() -> bool:
            return "an offer" in await bob.page("/")

        await eventually(listed, within=20, every=0.2)
        one = re.search(r'href="(/held/\w+)">an offer', await bob.page("/"))
        assert one is not None
        assert GTUBE in await bob.page(f"{one[1]}/text")
        status, shown = await bob.fill(one[1], {"action": "release"})
        assert (status, "On its way to you" in shown) == (200, True)
        await eventually(lambda: any(each.header("subject") == "an offer" for each in sink.arrivals), within=20)
        (arrival,) = [each for each in sink.arrivals if each.header("subject") == "an offer"]
        assert arrival.content.endswith(held)

        async def settled() -> bool:
            return "delivered" in await bob.page("/?everything=yes")

        await eventually(settled, within=20, every=0.2)


async def a_policy_is_tried_and_works_on_the_next_message(ann: Person, sink: Sink, port: int) -> None:
    page = "/c/acme/policies/rule"
    version = re.search(r'name="version" value="(\w+)"', await ann.page(page))
    assert version is not None
    rule = {
        "name": "bob",
        "place": "1",
        "on": "yes",
        "version": version[1],
        "recipients": "bob@acme.test",
        "tag_subject": "[BOB]",
        "bcc": "archive@acme.test",
        "notify": "desk@acme.test",
    }
    status, shown = await ann.fill(page, {**rule, "action": "try"})
    assert (status, "3 would be treated otherwise" in shown) == (200, True), shown
    assert re.search(r'href="/c/acme/messages/\w{26}">first light</a>', shown), shown
    assert "copy to archive@acme.test" in shown
    assert (await ann.fill(page, {**rule, "action": "save"}))[0] == 200

    async def arrives() -> bool:  # the rule is on its way to policy for a moment
        assert (await send(port, plain("second light"), recipients=["bob@acme.test"])).code == 250
        await eventually(lambda: "second light" in [one.header("subject")[-12:] for one in sink.arrivals], within=20)
        return "[BOB] second light" in [one.header("subject") for one in sink.arrivals]

    await eventually(arrives, within=20, every=0.5)
    audit = await ann.page("/c/acme/audit")
    assert "domain-routed" in audit
    assert "policy-changed" in audit
    told = await arrived(sink, "desk@acme.test", "A message was delivered")
    assert "second light" in told
    for whom in ("bob@acme.test", "archive@acme.test"):
        await eventually(
            lambda: any(
                one.recipients == (whom,) and one.header("subject") == "[BOB] second light"  # noqa: B023 - awaited here
                for one in sink.arrivals
            ),
            within=20,
        )
