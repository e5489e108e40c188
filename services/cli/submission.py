"""`gatepost submission holds|hold|lift`: who may send nothing at present, from the command line."""

from __future__ import annotations

import time
from typing import Final

from schemas.catalog import CUSTOMERS, SENDER_HOLDS
from schemas.events import Customer, SenderHold
from services.cli.keep import bus_of, by
from services.cli.printing import stamp, table
from services.cli.site import Site
from services.core.address import parse
from services.core.errors import BadAddress, ConfigError
from services.core.holds import SenderHolds
from services.runtime.bus import Bus
from services.runtime.latest import latest

HOUR: Final = 3_600.0


async def show(site: Site, customer: str | None) -> None:
    """Print who is held."""
    async with bus_of(site) as bus:
        view = await _holds(bus)
    found = [hold for hold in view.all() if customer in (None, hold.customer)]
    if not found:
        print("No sender is held.")
        return
    rows = [(hold.customer, hold.sender, stamp(hold.at), hold.by, hold.why) for hold in found]
    print(table(("customer", "sender", "since (UTC)", "by", "why"), rows))


async def hold(site: Site, sender: str, why: str) -> str:
    """Hold a sender, and return what a person should read."""
    async with bus_of(site) as bus:
        name, customer = await _owner(bus, sender)
        await bus.publish([SenderHold(customer=customer, sender=name, held=True, why=why, by=by(), at=time.time())])
    return f"{name} is held: further messages are put off, those under way go into the quarantine"


async def lift(site: Site, sender: str, why: str, hours: float) -> str:
    """Let a sender go, and return what a person should read."""
    now = time.time()
    async with bus_of(site) as bus:
        name, customer = await _owner(bus, sender)
        if (await _holds(bus)).held(customer, name) is None:
            raise ConfigError(f"{name} isn't held; `gatepost submission holds` lists who is")
        let_go = SenderHold(
            customer=customer, sender=name, held=False, why=why, by=by(), at=now, spared_until=now + hours * HOUR
        )
        await bus.publish([let_go])
    return f"{name} may send again; for {hours:g} h it is not held for what it sends"


async def _holds(bus: Bus) -> SenderHolds:
    view = SenderHolds()
    for each in (await latest(bus, SENDER_HOLDS, SenderHold)).values():
        view.apply(each)
    return view


async def _owner(bus: Bus, sender: str) -> tuple[str, str]:
    """Return the sender as holds name it, and the id of its customer."""
    try:
        address = parse(sender)
    except BadAddress as error:
        raise ConfigError(f"{sender[:80]!r} is no address: {error}") from error
    for customer in (await latest(bus, CUSTOMERS, Customer)).values():
        if any(domain.name == address.domain for domain in customer.domains):
            return str(address).lower(), customer.id
    raise ConfigError(f"{address.domain} is no customer's domain")
