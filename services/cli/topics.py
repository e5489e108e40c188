"""What lies in the log, for people: topics with their groups' lag, and events as lines."""

from __future__ import annotations

import time
from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Sequence

import msgspec

from schemas.catalog import BY_NAME, TOPICS, Topic
from schemas.events import Event, Verdict
from services.cli.printing import plain, stamp, table
from services.cli.site import Site
from services.core.errors import ConfigError, UnreadableEvent
from services.core.moments import moment
from services.runtime import groups
from services.runtime.consume import decode
from services.runtime.source import Raw
from services.runtime.window import KafkaWindow, Span

# What is in an event to prove that something is known, and is no business of a terminal's.
_HIDDEN = frozenset({"salt", "bounce_key", "digest", "entry", "value"})
_SHOWN = 160  # characters of a field
_LOOKED_THROUGH = 10_000  # records of each partition in which one customer's last events are looked for


async def listing(site: Site, *, partitions: bool) -> None:
    """Print the topics: partitions, events, and how far each group is behind."""
    found = await groups.offsets(site.kafka, TOPICS)
    if partitions:
        rows = [
            (each.topic, str(each.partition), str(each.first), str(each.end), group, lag)
            for each in found
            for group, lag in _lags([each])
        ]
        print(table(("topic", "partition", "first", "end", "group", "lag"), rows))
        return
    of: defaultdict[str, list[groups.Offsets]] = defaultdict(list)
    for each in found:
        of[each.topic].append(each)
    rows = [
        (name, str(len(parts)), str(sum(p.end - p.first for p in parts)), _kept(BY_NAME[name]), group, lag)
        for name, parts in of.items()
        for group, lag in _lags(parts)
    ]
    print(table(("topic", "partitions", "offsets", "kept", "group", "lag"), rows))


def _lags(parts: Sequence[groups.Offsets]) -> Iterator[tuple[str, str]]:
    """Yield each group with its lag over the partitions; one empty pair where no group reads."""
    lags: Counter[str] = Counter()
    for part in parts:
        for name, at in part.groups:
            lags[name] += max(0, part.end - max(at, part.first))
    yield from ((name, str(lag)) for name, lag in sorted(lags.items())) if lags else (("", ""),)


def _kept(topic: Topic) -> str:
    return "latest of a key" if topic.retention_ms is None else f"{topic.retention_ms / 86_400_000:g} d"


async def tail(
    site: Site, name: str, *, customer: str | None, since: str | None, limit: int, follow: bool, as_json: bool
) -> None:
    """Print events of a topic, oldest first: those after `since`, or the last `limit` of what fits."""
    topic = BY_NAME.get(name)
    if topic is None:
        raise ConfigError(f"there is no topic {name[:80]!r}; `gatepost topics` lists them")
    now = time.time()
    if since is not None:
        async for raw in _window(site, Span(topic, moment(since, now)), follow=follow).records():
            _print(_lines(raw, customer, as_json=as_json))
        return
    last = Span(topic, until=now, tail=limit if customer is None else _LOOKED_THROUGH)
    kept: deque[str] = deque(maxlen=limit)
    async for raw in _window(site, last).records():
        kept.extend(_lines(raw, customer, as_json=as_json))
    _print(kept)
    if follow:
        async for raw in _window(site, Span(topic, now), follow=True).records():
            _print(_lines(raw, customer, as_json=as_json))


def _window(site: Site, span: Span, *, follow: bool = False) -> KafkaWindow:
    return KafkaWindow(site.kafka, "gatepost-tail", [span], follow=follow)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        print(line, flush=True)


def _lines(raw: Raw, customer: str | None, *, as_json: bool) -> list[str]:
    """Return the record as a line, one for each of several answers in it; none when it is another customer's."""
    try:
        record = decode(raw)
    except UnreadableEvent as error:
        return [] if customer else [f"{_place(raw)}  unreadable: {plain(str(error))}"]
    if customer is not None and customer_of(record.event) != customer:
        return []
    events = record.event.answers if isinstance(record.event, Verdict) else (record.event,)
    return [_line(raw, record.key, event, as_json=as_json) for event in events]


def _line(raw: Raw, key: str, event: Event | None, *, as_json: bool) -> str:
    values = None if event is None else shown(event)
    if as_json:
        line = {
            "topic": raw.topic,
            "partition": raw.partition,
            "offset": raw.offset,
            "at": raw.timestamp,
            "key": key,
            "event": values,
        }
        return msgspec.json.encode(line).decode()
    text = "taken away" if values is None else "  ".join(_fields(values))
    return f"{_place(raw)}  {stamp(raw.timestamp)}  {plain(key)}  {plain(text)}"


def _place(raw: Raw) -> str:
    return f"{raw.partition}/{raw.offset}"


def customer_of(event: Event | None) -> str | None:
    """Return whose event it is; None for what belongs to no customer."""
    for holder in (event, getattr(event, "received", None), getattr(event, "disposition", None)):
        if isinstance(customer := getattr(holder, "customer", None), str):
            return customer
        if isinstance(inner := getattr(getattr(holder, "received", None), "customer", None), str):
            return inner
    return None


def shown(event: Event) -> dict[str, object]:
    """Return the event's fields by name; secrets, hashes and raw octets are left out."""
    values = msgspec.to_builtins(event)
    return {name: value for name, value in values.items() if name not in _HIDDEN}


def _fields(values: dict[str, object], under: str = "") -> Iterator[str]:
    """Yield name=value for each field that says something."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _fields(value, f"{under}{name}.")
        elif value not in ("", None, [], False):
            text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
            yield f"{under}{name}={text[:_SHOWN]}{'…' if len(text) > _SHOWN else ''}"
