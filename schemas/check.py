"""What must hold of topics, schemas and examples. Each check returns its problems, one line each; none is fine."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any, Final, get_args, get_type_hints

import msgspec

from schemas import compat, events, wire
from schemas.catalog import TOPICS, Topic, key_of
from schemas.events import Event
from schemas.generate import ROOT, digest, examples, read_index, render, schema_of

_TOPIC_NAME: Final = re.compile(r"[a-z]+(\.[a-z]+)*\.v[1-9][0-9]*")
_EXAMPLE_NAME: Final = re.compile(r"[0-9]{2}-[a-z0-9-]+\.json")


def check(root: Path = ROOT, topics: Sequence[Topic] = TOPICS) -> list[str]:
    """Return every problem of the catalogue and of the files under `root`."""
    structs = [kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)]
    return [
        *check_catalog(topics, [struct for struct in structs if struct is not events.Event]),
        *check_generated(root, topics),
        *check_published(root, topics),
        *check_examples(root, topics),
    ]


def check_catalog(topics: Sequence[Topic], structs: Sequence[type[Event]]) -> Iterator[str]:
    """Yield what is wrong with the table of topics itself; each of `structs` must be part of some topic."""
    names = [topic.name for topic in topics]
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{name}: {names.count(name)} topics of this name"
    of: dict[type[Event], list[str]] = {}
    for topic in topics:
        yield from _check_topic(topic)
        of.setdefault(topic.struct, []).append(topic.name)
    for struct, several in of.items():
        if len(several) > 1:
            yield f"{struct.__name__}: in {' and '.join(several)}, but an event finds its topic by its type"
    joined = {topic.name: topic.partitions for topic in topics if topic.joined}
    if len(set(joined.values())) > 1:
        cuts = ", ".join(f"{name} {partitions}" for name, partitions in joined.items())
        yield f"joined topics are cut differently: {cuts}"
    used = {struct for topic in topics for struct in _held(topic.struct)}
    for struct in structs:
        if struct not in used:
            yield f"{struct.__name__}: an event that no topic holds"


def _check_topic(topic: Topic) -> Iterator[str]:
    if not _TOPIC_NAME.fullmatch(topic.name):
        yield f"{topic.name}: a topic is named in lower case with its version, such as mail.received.v1"
    if topic.partitions < 1:
        yield f"{topic.name}: {topic.partitions} partitions"
    if topic.retention_ms is not None and topic.retention_ms <= 0:
        yield f"{topic.name}: retention of {topic.retention_ms} ms"
    if not topic.producers:
        yield f"{topic.name}: nobody produces it"
    if not topic.consumers and not topic.unread:
        yield f"{topic.name}: nobody consumes it, and `unread` gives no reason"


def check_generated(root: Path, topics: Sequence[Topic]) -> Iterator[str]:
    """Yield each file of json/ that isn't what the structs say."""
    wanted = {f"{topic.name}.json": render(topic) for topic in topics}
    for name, text in wanted.items():
        path = root / "json" / name
        if not path.exists():
            yield f"json/{name}: missing; run `python -m schemas write`"
        elif path.read_text() != text:
            yield f"json/{name}: stale; run `python -m schemas write`"
    for name in _files(root / "json"):
        if name not in wanted:
            yield f"json/{name}: an orphan, no topic has this name; run `python -m schemas write`"


def check_published(root: Path, topics: Sequence[Topic]) -> Iterator[str]:
    """Yield each change of a published version that some reader or record wouldn't survive."""
    by_file = {f"{topic.name}.json": topic for topic in topics}
    published = _files(root / "published")
    for name in published:
        topic = by_file.get(name)
        if topic is None:
            yield f"published/{name}: the topic has left the catalogue; records of it may still be read"
            continue
        old: dict[str, Any] = json.loads((root / "published" / name).read_text())
        if not _keeps_keys(old.get("x-key", ""), topic):
            yield f"{topic.name}: key changed from {old.get('x-key')} to {topic.key}: records of one key would part"
        for change in compat.changes(old, schema_of(topic)):
            yield f"{topic.name}: {change}"
    for name, topic in by_file.items():
        if name not in published:
            yield f"{topic.name}: not published; run `python -m schemas publish`"


def _keeps_keys(old: str, topic: Topic) -> bool:
    """Return whether every record written before has the same key still.

    A key may grow by an optional field that is left out of it where it is empty: old records have it empty.
    """
    if topic.key == old:
        return True
    defaults = {field.name: field.default for field in msgspec.structs.fields(topic.struct)}
    more = topic.key.removeprefix(f"{old}/")
    return more != topic.key and all(defaults.get(name) == "" for name in more.split("/"))


def check_examples(root: Path, topics: Sequence[Topic]) -> Iterator[str]:
    """Yield each example that is missing, changed, unlisted, or no longer decodes to an event of its topic."""
    by_name = {topic.name: topic for topic in topics}
    index = read_index(root)
    there = examples(root)
    for name in there:
        if name not in index:
            yield f"examples/{name}: not in the index; run `python -m schemas write`"
    for name, checksum in index.items():
        folder, _, file = name.partition("/")
        path = root / "examples" / name
        topic = by_name.get(folder)
        if not path.exists():
            yield f"examples/{name}: gone; an example that was committed stays"
        elif digest(path) != checksum:
            yield f"examples/{name}: changed; an example that was committed stays as it was, add another"
        elif topic is None:
            yield f"examples/{name}: an orphan, no topic is named {folder}"
        elif not _EXAMPLE_NAME.fullmatch(file):
            yield f"examples/{name}: an example is named like 01-null-sender.json"
        else:
            yield from _check_example(name, path.read_bytes(), topic)
    for topic in topics:
        if not any(name.startswith(f"{topic.name}/") for name in there):
            yield f"{topic.name}: has no example"


def _check_example(name: str, data: bytes, topic: Topic) -> Iterator[str]:
    try:
        event = wire.decode(data, topic.struct)
    except wire.Undecodable as error:
        yield f"examples/{name}: no longer decodes: {error}"
        return
    if wire.decode(wire.encode(event), topic.struct) != event:
        yield f"examples/{name}: comes back changed when it is written and read again"
    fields = (str(attrgetter(field)(event)) for field in topic.key.split("/"))
    key = "/".join(filter(None, fields))
    try:
        made = key_of(event)
    except TypeError as error:
        yield f"{topic.name}: key_of: {error}"
        return
    if made != key:
        yield f"examples/{name}: key_of says {made}, the catalogue's {topic.key} makes {key}"


def _held(struct: type[Event]) -> set[type[Event]]:
    """Return the struct and every event struct in its fields, at any depth."""
    found: set[type[Event]] = set()
    due: list[Any] = [struct]
    while due:
        kind = due.pop()
        if isinstance(kind, type) and issubclass(kind, Event):
            if kind not in found:
                found.add(kind)
                due += get_type_hints(kind).values()
        else:
            due += get_args(kind)
    return found


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
