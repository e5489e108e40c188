"""What commands print of the mailbox, of what is held, of signals and of a scan."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import orjson

from schemas.catalog import SIGNALS
from schemas.events import Evidence, Signal
from services.cli.printing import plain, stamp, table
from services.cli.site import Site
from services.core.errors import ConfigError
from services.core.signals import Signals
from services.mailbox.app import listing
from services.quarantine.decide import Held
from services.quarantine.index import Index
from services.quarantine.tables import WANTED
from services.runtime.kafka import KafkaBus
from services.scanners.briefing import Briefing
from services.scanners.file import scan_file


def mailbox(folder: Path, show: int | None) -> None:
    """Print what arrived at the built-in mailbox, newest last; or one message as it arrived."""
    items = listing(folder)
    if show is None:
        if not items:
            print("The mailbox is empty.")
            return
        rows = [
            (str(number), stamp(item.received_at), item.reverse_path or "<>", ", ".join(item.recipients), item.subject)
            for number, item in enumerate(items, 1)
        ]
        print(table(("#", "arrived (UTC)", "from", "to", "subject"), rows))
        return
    if not 1 <= show <= len(items):
        raise ConfigError(f"there is no message {show}; the mailbox has {len(items)}")
    sys.stdout.buffer.write(items[show - 1].path.read_bytes())


async def held_list(site: Site, customer: str | None, state: str | None, limit: int) -> None:
    """Print held messages, newest first."""
    index = await Index.open(site.database)
    try:
        rows = await index.list(customer=customer, state=state, limit=limit)
    finally:
        await index.close()
    if not rows:
        print("Nothing is held.")
        return
    cells = [
        (row.id, stamp(row.held_at), _state(row), row.recipient, row.reverse_path or "<>", row.subject, row.reason)
        for row in rows
    ]
    print(table(("id", "held (UTC)", "state", "to", "from", "subject", "reason"), cells))


def _state(row: Held) -> str:
    return f"{row.state} ({row.reported})" if row.reported == WANTED else row.state


async def held_show(site: Site, message: str) -> None:
    """Print everything that is known of a held message."""
    index = await Index.open(site.database)
    try:
        rows = await index.get(message)
        disposition = await index.disposition(message)
    finally:
        await index.close()
    if not rows:
        raise ConfigError(f"{message} was never held; `gatepost quarantine list --all` shows what was")
    evidence = disposition.evidence if disposition else ()
    print("\n\n".join(_described(row, evidence) for row in rows))


def _described(row: Held, evidence: Iterable[Evidence]) -> str:
    lines = [
        ("message", row.id),
        ("state", row.state),
        ("customer", f"{row.customer} ({row.domain})"),
        ("from", row.reverse_path or "<>"),
        ("to", row.recipient),
        ("subject", row.subject),
        ("size", f"{row.size} octets"),
        ("received", f"{stamp(row.received_at)} UTC"),
        ("held", f"{stamp(row.held_at)} UTC, until {stamp(row.expires_at)} UTC"),
        ("verdict", f"{row.status}, score {row.score:.1f}"),
        ("rule", row.rule),
        ("reason", row.reason),
        *((f"  {e.code}", f"{e.score:+.1f} {e.text}") for e in evidence),
    ]
    return "\n".join(f"{name + ':':14} {plain(text)}" for name, text in lines)


async def signals(site: Site) -> None:
    """Print the signals that hold at present, the latest first."""
    bus, view = KafkaBus(site.kafka, "gatepost-signals"), Signals()
    try:
        async for record in bus.read(SIGNALS):
            if isinstance(record.event, Signal):
                view.apply(record.event)
            else:
                view.remove(record.key)
    finally:
        await bus.close()
    active = view.all_active(time.time())
    if not active:
        print("No signal is active.")
        return
    rows = [
        (one.kind, one.subject, f"{one.count} in {one.window_s:.0f} s", stamp(one.at), stamp(one.until))
        for one in active
    ]
    print(table(("kind", "subject", "counted", "last seen (UTC)", "holds until (UTC)"), rows))


async def scanned(files: Sequence[Path], briefing: Briefing, *, as_json: bool, outgoing: bool = False) -> None:
    """Run the scanners on each file, told what the briefing says, and print what they say."""
    for path in files:
        findings = await scan_file(path, briefing=briefing, outgoing=outgoing)
        if as_json:
            print(
                orjson.dumps(
                    {"file": str(path), "findings": {spec.name: finding for spec, finding in findings}},
                    default=_struct,
                ).decode()
            )
            continue
        print(plain(str(path)))
        for spec, finding in findings:
            head = f"  {spec.name:10} {finding.status.value:11} {finding.score:7.1f}  {finding.elapsed_ms:6.1f} ms"
            print(f"{head}  {plain(finding.engine)}")
            for evidence in finding.evidence:
                print(f"    {evidence.score:+6.1f}  {plain(evidence.code)}: {plain(evidence.text)}")


def _struct(value: object) -> object:
    return {name: getattr(value, name) for name in value.__struct_fields__}  # type: ignore[attr-defined]  # msgspec
