"""`gatepost trace`: where is this message, and what happened to it?"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterable, Sequence

import msgspec
import orjson

from schemas.events import Event, Received, Rejection
from services.cli.printing import plain, stamp, table
from services.cli.site import Site
from services.core import moments
from services.core.clock import SystemClock
from services.core.errors import ConfigError
from services.core.ids import is_message_id
from services.runtime.kafka import KafkaBus
from services.trace.app import TOPICS, Trace
from services.trace.config import TraceConfig
from services.trace.decide import DAY, Facts
from services.trace.index import Found, Index, Told
from services.trace.query import Query
from services.trace.timeline import standing, timeline

BATCH = 500  # events that a rebuild writes together
SAME = 20  # refusals of the same connection that are looked for


def moment(text: str, now: float) -> float:
    """Return a time as `core.moments` reads it; empty: 0. Raises ConfigError."""
    return moments.moment(text, now) if text else 0.0


async def show(site: Site, wanted: str, query: Query, *, as_json: bool) -> None:
    """Print the message of this id, or what the query finds; `wanted` may also be a Message-ID."""
    index = await Index.open(site.database)
    try:
        if is_message_id(wanted):
            found = await index.get(wanted, query.customer)
            if found is None:
                raise ConfigError(f"nothing is known of {wanted}")
            await _tell(index, found, query.customer, as_json=as_json)
            return
        if wanted:
            query = dataclasses.replace(query, message_id=wanted)
        rows = await index.search(query)
        if wanted and len(rows) == 1:
            await _tell(index, rows[0], query.customer, as_json=as_json)
        elif as_json:
            for row in rows:
                print(orjson.dumps(row).decode())
        else:
            print(_listing(rows, query) if rows else "Nothing is found.")
    finally:
        await index.close()


async def _tell(index: Index, found: Found, customer: str | None, *, as_json: bool) -> None:
    told = await index.events(found.id, customer)
    if as_json:
        print(orjson.dumps({**dataclasses.asdict(found), **_steps_json(told)}).decode())
        return
    print(_described(found, told))
    print()
    print(_timeline(told))
    others = await _same_connection(index, found, told, customer)
    if others:
        print("\nrefused in the same connection")
        for refused in others:
            print(f"  {_clock(refused.at)}  {plain(_to(refused) or '-')}  {plain(refused.refused)}  ({refused.id})")


async def _same_connection(index: Index, found: Found, told: list[Told], customer: str | None) -> list[Found]:
    first = next((each.event for each in told if isinstance(each.event, Received)), None)
    if first is None or not first.connected_at:
        return []
    refusals = await index.search(
        Query(
            customer=customer,
            client=found.client_ip,
            refused=True,
            since=first.connected_at,
            until=first.connected_at + 3_600,
            limit=SAME,
        )
    )
    same = []
    for refused in reversed(refusals):
        for each in await index.events(refused.id, customer):
            event = each.event
            if isinstance(event, Rejection) and (event.connected_at, event.client_port) == (
                first.connected_at,
                first.envelope.client_port,
            ):
                same.append(refused)
    return same


def _described(found: Found, told: Sequence[Told]) -> str:
    when = f"{stamp(found.at)}.{_thousandths(found.at)} UTC"
    customer = found.customer or "not known, no recipient was named"
    if found.customer and found.domain:
        customer += f" ({found.domain})"
    lines = [("customer", customer), ("client", f"{found.client_ip}{f' ({found.helo})' if found.helo else ''}")]
    why = standing((each.stamp, each.event) for each in told)
    if found.refused:
        lines = [("refusal", found.id), ("refused", f"{when}: {found.refused}"), *lines]
        if found.sender:
            lines.append(("from", found.sender))
    else:
        lines = [("message", found.id), ("received", f"{when}, {found.size} octets"), *lines]
        lines += [("from", found.sender or "<>"), ("subject", found.subject), ("message-id", found.message_id)]
    for recipient, state in found.recipients.items():
        lines.append(("to", f"{recipient}: {state}"))
        if recipient in why:
            lines.append(("", why[recipient]))
    return "\n".join(f"{name + ':' if name else '':12} {plain(text)}" for name, text in lines)


def _timeline(told: Iterable[Told]) -> str:
    steps = timeline((each.stamp, each.event) for each in told)
    if not steps:
        return "nothing is known of its way"
    lines = [f"{'time (UTC)':14}{'since start':>13}{'since last':>12}  what happened"]
    first = before = steps[0].at
    for step in steps:
        if _day(step.at) != _day(before):
            lines.append(f"{_day(step.at)}:")  # it waits for days, and a time alone would mislead
        since, last = _span(step.at - first), _span(step.at - before)
        lines.append(f"{_clock(step.at):14}{since:>13}{last:>12}  {plain(step.what)}")
        lines += [f"{'':41}{plain(line)}" for line in step.lines]
        before = step.at
    return "\n".join(lines)


def _steps_json(told: list[Told]) -> dict[str, object]:
    steps = timeline((each.stamp, each.event) for each in told)
    first = steps[0].at if steps else 0.0
    return {
        "steps": [
            {"at": step.at, "ms": round((step.at - first) * 1000, 3), "what": step.what, "lines": step.lines}
            for step in steps
        ],
        "events": [
            {"at": each.stamp, "kind": type(each.event).__name__, "event": _builtins(each.event)} for each in told
        ],
    }


def _builtins(event: Event) -> object:
    return msgspec.to_builtins(event)


def _listing(rows: list[Found], query: Query) -> str:
    cells = [
        (
            row.id,
            stamp(row.at),
            row.customer or "-",
            row.sender or (f"[{row.client_ip}]" if row.refused else "<>"),  # it may not have said from whom
            _to(row) or "-",
            row.subject if not row.refused else f"refused: {row.refused}",
            _state(row),
        )
        for row in rows
    ]
    text = table(("id", "time (UTC)", "customer", "from", "to", "subject", "state"), cells)
    if len(rows) == query.limit:
        text += f"\nmore: --before {rows[-1].id}"
    return text


def _to(row: Found) -> str:
    names = list(row.recipients)
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "") if names else ""


def _state(row: Found) -> str:
    counts: dict[str, int] = {}
    for state in row.recipients.values():
        counts[state] = counts.get(state, 0) + 1
    if len(counts) == 1:
        return next(iter(counts))
    return ", ".join(f"{count} {state}" for state, count in counts.items()) or "refused"


def _day(at: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(at))


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(at)) + f".{_thousandths(at)}"


def _thousandths(at: float) -> str:
    return f"{int(at * 1000) % 1000:03d}"


def _span(seconds: float) -> str:
    """Return a span as people read it, to the millisecond while that means something."""
    if abs(seconds) < 1:
        return f"{seconds * 1000:.1f} ms"
    if abs(seconds) < 100:  # noqa: PLR2004 - above it nobody counts milliseconds
        return f"{seconds:.3f} s "
    if seconds < 7_200:  # noqa: PLR2004 - two hours
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3600:.1f} h"


async def rebuild(site: Site, *, clear: bool) -> str:
    """Write the trace again from what the topics hold, and return what a person should read."""
    index = await Index.open(site.database)
    bus = KafkaBus(site.kafka, "gatepost-trace")
    trace = Trace(TraceConfig(), index, SystemClock())
    read = written = 0
    today = int(SystemClock().now() // DAY)
    try:
        if clear:
            await index.clear()
        batch: list[Facts] = []
        for topic in TOPICS:
            async for record in bus.read(topic):
                read += 1
                found = None if record.event is None else trace.facts(record.event, record.timestamp)
                if found is not None:
                    batch.append(found)
                    written += 1
                if len(batch) == BATCH:
                    await index.write(batch, today)
                    batch = []
        if batch:
            await index.write(batch, today)
    finally:
        await bus.close()
        await index.close()
    return f"{read} records read, {written} events written to the trace"
