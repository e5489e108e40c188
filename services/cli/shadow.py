"""`gatepost shadow`: what scanners that look on would have said, and making one of them the live one."""

from __future__ import annotations

import contextlib
import os
import time
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import orjson

from schemas.catalog import RECEIVED, SCANNERS, SHADOWS, VERDICTS
from schemas.events import Event, Received, Scanner, Shadow, Verdict
from services.cli import settings_file
from services.cli.shadow_views import builtin, lines
from services.cli.site import FILE, Site, find
from services.cli.today import today
from services.core.errors import ConfigError, UnreadableEvent
from services.core.moments import moment
from services.replay.promotion import Promotion, objections, promotion
from services.replay.shadows import Compared, Comparison
from services.runtime.consume import decode
from services.runtime.kafka import KafkaBus
from services.runtime.latest import latest
from services.runtime.window import KafkaWindow, Span

CLIENT: Final = "gatepost-shadow"
MOST: Final = 100_000  # answers of shadows that are compared, the latest of the time asked for: they lie in memory


async def report(site: Site, *, since: str, customer: str | None, as_json: bool) -> None:
    """Print a comparison for each shadow; raise ConfigError for a time that is none."""
    found = await _compared(site, moment(since, time.time()), customer)
    for each in found:
        print(orjson.dumps(builtin(each)).decode() if as_json else "\n".join(lines(each)))
    if not found and not as_json:
        print("No shadow has said anything in that time.")


async def promote(data: Path, name: str, *, since: str, least: int, anyway: bool, settings: Path | None) -> str:
    """Make the live scanner what the shadow is, as far as settings can; return what a person should read.

    `settings`: the file of settings that the services are started with; None: that of the data folder, where one is
    served. Raises ConfigError for a shadow that isn't there, that has not shown enough, or where the environment wins.
    """
    site = find(data)
    found = {each.name: each for each in await _compared(site, moment(since, time.time()), None)}
    if name not in found:
        there = ", ".join(found) or "none"
        raise ConfigError(f"no shadow called {name[:80]!r} has said anything in that time; there is {there}")
    shadow = found[name]
    against = [] if anyway else objections(shadow, least)
    if against:
        raise ConfigError(f"{name} is not promoted: {'; '.join(against)}. --anyway does it all the same")
    change = promotion(shadow, await _plan(site))
    if change.same:
        return f"{name} is promoted already: live mail is scanned by {shadow.scanner} {next(iter(shadow.engines))}"
    if not change.settings and not change.by_hand:
        return (
            f"{name} may be promoted: with the chart by shadows: {{{name}: {{promoted: true}}}} in its values,"
            " elsewhere by giving the live scanner the image, package or environment that the shadow has"
        )
    if settings is not None:
        return write(name, change, settings)
    if (data / FILE).exists() and "GATEPOST_KAFKA" not in os.environ:
        return write(name, change, data / settings_file.FILE, given=site.given)
    return tell(name, change)


def write(name: str, change: Promotion, settings: Path, given: tuple[str, ...] = ()) -> str:
    """Write the promotion into the file; raise ConfigError, with nothing written, where one of `given` would win."""
    if stands := sorted(set(change.settings) & set(given)):
        wanted = ", ".join(f"{key}={change.settings[key]}" for key in stands)
        raise ConfigError(
            f"{', '.join(stands)} stood in the environment that `gatepost up` was started with, and that wins over"
            f" {settings}; change it there: {wanted}"
        )
    settings_file.change(settings, change.settings)
    told = [f"{name} is promoted. {settings} says now:", *_settings(change)]
    if change.by_hand:
        told += ["and this is for you to set, for no event carries it:", *_by_hand(change)]
    told.append("It is in force from the next start, and stays so. Take the shadow out of GATEPOST_SHADOW then.")
    return "\n".join(told)


def tell(name: str, change: Promotion) -> str:
    """Return what to change. What others start has its settings in a chart, a unit or a compose file."""
    told = [
        f"{name} may be promoted. With the chart, in its values:",
        f"  shadows: {{{name}: {{promoted: true}}}}",
        "elsewhere, in the environment of `gatepost run scanners` and `gatepost provision`:",
        *_settings(change),
        *_by_hand(change),
    ]
    return "\n".join(told)


def _settings(change: Promotion) -> list[str]:
    return [f"  {key}={value}" for key, value in sorted(change.settings.items())]


def _by_hand(change: Promotion) -> list[str]:
    return [f"  {key}, as the shadow has it" for key in change.by_hand]


async def _compared(site: Site, began: float, customer: str | None) -> list[Compared]:
    """Two passes: what shadows said, then messages and live verdicts in their order, each let go once it is told."""
    said: deque[Shadow] = deque(maxlen=MOST)
    async for event in _events(site, Span(SHADOWS, began)):
        if isinstance(event, Shadow) and customer in (None, event.customer):
            said.append(event)
    if not said:
        return []
    comparison = Comparison(said, *await today(site.kafka, CLIENT))
    async for event in _events(site, Span(RECEIVED, began), Span(VERDICTS, began)):
        if isinstance(event, Received) and customer in (None, event.customer):
            comparison.receive(event)
        elif isinstance(event, Verdict):
            for answer in event.answers:
                comparison.answer(answer)
    return comparison.close()


async def _plan(site: Site) -> set[str]:
    bus = KafkaBus(site.kafka, CLIENT)
    try:
        return set(await latest(bus, SCANNERS, Scanner))
    finally:
        await bus.close()


async def _events(site: Site, *spans: Span) -> AsyncIterator[Event]:
    async for raw in KafkaWindow(site.kafka, CLIENT, spans).records():
        with contextlib.suppress(UnreadableEvent):  # whoever reads the topic for mail's sake has said so
            if (event := decode(raw).event) is not None:
                yield event
