"""Where a customer's recipients come from: directories that are read by LDAP, and a list that is uploaded.

Nothing is in use before it was looked at. A directory is entered as a draft, tried (which shows what would change) and
then taken into use; a list is uploaded, compared, and then applied.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, Final

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from schemas.catalog import DIRECTORY_STATE, RECIPIENTS
from schemas.events import Customer, DirectoryState, LdapSource, Recipient
from services.console import models
from services.console.book import Book, Change, event_of, listed, settings_of, written
from services.console.caller import Caller, NotFound, Refused, allowed
from services.console.customers import found
from services.console.roles import Act
from services.console.secrets import Keeper
from services.console.tables import CUSTOMERS, DOMAINS, DRAFTS, UPLOADS
from services.core.directory import FILE, LDAP, recipient_digest
from services.core.directory_config import SOURCES_MOST, endpoint, is_filter, is_group, is_source_name, sealed_for
from services.core.directory_csv import parse_csv
from services.core.directory_entries import addresses
from services.core.errors import ConfigError, DirectoryRefused, DirectoryUnavailable
from services.directory.port import Entry, Reader
from services.runtime.bus import Bus
from services.runtime.latest import latest

SAMPLE: Final = 20  # addresses that a preview names
FRESH: Final = 10.0  # seconds for which what was read of the syncs is shown
UPLOAD_SECONDS: Final = 3_600.0  # that an upload waits to be applied
DROP_SHARE: Final = 0.2  # of the addresses that may go without a word, as in a sync
_decode = msgspec.json.Decoder(LdapSource)


@dataclasses.dataclass(frozen=True, slots=True)
class Ports:
    """What directories are read and compared by."""

    bus: Bus
    reader: Reader
    keeper: Keeper
    private: bool = False  # servers at private addresses are read as well


class Directories:
    """Operations on where recipients come from."""

    def __init__(self, book: Book, ports: Ports) -> None:
        self.book = book
        self._ports = ports
        self._states: tuple[float, dict[str, DirectoryState]] = (-FRESH, {})

    @allowed(Act.DIRECTORY_SHOW)
    async def directories(self, caller: Caller, customer: str) -> models.Directories:  # noqa: ARG002 - `allowed` reads it
        """A customer's directories with how they do, and its list."""
        states = await self._known_states()
        async with self.book.reading() as connection:
            settings = settings_of(await found(connection, customer))
            drafts = await _drafts(connection, customer)
            count = len(await listed(connection, customer))
            upload = await self._upload(connection, customer)
        shown = [
            _shown(source, states.get(f"{customer}/{LDAP}{source.name}"), drafted=source.name in drafts)
            for source in settings.directory
        ]
        live = {source.name for source in settings.directory}
        shown += [_shown(source, None, drafted=True) for name, source in drafts.items() if name not in live]
        return models.Directories(directories=shown, listed=count, upload=upload)

    @allowed(Act.DIRECTORY_CHANGE)
    async def draft(self, caller: Caller, customer: str, source: str, body: models.LdapSettings) -> models.Ldap:
        """Write a directory down, without using it yet. A password that isn't given stays while server and name do."""
        async with self.book.change(caller.author) as change:
            if not await change.hold(customer):
                raise NotFound(customer)
            settings = settings_of(await found(change.connection, customer))
            drafts = await _drafts(change.connection, customer)
            names = {each.name for each in settings.directory} | set(drafts)
            if source not in names and len(names) >= SOURCES_MOST:
                raise Refused("directory.many", most=SOURCES_MOST)
            before = drafts.get(source) or _named(settings, source)
            made = self._made(source, body, before)
            await change.connection.execute(
                delete(DRAFTS).where(DRAFTS.c.customer == customer, DRAFTS.c.name == source)
            )
            row = {"customer": customer, "name": source, "spec": _written(made), "made_at": change.now}
            await change.connection.execute(insert(DRAFTS), [row])
            old = None if before is None else _told(before)
            await change.note(customer, "directory-drafted", source, before=old, after=_told(made))
        return _shown(made, None, drafted=True)

    @allowed(Act.DIRECTORY_CHANGE)
    async def try_directory(self, caller: Caller, customer: str, source: str) -> models.LdapPreview:
        """Read the directory as it is written down, and return what would change. Nothing does."""
        async with self.book.change(caller.author) as change:
            spec = (await _drafts(change.connection, customer)).get(source)
            event = await event_of(change.connection, customer)
            if event is None:
                raise NotFound(customer)
            spec = spec or _named(event, source)
            if spec is None:
                raise NotFound(source)
            names = await _domains(change.connection, customer)
            await change.note(customer, "directory-tried", source)
        return await self._tried(event, spec, names)

    async def _tried(self, customer: Customer, source: LdapSource, domains: Collection[str]) -> models.LdapPreview:
        heard = _Heard(frozenset(domains))
        try:
            reading = await self._ports.reader.read(source, None, heard.take)
        except (DirectoryUnavailable, DirectoryRefused) as error:
            return models.LdapPreview(good=False, problem=str(error))
        known = await latest(self._ports.bus, RECIPIENTS, Recipient)
        before = {
            each.digest: each.groups
            for each in known.values()
            if each.customer == customer.id and each.source == LDAP + source.name
        }
        named = {address: names for entry, names in reading.groups.items() for address in heard.entries.get(entry, ())}
        digests = await asyncio.to_thread(
            lambda: {recipient_digest(customer.salt, address): text for text, address in heard.ours.items()}
        )
        added = sorted(text for digest, text in digests.items() if digest not in before)
        return models.LdapPreview(
            good=True,
            entries=len(reading.present),
            users=heard.users,
            addresses=len(digests),
            foreign=heard.foreign,
            unreadable=heard.unreadable,
            added=len(added),
            removed=len(before.keys() - digests.keys()),
            sample=added[:SAMPLE],
            groups=_grouped(before.values(), named.values()),
        )

    @allowed(Act.DIRECTORY_CHANGE)
    async def use_directory(self, caller: Caller, customer: str, source: str) -> models.Empty:
        """Take the directory into use as it is written down: it is read within seconds, and then on schedule."""
        async with self.book.change(caller.author) as change:
            if not await change.hold(customer):
                raise NotFound(customer)
            made = (await _drafts(change.connection, customer)).get(source)
            if made is None:
                raise NotFound(source)
            settings = settings_of(await found(change.connection, customer))
            others = [each for each in settings.directory if each.name != source]
            await _keep(change, settings, (*others, made))
            await change.connection.execute(
                delete(DRAFTS).where(DRAFTS.c.customer == customer, DRAFTS.c.name == source)
            )
            before = _named(settings, source)
            old = None if before is None else _told(before)
            await change.note(customer, "directory-used", source, before=old, after=_told(made))
        return models.Empty()

    @allowed(Act.DIRECTORY_CHANGE)
    async def remove_directory(self, caller: Caller, customer: str, source: str) -> models.Empty:
        """Let go of a directory or a draft. The addresses that came from it go too."""
        async with self.book.change(caller.author) as change:
            if not await change.hold(customer):
                raise NotFound(customer)
            mine = (DRAFTS.c.customer == customer, DRAFTS.c.name == source)
            gone = (await change.connection.execute(delete(DRAFTS).where(*mine))).rowcount
            settings = settings_of(await found(change.connection, customer))
            before = _named(settings, source)
            if before is not None and not gone:
                await _keep(change, settings, tuple(each for each in settings.directory if each.name != source))
                key = f"{customer}/{LDAP}{source}"
                await change.send(DIRECTORY_STATE, key, None)
                known = await latest(self._ports.bus, RECIPIENTS, Recipient)
                for place, each in known.items():
                    if each.customer == customer and each.source == LDAP + source:
                        await change.send(RECIPIENTS, place, None)
            elif not gone:
                raise NotFound(source)
            old = None if before is None else _told(before)
            await change.note(
                customer, "directory-removed" if not gone else "directory-draft-removed", source, before=old
            )
        return models.Empty()

    # --- the list

    @allowed(Act.DIRECTORY_CHANGE)
    async def upload(self, caller: Caller, customer: str, body: models.Csv) -> models.CsvPreview:
        """Take a list of recipients as CSV, and return what applying it would change. Nothing does yet."""
        async with self.book.reading() as connection:
            names = await _domains(connection, customer)
        try:
            table = await asyncio.to_thread(parse_csv, body.csv.encode(), "CSV", frozenset(names))
        except ConfigError as error:
            raise Refused("csv.bad", reason=str(error)) from error
        wanted = sorted(_line(each.canonical, table.groups.get(each.canonical, ())) for each in table.addresses)
        async with self.book.change(caller.author) as change:
            if not await change.hold(customer):
                raise NotFound(customer)
            await change.connection.execute(delete(UPLOADS).where(UPLOADS.c.customer == customer))
            row = {"customer": customer, "addresses": "\n".join(wanted), "made_at": change.now}
            await change.connection.execute(insert(UPLOADS), [row])
            await change.note(customer, "list-uploaded", f"{len(wanted)}")
            preview = await self._upload(change.connection, customer)
        if preview is None:
            raise AssertionError("what was just written is gone")
        return preview

    @allowed(Act.DIRECTORY_CHANGE)
    async def apply_upload(self, caller: Caller, customer: str, body: models.CsvApply) -> models.Empty:
        """Make the list that was uploaded the customer's. `force` lets one through that takes many addresses away."""
        async with self.book.change(caller.author) as change:
            if not await change.hold(customer):
                raise NotFound(customer)
            preview = await self._upload(change.connection, customer)
            if preview is None:
                raise Refused("csv.none")
            if preview.drops and not body.force:
                raise Refused("csv.drops", removed=preview.removed)
            text = await change.connection.scalar(select(UPLOADS.c.addresses).where(UPLOADS.c.customer == customer))
            salt = settings_of(await found(change.connection, customer)).salt
            groups = _lines(str(text))
            await change.set_recipients(customer, salt, frozenset(groups), groups)
            await change.connection.execute(delete(UPLOADS).where(UPLOADS.c.customer == customer))
            after = {"addresses": preview.addresses, "added": preview.added, "removed": preview.removed}
            await change.note(customer, "list-applied", FILE or "list", after=after)
        return models.Empty()

    # --- helpers

    async def _upload(self, connection: AsyncConnection, customer: str) -> models.CsvPreview | None:
        """Return what the upload that waits would change, None when none waits."""
        fresh = UPLOADS.c.made_at > self.book.clock.now() - UPLOAD_SECONDS
        text = await connection.scalar(select(UPLOADS.c.addresses).where(UPLOADS.c.customer == customer, fresh))
        if text is None:
            return None
        wanted, there = _lines(str(text)), await listed(connection, customer)
        added, removed = sorted(wanted.keys() - there.keys()), sorted(there.keys() - wanted.keys())
        return models.CsvPreview(
            addresses=len(wanted),
            added=len(added),
            removed=len(removed),
            new=added[:SAMPLE],
            gone=removed[:SAMPLE],
            drops=len(removed) > max(1, int(len(there) * DROP_SHARE)),
            groups=_grouped(map(_names, there.values()), map(_names, wanted.values())),
        )

    def _made(self, name: str, body: models.LdapSettings, before: LdapSource | None) -> LdapSource:
        if not is_source_name(name):
            raise Refused("directory.name")
        if body.filter.strip() and not is_filter(body.filter):
            raise Refused("directory.bad-filter")
        if wrong := next((each for each in body.groups if not is_group(each)), None):
            raise Refused("directory.bad-group", name=wrong)
        try:
            where = endpoint(body.url.strip())
        except ConfigError as error:
            raise Refused("directory.bad-url", reason=str(error)) from error
        made = LdapSource(
            name=name,
            url=body.url.strip(),
            base=body.base.strip(),
            filter=body.filter.strip(),
            attributes=tuple(body.attributes),
            groups=tuple(dict.fromkeys(body.groups)),
            bind_dn=body.bind_dn.strip(),
            interval_seconds=60.0 * body.every_minutes,
            public=not self._ports.private,
        )
        if not made.bind_dn:
            if body.password:
                raise Refused("directory.no-name")
            return made
        if body.password:
            sealed = self._ports.keeper.seal(sealed_for(made), body.password)
        elif before is not None and before.password_sealed and sealed_for(before) == sealed_for(made):
            sealed = before.password_sealed
        else:
            raise Refused("directory.no-password", host=where.host)
        return msgspec.structs.replace(made, password_sealed=sealed)

    async def _known_states(self) -> dict[str, DirectoryState]:
        at, states = self._states
        now = self.book.clock.monotonic()
        if now - at >= FRESH:
            states = await latest(self._ports.bus, DIRECTORY_STATE, DirectoryState)
            self._states = (now, states)
        return states


@dataclasses.dataclass
class _Heard:
    """What a directory says, entry by entry."""

    domains: frozenset[str]
    ours: dict[str, Any] = dataclasses.field(default_factory=dict)  # addresses by how they are written
    entries: dict[bytes, list[str]] = dataclasses.field(default_factory=dict)  # these by entry
    users: int = 0
    foreign: int = 0
    unreadable: int = 0

    def take(self, entry: Entry) -> None:
        said = addresses(entry.values, self.domains)
        self.ours.update({address.canonical: address for address in said.ours})
        self.entries[entry.id] = [address.canonical for address in said.ours]
        self.users += bool(said.ours)
        self.foreign += said.foreign
        self.unreadable += said.unreadable


async def _keep(change: Change, settings: Customer, sources: tuple[LdapSource, ...]) -> None:
    text = written(msgspec.structs.replace(settings, directory=sources))
    await change.connection.execute(update(CUSTOMERS).where(CUSTOMERS.c.id == settings.id).values(settings=text))
    await change.publish(settings.id)


async def _drafts(connection: AsyncConnection, customer: str) -> dict[str, LdapSource]:
    asked = select(DRAFTS.c.name, DRAFTS.c.spec).where(DRAFTS.c.customer == customer).order_by(DRAFTS.c.name)
    return {name: _decode.decode(spec) for name, spec in await connection.execute(asked)}


def _line(address: str, groups: Iterable[str]) -> str:
    """Return how an upload that waits has an address: its groups, if any, behind a tab."""
    names = ",".join(sorted(groups))
    return f"{address}\t{names}" if names else address


def _lines(text: str) -> dict[str, str]:
    """Return what such lines say: an address and the names of its groups, with commas between."""
    return {address: names for address, _, names in (line.partition("\t") for line in text.split("\n"))}


def _names(said: str) -> list[str]:
    return said.split(",") if said else []


def _grouped(before: Iterable[Iterable[str]], after: Iterable[Iterable[str]]) -> list[models.GroupChange]:
    """Return how many addresses each group has, of the names for each address before and after."""
    had, has = (Counter(name for names in some for name in names) for some in (before, after))
    return [models.GroupChange(name=name, before=had[name], after=has[name]) for name in sorted({*had, *has})]


async def _domains(connection: AsyncConnection, customer: str) -> list[str]:
    return list(await connection.scalars(select(DOMAINS.c.name).where(DOMAINS.c.customer == customer)))


def _named(customer: Customer, name: str) -> LdapSource | None:
    return next((each for each in customer.directory if each.name == name), None)


def _written(source: LdapSource) -> str:
    return msgspec.json.encode(source).decode()


def _told(source: LdapSource) -> dict[str, Any]:
    """Return what the audit log says of it: never the password, sealed or not."""
    told: dict[str, Any] = msgspec.to_builtins(source)
    told["password"] = bool(told.pop("password_sealed"))
    return told


def _shown(source: LdapSource, state: DirectoryState | None, *, drafted: bool) -> models.Ldap:
    return models.Ldap(
        name=source.name,
        url=source.url,
        base=source.base,
        filter=source.filter,
        attributes=list(source.attributes),
        groups=list(source.groups),
        bind_dn=source.bind_dn,
        has_password=bool(source.password_sealed or source.password_env or source.password_file),
        every_minutes=source.interval_seconds / 60,
        drafted=drafted,
        state=None
        if state is None
        else models.LdapState(
            tried_at=state.tried_at,
            succeeded_at=state.succeeded_at,
            problem=state.problem,
            entries=state.entries,
            addresses=state.addresses,
            added=state.added,
            removed=state.removed,
        ),
    )
