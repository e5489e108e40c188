"""A campaign over two customers is recognised as one, on a real Kafka; a newsletter in the same numbers is not."""

from __future__ import annotations

import asyncio
import itertools
import random
from pathlib import Path
from typing import cast

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

from schemas.catalog import DISPOSITIONS, PARTITIONS, REQUESTS
from schemas.events import Act, Action, Disposition, QuarantineRequest, Status
from services.runtime.kafka import KafkaBus
from services.runtime.ports import free_ports
from tests.eventually import eventually
from tests.house.gatepost import House
from tests.house.sender import send
from tests.house.sink import Sink

CONFIG = """
customers:
  - id: acme
    domains: [{{name: acme.test, relay: ["127.0.0.1:{port}"], recipients: any}}]
    policy:
      rules: [{{name: hold, when: {{recipients: [u0@acme.test]}}, then: quarantine}}]
  - id: zeta
    domains: [{{name: zeta.test, relay: ["127.0.0.1:{port}"], recipients: any}}]
"""
SETTINGS = {
    "GATEPOST_SCANNERS": "auth,outbreak,virus",  # what is held must be bad by nothing but the burst
    "GATEPOST_SIGNALS_OUTBREAK": "8",
    "GATEPOST_SIGNALS_OUTBREAK_SOURCES": "40",
    "GATEPOST_INGRESS_REVERSE_DNS": "false",
}
CLUB = "club@garden.test"
HEAD = "From: {who}\r\nTo: you@{domain}\r\nSubject: {subject}\r\nMessage-ID: <{n}@x.test>\r\n\r\n"
LETTER = (
    "Hello {name},\r\nthe parcel {number} that you are waiting for is kept at our depot, since the driver could not "
    "find the house.\r\nPlease look at the map and tell us where to bring it by the end of the week, else it goes back "
    "to where it came from.\r\nThe map is at http://depot{number}.parcels.test/map and your own code is {number}.\r\n"
    "Yours, the team of the depot\r\n"
)
NEWS = (
    "Welcome to the monthly letter of the garden club.\r\nThis month we speak of roses, of how to prune an apple tree, "
    "and of the best soil for potatoes.\r\nThe yearly meeting is in the village hall, and members bring a cake.\r\n"
    "Read more at http://garden.test/news about the new greenhouse.\r\n"
)


class Names(asyncio.DatagramProtocol):
    """A name server: garden.test says by SPF that its mail comes from here, and nobody else exists."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply = dns.message.make_response(dns.message.from_wire(data))
        reply.flags |= dns.flags.RA
        (question,) = reply.question
        if str(question.name) == "garden.test.":
            if dns.rdatatype.to_text(question.rdtype) == "TXT":
                text = '"v=spf1 ip4:127.0.0.0/8 -all"'
                reply.answer.append(dns.rrset.from_text(question.name, 300, "IN", "TXT", text))
        else:
            reply.set_rcode(dns.rcode.NXDOMAIN)
        self._transport.sendto(reply.to_wire(), addr)


def letter(n: int, domain: str) -> bytes:
    chance = random.Random(n)
    text = LETTER.format(name=chance.choice(("Ann", "Ben", "Cleo", "Dora")), number=chance.randrange(10**6))
    return (HEAD.format(who=f"depot{n}@parcels{n}.test", domain=domain, subject=f"Parcel {n}", n=n) + text).encode()


def news(n: int, domain: str) -> bytes:
    return (HEAD.format(who="club@garden.test", domain=domain, subject="Garden letter", n=f"news{n}") + NEWS).encode()


async def dispositions(bus: KafkaBus) -> list[Disposition]:
    return [r.event async for r in bus.read(DISPOSITIONS) if isinstance(r.event, Disposition)]


async def test_a_campaign_over_two_customers_is_told_and_a_newsletter_is_not(tmp_path: Path, sink: Sink) -> None:
    config = tmp_path / "gatepost.yaml"
    config.write_text(CONFIG.format(port=sink.port))
    loop = asyncio.get_running_loop()
    names, _ = await loop.create_datagram_endpoint(Names, ("127.0.0.1", 0))
    environ = {
        **SETTINGS,
        "GATEPOST_PARTITIONS": str(PARTITIONS),  # as this process, which reads the topics itself
        "GATEPOST_DNS": "127.0.0.1:{}".format(names.get_extra_info("sockname")[1]),
    }
    async with House(tmp_path / "data", free_ports(1)[0], "--config", str(config), environ=environ) as house:
        bus = KafkaBus(house.site.kafka, "outbreak-test")
        await bus.start()
        try:
            for n in range(16):
                domain = ("acme.test", "zeta.test")[n % 2]
                for message, sender in ((news(n, domain), CLUB), (letter(n, domain), f"depot{n}@parcels{n}.test")):
                    assert (await send(house.port, message, [f"u{n}@{domain}"], sender)).code == 250

            async def is_told() -> bool:
                return "outbreak" in (await house.gatepost("signals")).out

            await eventually(is_told, 45, every=0.5)
            later = itertools.count(100)

            async def is_judged() -> bool:
                """Send one more, and see whether policy knows by now."""
                await send(house.port, letter(next(later), "zeta.test"), ["last@zeta.test"], "depot@more.test")
                found = [d for d in await dispositions(bus) if "last@zeta.test" in d.received.envelope.recipients]
                return any(e.code == "OUTBREAK" for d in found for e in d.evidence)

            await eventually(is_judged, 30, every=0.5)

            async def is_made_worse() -> bool:
                """See what is asked of the quarantine about the letter that was held before the burst was told."""
                sender = "depot0@parcels0.test"
                (first,) = [d for d in await dispositions(bus) if d.received.envelope.reverse_path == sender]
                assert first.branches[0].action is Action.QUARANTINE
                asked = [r.event async for r in bus.read(REQUESTS) if isinstance(r.event, QuarantineRequest)]
                assert all(request.act is Act.RAISE for request in asked)
                return {request.id for request in asked} == {first.received.id}

            await eventually(is_made_worse, 30, every=0.5)
            assert (await send(house.port, news(99, "acme.test"), ["u@acme.test"], CLUB)).code == 250

            async def of_the_club() -> list[Disposition]:
                return [d for d in await dispositions(bus) if d.received.envelope.reverse_path == CLUB]

            async def all_decided() -> bool:
                return len(await of_the_club()) == 17

            await eventually(all_decided, 30, every=0.5)
            found = await of_the_club()
            assert all(any(m == "spf" and text.startswith("pass") for m, text in d.auth_results) for d in found)
            assert len(set.intersection(*(set(d.prints) for d in found))) > 1  # alike all the same
            assert {d.status for d in found} == {Status.CLEAN}
            assert not any(e.code.startswith("OUTBREAK") for d in found for e in d.evidence)
        finally:
            await bus.close()
            names.close()
