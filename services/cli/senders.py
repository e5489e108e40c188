"""`gatepost senders`: approved and blocked senders from the command line and from YAML."""

from __future__ import annotations

import time
from pathlib import Path

from schemas.catalog import SENDERS, key_of
from schemas.events import Customer, Event, SenderEntry
from services.cli.keep import bus_of, by, customer_of
from services.cli.printing import stamp, table
from services.cli.site import Site
from services.core.errors import BadAddress, ConfigError
from services.core.tree import Place
from services.quarantine import ask
from services.runtime.bus import Tombstone
from services.runtime.latest import latest
from services.runtime.yaml_tree import read_tree


async def show(site: Site, customer: str | None) -> None:
    """Print the entries."""
    async with bus_of(site) as bus:
        found = [e for e in (await latest(bus, SENDERS, SenderEntry)).values() if customer in (None, e.customer)]
    if not found:
        print("No sender is listed.")
        return
    rows = [
        (e.customer, ask.shown_whom(e.whom), e.sender, "approved" if e.approved else "blocked", e.by, stamp(e.at))
        for e in sorted(found, key=lambda e: (e.customer, e.whom, e.sender))
    ]
    print(table(("customer", "for", "sender", "list", "by", "since (UTC)"), rows))


async def change(site: Site, action: str, customer: str, sender: str, whom: str) -> str:
    """Approve, block or remove a sender, and return what a person should read."""
    async with bus_of(site) as bus:
        known = await customer_of(bus, customer)
        try:
            entry = ask.sender_entry(known, whom, sender, approved=action == "approve", by=by(), now=time.time())
        except BadAddress as error:
            raise ConfigError(str(error)) from error
        await bus.publish([Tombstone(SENDERS, key_of(entry)) if action == "remove" else entry])
    done = {"approve": "approved", "block": "blocked", "remove": "removed"}[action]
    return f"{entry.sender} {done} for {whom}"


async def apply(site: Site, file: Path) -> str:
    """Make the entries for all and for domains the file's, and return what a person should read."""
    root = read_tree(file)
    places = root.fields("senders", required=["senders"])["senders"].items("a list of entries")
    async with bus_of(site) as bus:
        there = await latest(bus, SENDERS, SenderEntry)
        wanted: dict[str, SenderEntry] = {}
        known: dict[str, Customer] = {}
        for place in places:
            entry = await _entry(bus, place, known)
            wanted[key_of(entry)] = entry
        made: list[Event | Tombstone] = [
            entry for key, entry in wanted.items() if key not in there or there[key].approved != entry.approved
        ]
        made += [
            Tombstone(SENDERS, key)
            for key, entry in there.items()
            if entry.customer in known and entry.whom.startswith(("*", "@")) and key not in wanted
        ]
        if made:
            await bus.publish(made)
    return f"{len(wanted)} entries; {len(made)} changes published"


async def _entry(bus: object, place: Place, known: dict[str, Customer]) -> SenderEntry:
    fields = place.fields("customer", "sender", "for", "list", required=["customer", "sender", "list"])
    name = fields["customer"].text()
    if name not in known:
        known[name] = await customer_of(bus, name)  # type: ignore[arg-type]  # the command's own bus
    whom = fields["for"].text() if "for" in fields else "all"
    approved = fields["list"].choice({"approved": True, "blocked": False})
    try:
        return ask.sender_entry(known[name], whom, fields["sender"].text(), approved=approved, by=by(), now=time.time())
    except BadAddress as error:
        raise place.wrong(str(error)) from error
