"""The console as a service among others: mail by its way, customers by its topics, and nobody who needs it."""

from __future__ import annotations

import re
from pathlib import Path

from schemas.catalog import CUSTOMERS
from schemas.events import Customer
from services.cli import console
from services.cli.site import Site
from services.core.customers import parse_customers
from services.runtime.kafka import KafkaBus
from services.runtime.latest import latest
from services.runtime.ports import free_ports
from services.runtime.yaml_tree import parse_tree
from tests.eventually import eventually
from tests.house.names import Names
from tests.house.person import PASSWORD, Person, arrived
from tests.house.sender import plain, send
from tests.house.services import Services
from tests.house.sink import Sink

FILE = """
customers:
  - id: globex
    domains:
      - {name: globex.test, relay: ["127.0.0.1:9"], recipients: [anna]}
    policy: {rules: [{name: all, then: quarantine}]}
"""


async def test_an_invitation_a_domain_and_its_mail_then_the_console_is_gone_and_mail_is_taken(
    tmp_path: Path, sink: Sink
) -> None:
    port, dns_port = free_ports(2)
    url = f"http://127.0.0.1:{port}"
    environ = {
        "GATEPOST_CONSOLE_PORT": str(port),
        "GATEPOST_CONSOLE_URL": url,
        "GATEPOST_CONSOLE_PRIVATE_RELAYS": "true",
        "GATEPOST_DNS": f"127.0.0.1:{dns_port}",
        "GATEPOST_SMARTHOST": f"127.0.0.1:{sink.port}",
        "GATEPOST_SCANNERS": "virus",
    }
    services = Services(tmp_path, sink.port, "console", "ingress", "policy", "delivery", environ=environ)
    async with Names(dns_port) as names, Person(url) as operator, Person(url) as ann:
        try:
            await services.up()
            kafka = services.kafka
            site = Site(kafka=kafka, store="", smtp="", database=services.database)
            link = (await console.operator(site, "op@service.test", "en")).partition("/link/")[2]
            assert (await operator.fill(f"/link/{link}", {"password": PASSWORD, "again": PASSWORD}))[0] == 200
            await operator.fill("/customers", {"id": "acme", "owner": "ann@elsewhere.test", "region": "default"})
            found = re.search(r"(/link/\S+)", await arrived(sink, "ann@elsewhere.test", "Your account"))
            assert found is not None
            assert (await ann.fill(found[1], {"password": PASSWORD, "again": PASSWORD}))[0] == 200

            page = "/c/acme/domains/acme.test"
            await ann.fill("/c/acme/domains", {"name": "acme.test"})
            proof = re.search(r"gatepost-domain=\w+", await ann.page(page))
            assert proof is not None
            names.zone["_gatepost.acme.test", "TXT"] = [f'"{proof[0]}"']
            assert (await ann.fill(page, {"action": "prove"}))[0] == 200
            await ann.fill(page, {"action": "route", "relay": f"127.0.0.1:{sink.port}", "tls": "", "recipients": "any"})
            assert "gatepost.internal" in await arrived(sink, "ann@elsewhere.test", "Mail for acme.test")

            async def taken(recipient: str) -> bool:
                return (await send(services.doors["ingress"], plain("x"), recipients=[recipient])).code == 250

            await eventually(lambda: taken("bob@acme.test"), within=15, every=0.2)

            specs = parse_customers(parse_tree(FILE, "file"))
            assert "1 changed" in await console.take_in(site, specs)
            await eventually(lambda: taken("anna@globex.test"), within=15, every=0.2)
            assert not await taken("nobody@globex.test")
            assert parse_customers(parse_tree(await console.export(site, ("globex",)), "exported")) == specs

            code, _ = await services.terminate("console")
            assert code == 0
            assert await taken("bob@acme.test")
            bus = KafkaBus(kafka, "test")
            held = await latest(bus, CUSTOMERS, Customer)
            await bus.close()
            assert {name: customer.origin for name, customer in held.items()} == {
                "example": "",
                "acme": "console",
                "globex": "console",
            }
        finally:
            await services.down()
