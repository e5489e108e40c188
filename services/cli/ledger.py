"""`gatepost ledger`: is every accepted message accounted for?"""

from __future__ import annotations

import dataclasses
import os
import time

import orjson

from services.cli.printing import plain, table
from services.cli.site import Site
from services.core.ledger import Account
from services.quarantine.index import Index
from services.runtime.audit import Audit, Balance
from services.runtime.kafka import KafkaBus
from services.runtime.offsets import committed
from services.runtime.open_store import open_store

WAITING = ("deciding", "delivering", "deferred", "held", "moving")


async def ledger(site: Site, *, since: float, objects: bool, young: float, as_json: bool) -> bool:
    """Print the balance, and return whether everything is accounted for."""
    bus = KafkaBus(site.kafka, "gatepost-ledger")
    index = await Index.open(site.database)
    store = await open_store(site.store, os.environ) if objects else None
    try:
        audit = Audit(
            bus,
            committed=lambda groups: committed(site.kafka, groups),
            held=index.held,
            now=time.time,
            store=store,
            since=since,
            young=young,
        )
        balance = await audit.run()
    finally:
        if store is not None:
            await store.close()
        await index.close()
        await bus.close()
    print(orjson.dumps(_json(balance)).decode() if as_json else _text(balance))
    return balance.balanced


def _text(balance: Balance) -> str:
    head = ("customer", "messages", "accepted", "= ended", "+ in flight", "balance", "of these")
    rows = [
        (
            customer,
            str(account.messages),
            str(account.accepted),
            str(account.terminal),
            str(account.in_flight),
            "balanced" if account.balanced else f"{account.accepted - account.terminal - account.in_flight} lost",
            _shares(account),
        )
        for customer, account in sorted(balance.accounts.items())
    ]
    lines = [table(head, rows)] if rows else ["Nothing was accepted."]
    lines += [
        f"{each.fault.value}: {each.id} {plain(f'{each.recipient} customer={each.customer} {each.detail}')}"
        for each in balance.named
    ]
    if balance.objects is not None:
        lines.append(f"{balance.objects} objects in the store compared; {balance.keys} keys for what is held")
    if balance.repeated:
        lines.append(f"{balance.repeated} recipients had the same outcome said again, after a crash; counted once")
    if balance.older:
        lines.append(f"{balance.older} outcomes of messages from before the log or --since; not counted")
    lines.append("balanced" if balance.balanced else f"NOT balanced: {len(balance.named)} named above")
    return "\n".join(lines)


def _shares(account: Account) -> str:
    parts = [f"{count} {state}" for state, count in sorted(account.ended.items())]
    parts += [f"{account.waiting[name]} {name}" for name in WAITING if account.waiting[name]]
    return ", ".join(parts)


def _json(balance: Balance) -> dict[str, object]:
    return {
        "balanced": balance.balanced,
        "customers": {
            customer: {
                "messages": account.messages,
                "accepted": account.accepted,
                "ended": dict(account.ended),
                "in_flight": {name: count for name, count in account.waiting.items() if count},
                "lost": account.lost,
            }
            for customer, account in sorted(balance.accounts.items())
        },
        "named": [dataclasses.asdict(each) for each in balance.named],
        "repeated": balance.repeated,
        "older": balance.older,
        "objects": balance.objects,
        "keys": balance.keys,
    }
