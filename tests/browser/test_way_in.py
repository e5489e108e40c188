"""The whole way in, from an invitation to the first mail that is filtered."""

from __future__ import annotations

import re

import pytest

from tests.house.person import arrived
from tests.house.sender import EICAR, GTUBE, plain, with_attachment
from tests.house.town import MX, Town
from tests.house.visitor import Visitor

pytestmark = pytest.mark.asyncio(loop_scope="session")
OWNER = "ann@elsewhere.test"


async def test_from_an_invitation_to_the_first_filtered_message(town: Town) -> None:
    async with town.at_console() as operator:
        await invites(operator, await town.operator_link("boss@service.test"))
    async with town.at_console() as ann:
        link = await town.link(OWNER, "Your account")
        await ann.choose_password(link)
        await ann.see("Your password is set.", "Trial: 29 days left.")
        await proves_the_domain(ann, town)
        await names_the_mta(ann, town)
        await points_the_mx_here(ann, town)
        await has_mail_filtered(ann, town)
        await ann.press("Log out")
        await ann.open(link)  # it was used
        await ann.see("This link is not valid")


async def invites(operator: Visitor, link: str) -> None:
    await operator.choose_password(link)
    await operator.see("Your password is set.")
    await operator.fill("Id", "acme")
    await operator.fill("Name", "Acme Ltd")
    await operator.fill("The owner's e-mail address", OWNER)
    await operator.choose("Region", "here")
    await operator.press("Invite")
    await operator.see("The customer was added, and its owner invited.")


async def proves_the_domain(ann: Visitor, town: Town) -> None:
    await ann.press("Add your domain")
    await ann.fill("Domain name", "acme.test")
    await ann.press("Add a domain")
    await ann.see("Now prove it.")
    await ann.press("Check the record")
    shown = await ann.see("acme.test has no such TXT record yet")
    proof = re.search(r'_gatepost\.acme\.test\. IN TXT "(gatepost-domain=\w+)"', shown)
    assert proof is not None, shown
    town.names.zone["_gatepost.acme.test", "TXT"] = [f'"{proof[1]}"']
    await ann.press("Check the record")
    await ann.see("The domain is proved.")


async def names_the_mta(ann: Visitor, town: Town) -> None:
    """The dialogue with it is seen in the page, of a test that fails and of one that doesn't."""
    await ann.fill("Hosts, one a line, best first", f"127.0.0.1:{town.sink.port}")
    await ann.press("Save")
    await ann.see("Saved; it counts within seconds.")
    town.sink.refuse = lambda address: "550 5.1.1 nobody here" if address == "typo@acme.test" else None
    await ann.fill("Recipient of the test", "typo@acme.test")
    await ann.press("Send a test message")
    await ann.see("Your server did not take the message", "RCPT TO:<typo@acme.test>", "550 5.1.1 nobody here")
    await ann.fill("Recipient of the test", "postmaster@acme.test")
    await ann.press("Send a test message")
    await ann.see("Your server took the message.", "RCPT TO:<postmaster@acme.test>", "250 2.0.0 taken")
    assert town.sink.arrivals[-1].recipients == ("postmaster@acme.test",)


async def points_the_mx_here(ann: Visitor, town: Town) -> None:
    await ann.see(f"acme.test. IN MX 10 {MX}.", "The MX record does not point here yet.", "48 hours")
    assert f"{MX}." in await arrived(town.sink, OWNER, "Mail for acme.test: the next step")
    town.names.zone["acme.test", "MX"] = [f"10 {MX}."]
    await ann.open("/c/acme/domains/acme.test")
    await ann.comes("The MX record points here.", "mail is taken")


async def has_mail_filtered(ann: Visitor, town: Town) -> None:
    """What is good arrives as it was sent; spam and a virus are held, and the pages say so."""
    await town.send(plain("first light"), "bob@acme.test")
    await town.send(plain("an offer", f"{GTUBE}\r\n"), "bob@acme.test")
    await town.send(with_attachment("a parcel", "a.com", EICAR), "bob@acme.test")
    arrival = await town.arrival("first light")
    assert arrival.content.endswith(plain("first light"))
    assert "status=clean" in arrival.header("x-gatepost")
    await ann.press("Messages")
    await ann.fill("Recipient, or @domain", "bob@acme.test")
    await ann.press("Search")
    await ann.comes("first light", "delivered", "an offer", "a parcel", "held")
    await ann.press("Quarantine")
    shown = await ann.comes("an offer", "a parcel")
    assert "first light" not in shown
    assert not town.arrivals("an offer")
    assert not town.arrivals("a parcel")
    await ann.press("Dashboard")
    await ann.comes("Received\n3", "Delivered\n1", "Quarantined\n2", "Stopped, by layer")
