"""The dead letters, for people: what could not be handled, why, and back with it once the reason is gone."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import hashlib
from collections.abc import AsyncIterator

from schemas import wire
from schemas.catalog import BY_NAME, DEADLETTERS, key_of
from schemas.events import DeadLetter, Event
from services.cli.printing import plain, stamp, table
from services.cli.site import Site
from services.cli.topics import customer_of
from services.core.errors import ConfigError
from services.runtime.kafka import KafkaBus

_REASON = 100  # characters of a reason in the list


@dataclasses.dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, and the number by which the commands know it: its offset."""

    number: int
    letter: DeadLetter

    @property
    def value(self) -> bytes:
        """Return the record's value as it was; raise ConfigError when even that is broken."""
        try:
            return base64.b64decode(self.letter.value, validate=True)
        except binascii.Error as error:
            raise ConfigError(f"letter {self.number} holds no octets that can be read: {error}") from error

    @property
    def event(self) -> Event | None:
        """Return the event that the letter holds, None when it doesn't decode."""
        try:
            return wire.decode(self.value, BY_NAME[self.letter.topic].struct)
        except (wire.Undecodable, KeyError):
            return None


async def listing(site: Site, group: str | None) -> None:
    """Print every letter that is kept."""
    rows = [
        (
            str(each.number),
            stamp(each.letter.at),
            each.letter.group,
            f"{each.letter.topic} {each.letter.partition}/{each.letter.offset}",
            each.letter.reason[:_REASON],
        )
        async for each in _letters(site)
        if group is None or each.letter.group == group
    ]
    print(table(("#", "at (UTC)", "group", "record", "reason"), rows) if rows else "There are no dead letters.")


async def show(site: Site, number: int) -> None:
    """Print what is known of a letter; of what it holds only whose it is, never the content."""
    each = await _one(site, number)
    letter, event = each.letter, each.event
    lines = [
        ("letter", str(number)),
        ("at", f"{stamp(letter.at)} UTC"),
        ("group", letter.group),
        ("topic", f"{letter.topic}, partition {letter.partition}, offset {letter.offset}"),
        ("reason", letter.reason),
        ("key", letter.key or "-"),
        ("event", "can't be read" if event is None else type(event).__name__),
        ("customer", customer_of(event) or "-"),
        ("size", f"{len(each.value)} octets"),
        ("sha256", hashlib.sha256(each.value).hexdigest()),
    ]
    print("\n".join(f"{name + ':':10} {plain(text)}" for name, text in lines))


async def retry(site: Site, numbers: tuple[int, ...], group: str | None) -> None:
    """Publish letters once more, each to its topic and partition: every group of that topic reads it again."""
    wanted = [each async for each in _letters(site) if each.number in numbers or each.letter.group == group]
    if missing := set(numbers) - {each.number for each in wanted}:
        raise ConfigError(f"there is no letter {min(missing)}; `gatepost deadletters list` shows them")
    if not wanted:
        raise ConfigError(f"no letter is of group {group}; `gatepost deadletters list` shows them")
    bus = KafkaBus(site.kafka, "gatepost-deadletters")
    try:
        for each in wanted:
            await bus.put_back(BY_NAME[each.letter.topic], each.letter.partition, _key(each), each.value)
            print(f"{each.number} published again to {each.letter.topic} {each.letter.partition}")
    finally:
        await bus.close()


def _key(each: Letter) -> str:
    if each.letter.topic not in BY_NAME:
        raise ConfigError(f"letter {each.number} is of {plain(each.letter.topic)}, and there is no such topic")
    if each.letter.key:
        return each.letter.key
    if (event := each.event) is not None:
        return key_of(event)
    raise ConfigError(f"letter {each.number} can't be published again: neither its key nor its event can be read")


async def _one(site: Site, number: int) -> Letter:
    async for each in _letters(site):
        if each.number == number:
            return each
    raise ConfigError(f"there is no letter {number}; `gatepost deadletters list` shows them")


async def _letters(site: Site) -> AsyncIterator[Letter]:
    bus = KafkaBus(site.kafka, "gatepost-deadletters")
    try:
        async for record in bus.read(DEADLETTERS):
            if isinstance(record.event, DeadLetter):
                yield Letter(record.offset, record.event)
    finally:
        await bus.close()
