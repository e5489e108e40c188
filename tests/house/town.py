"""A whole Gatepost and who is about it: an operator, a name system, a customer's MTA, senders, people with browsers."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Final

from services.runtime.ports import free_ports
from tests.eventually import eventually
from tests.house.chromium import Browser, browsing
from tests.house.gatepost import House
from tests.house.names import Names
from tests.house.person import PASSWORD, Person, arrived
from tests.house.sender import Reply, send
from tests.house.sink import Arrival, Sink
from tests.house.visitor import Visitor
from tests.parts import program

WITHIN: Final = 60.0  # seconds for what must come
MX: Final = "mx.gp.test"


class Town:
    """Everything that a journey needs."""

    def __init__(self, house: House, sink: Sink, names: Names, browser: Browser, operator: Person) -> None:
        self.house = house
        self.sink = sink
        self.names = names
        self.browser = browser
        self._operator = operator

    @contextlib.asynccontextmanager
    async def at_console(self) -> AsyncIterator[Visitor]:
        """Somebody at the administrators' console."""
        async with self.browser.tab() as tab:
            yield Visitor(tab, self.house.console)

    @contextlib.asynccontextmanager
    async def at_users(self) -> AsyncIterator[Visitor]:
        """Somebody at the users' console."""
        async with self.browser.tab() as tab:
            yield Visitor(tab, self.house.users)

    async def operator_link(self, address: str) -> str:
        """Return the link with which an operator begins."""
        made = await self.house.gatepost("console", "operator", address)
        assert made.code == 0, made.err
        return made.out.strip()

    async def link(self, address: str, subject: str) -> str:
        """Return the one link of a mail that has come; it leads to one of the consoles and to nowhere else."""
        text = await arrived(self.sink, address, subject)
        (link,) = re.findall(r"https?://\S+", text)
        assert link.startswith((f"{self.house.console}/", f"{self.house.users}/")), link
        return str(link)

    async def customer(self, name: str) -> str:
        """Take a customer in, up to mail for NAME.test that flows; return the address of its owner."""
        owner = f"owner@{name}-it.test"
        form = {"id": name, "name": name.title(), "owner": owner, "region": "here"}
        assert (await self._operator.fill("/customers", form))[0] == 200
        link = await self.link(owner, "Your account")
        async with Person(self.house.console) as person:
            await person.fill(link.removeprefix(person.base), {"password": PASSWORD, "again": PASSWORD})
            await person.fill(f"/c/{name}/domains", {"name": f"{name}.test"})
            page = f"/c/{name}/domains/{name}.test"
            proof = re.search(r"gatepost-domain=\w+", await person.page(page))
            assert proof is not None
            self.names.zone[f"_gatepost.{name}.test", "TXT"] = [f'"{proof[0]}"']
            assert (await person.fill(page, {"action": "prove"}))[0] == 200
            route = {"action": "route", "relay": f"127.0.0.1:{self.sink.port}", "tls": "", "recipients": "any"}
            assert (await person.fill(page, route))[0] == 200

            async def live() -> bool:
                return "mail is taken" in await person.page(page)

            await eventually(live, within=WITHIN, every=0.2)
        return owner

    async def user(self, owner: Visitor, customer: str, address: str, name: str) -> str:
        """Let the owner make a user, who is invited; return the link that came."""
        await owner.open(f"/c/{customer}/users")
        await owner.fill("E-mail address", address)
        await owner.fill("Name", name)
        await owner.press("Add a user or a group")
        await owner.see("Added.", address)
        return await self.link(address, "Your held mail")

    async def send(self, message: bytes, recipient: str, sender: str = "alice@sender.test") -> Reply:
        """Hand a message in from outside; it has to be taken."""
        reply = await send(self.house.port, message, recipients=[recipient], reverse_path=sender)
        assert reply.code == 250, reply  # RFC 5321 section 4.2.3
        return reply

    def arrivals(self, subject: str) -> list[Arrival]:
        """Return what has come to the customer's MTA under exactly this subject."""
        return [each for each in self.sink.arrivals if each.header("subject") == subject]

    async def arrival(self, subject: str) -> Arrival:
        """Return the one message of this subject, once it has come."""
        await eventually(lambda: self.arrivals(subject) != [], within=WITHIN, every=0.05)
        (found,) = self.arrivals(subject)
        return found


@contextlib.asynccontextmanager
async def town(
    folder: Path, *arguments: str, environ: Mapping[str, str] | None = None, language: str = "en"
) -> AsyncIterator[Town]:
    """A new one, in a folder of its own."""
    chromium = program("chromium")
    port, sink_port, mailbox_port = free_ports(3)
    async with Names() as names, Sink(sink_port) as sink:
        settings = {
            "GATEPOST_DNS": names.address,
            "GATEPOST_SMARTHOST": f"127.0.0.1:{sink.port}",  # mail to people elsewhere
            "GATEPOST_CONSOLE_PRIVATE_RELAYS": "true",
            "GATEPOST_CONSOLE_MX": f"here:{MX}",
            **(environ or {}),
        }
        house = House(folder / "data", port, "--mailbox-port", str(mailbox_port), *arguments, environ=settings)
        async with (
            house,
            browsing(chromium, folder / "chromium", language) as browser,
            Person(house.console) as operator,
        ):
            made = Town(house, sink, names, browser, operator)
            link = await made.operator_link("operator@service.test")
            await operator.fill(link.removeprefix(house.console), {"password": PASSWORD, "again": PASSWORD})
            yield made
