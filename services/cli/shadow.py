"""`gatepost shadow`: what scanners that look on would have said, and making one of them count."""

from __future__ import annotations

import dataclasses
import time

import orjson

from schemas.catalog import CUSTOMERS, RECEIVED, SHADOWS, VERDICTS
from schemas.events import Customer, Received, Scanner, Shadow, Verdict
from services.cli.site import Site
from services.cli.views import plain
from services.core.moments import moment
from services.replay.shadows import Compared, compare, percentiles
from services.runtime.consume import decode
from services.runtime.kafka import KafkaBus
from services.runtime.window import KafkaWindow, Span
from services.scanners.registry import choose


async def report(site: Site, *, since: str, customer: str | None, as_json: bool) -> None:
    """Print a comparison for each shadow; raise ConfigError for a time that is none."""
    began = moment(since, time.time())
    customers: dict[str, Customer] = {}
    received: dict[str, Received] = {}
    verdicts: list[Verdict] = []
    shadows: list[Shadow] = []
    spans = [Span(CUSTOMERS), *(Span(topic, began) for topic in (RECEIVED, VERDICTS, SHADOWS))]
    async for raw in KafkaWindow(site.kafka, "gatepost-shadow", spans).records():
        match decode(raw).event:
            case Customer() as event:
                customers[event.id] = event
            case Received() as event if customer in (None, event.customer):
                received[event.id] = event
            case Verdict() as event if customer in (None, event.customer):
                verdicts.append(event)
            case Shadow() as event if customer in (None, event.customer):
                shadows.append(event)
    found = compare(received, verdicts, shadows, customers)
    for each in found:
        print(_json(each) if as_json else "\n".join(plain(line) for line in _lines(each)))
    if not found and not as_json:
        print("No shadow has said anything in that time.")


async def promote(site: Site, name: str) -> str:
    """Make the scanner required for every new message, and return what a person should read."""
    scanner, _, folder = name.partition("@")
    spec = next(iter(choose((scanner,)).values())).SPEC
    if folder:
        return (
            f"{scanner} is the same scanner: set GATEPOST_YARA_DIR of `scanners` to the shadow's folder, and restart it"
        )
    bus = KafkaBus(site.kafka, "gatepost-shadow")
    try:
        await bus.publish([Scanner(name=spec.name, version=spec.version)])
    finally:
        await bus.close()
    return (
        f"{scanner} is required for new mail; add it to GATEPOST_SCANNERS where that is set, or mail will wait for it"
    )


def _json(found: Compared) -> str:
    values = dataclasses.asdict(found)
    for side in ("live", "shadow"):
        values[f"{side}_ms"] = dict(zip(("p50", "p99"), percentiles(values[f"{side}_ms"]), strict=True))
    return orjson.dumps(values).decode()


def _lines(found: Compared) -> list[str]:
    live, shadow = percentiles(found.live_ms), percentiles(found.shadow_ms)
    return [
        f"{found.name}: {found.messages} messages",
        f"  agree {found.agree}, only the shadow flags {found.only_shadow}, only live flags {found.only_live},"
        f" unavailable {found.unavailable}, without a live verdict {found.alone}",
        f"  ms p50/p99: live {live[0]:.1f}/{live[1]:.1f}, shadow {shadow[0]:.1f}/{shadow[1]:.1f}",
        f"  {found.otherwise} would have been treated otherwise",
        *(f"    {example}" for example in found.examples),
    ]
