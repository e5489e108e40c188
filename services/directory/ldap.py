"""Reads OpenLDAP, Active Directory, and whatever else speaks LDAP.

After the first sync only what changed is read in full: Active Directory counts changes (uSNChanged), the others stamp
them (modifyTimestamp). What went is seen as well, at each sync: the ids of all entries are asked for, so an account
that was deleted, moved away or no longer meets the filter is gone at once, without a right to read tombstones.
"""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from sansldap import FilterAnd, FilterGreaterOrEqual, LDAPFilter, SearchResultEntry

from schemas.events import LdapSource
from services.core.clock import Clock
from services.core.directory_config import endpoint, sealed_for
from services.core.directory_entries import ATTRIBUTES, FILTER
from services.core.errors import DirectoryRefused, DirectoryUnavailable, KeyDestroyed
from services.core.secrets import Purpose
from services.directory.config import DirectoryConfig
from services.directory.groups import FILTER as GROUPS
from services.directory.groups import GROUPS_MOST, MEMBER_OF, MEMBERS, DirectoryGroup, memberships, normal
from services.directory.port import Entry, Mark, Reading
from services.directory.session import PAGED, Session
from services.directory.wire import addresses, connect, tls_context
from services.runtime.console_key import open_secrets

SECRET_MOST: Final = 4_096  # octets of a password
OVERLAP: Final = 300.0  # seconds read again, since the clocks of replicas differ
ACTIVE_DIRECTORY: Final = "1.2.840.113556.1.4.800"  # among supportedCapabilities (MS-ADTS 3.1.1.3.4.3.1)
_STAMP: Final = "%Y%m%d%H%M%SZ"
_ROOT: Final = ("supportedControl", "supportedCapabilities", "highestCommittedUSN", "dsServiceName")


class _Kind(NamedTuple):
    """How a kind of server names its entries and their changes."""

    id: str
    changed: str
    server: str
    now: str  # the mark before anything is read, empty when it is only seen while reading


class LdapReader:
    """The Reader over LDAP."""

    def __init__(self, config: DirectoryConfig, environ: Mapping[str, str], clock: Clock) -> None:
        self._config = config
        self._environ = environ
        self._clock = clock
        self._secrets = open_secrets(environ)

    async def read(self, source: LdapSource, since: Mark | None, take: Callable[[Entry], None]) -> Reading:
        """See `port.Reader`."""
        try:
            condition = LDAPFilter.from_string(source.filter or FILTER)
        except ValueError as error:
            raise DirectoryRefused("the filter is none (RFC 4515)") from error
        session = await self.session(source)
        try:
            async with asyncio.timeout(self._config.directory_read_seconds):
                now = datetime.datetime.fromtimestamp(self._clock.now(), datetime.UTC).strftime(_STAMP)
                return await _Read(session, source, condition, take, self._config).run(since, now)
        except TimeoutError as error:
            raise DirectoryUnavailable(f"not read within {self._config.directory_read_seconds:g} s") from error
        finally:
            session.close()

    @property
    def page(self) -> int:
        """How many entries are asked for at a time."""
        return self._config.directory_page

    async def session(self, source: LdapSource, *, bound: bool = True) -> Session:
        """Return a session, bound as the source says, or as nobody; whoever has it closes it."""
        try:
            async with asyncio.timeout(self._config.directory_connect_seconds):
                return await self._open(source, bound=bound)
        except TimeoutError as error:
            limit = self._config.directory_connect_seconds
            raise DirectoryUnavailable(f"no session within {limit:g} s") from error

    async def _open(self, source: LdapSource, *, bound: bool) -> Session:
        where = endpoint(source.url)
        password = await asyncio.to_thread(self._password, source) if bound else ""
        context = None if source.plain else await asyncio.to_thread(tls_context, self._ca(source))
        candidates = await addresses(
            where,
            link_local=self._config.directory_link_local,
            loopback_only=source.plain and not where.tls_first,
            public_only=source.public,
        )
        session = Session(await connect(where, candidates, context), self._config.directory_answer_seconds)
        try:
            if context is not None and not where.tls_first:
                await session.request_tls()
                await session.wire.start_tls(context, where.host)
            if source.bind_dn and bound:
                await session.bind(source.bind_dn, password)
        except BaseException:
            session.wire.close()
            raise
        return session

    def _password(self, source: LdapSource) -> str:
        if source.password_sealed:
            return self._unsealed(source)
        if source.password_env:
            password = self._environ.get(source.password_env, "")
            if not password:
                raise DirectoryRefused(f"{source.password_env} is not set")
            return password
        if not source.password_file:
            return ""
        try:
            with self._secret(source.password_file).open("rb") as file:
                return file.read(SECRET_MOST).decode().rstrip("\r\n")
        except (OSError, UnicodeDecodeError) as error:
            raise DirectoryRefused("password_file can't be read") from error

    def _unsealed(self, source: LdapSource) -> str:
        if self._secrets is None:
            raise DirectoryRefused("the password is sealed, and GATEPOST_CONSOLE_KEY is not set here")
        try:
            return self._secrets.open(Purpose.DIRECTORY, sealed_for(source), source.password_sealed)
        except KeyDestroyed as error:
            raise DirectoryRefused("the password was sealed by another key, or for another server or name") from error

    def _ca(self, source: LdapSource) -> Path | None:
        return self._secret(source.ca_file) if source.ca_file else None

    def _secret(self, name: str) -> Path:
        if not self._config.directory_secrets:
            raise DirectoryRefused("GATEPOST_DIRECTORY_SECRETS names no folder to find password_file and ca_file in")
        if Path(name).name != name:
            raise DirectoryRefused("password_file and ca_file are names of files, without folders")
        return Path(self._config.directory_secrets) / name


class _Read:
    """One reading of one directory."""

    def __init__(
        self,
        session: Session,
        source: LdapSource,
        condition: LDAPFilter,
        take: Callable[[Entry], None],
        config: DirectoryConfig,
    ) -> None:
        self._session = session
        self._source = source
        self._condition = condition
        self._take = take
        self._config = config
        self._attributes = source.attributes or ATTRIBUTES
        self._wanted = frozenset(name.lower() for name in self._attributes)
        self._page = 0
        self._present: set[bytes] = set()
        self._latest = ""
        self._named = True  # every entry has an id that stays when it is renamed

    async def run(self, since: Mark | None, today: str) -> Reading:
        """Read; `today` is the time as the server would write it."""
        root = await self._session.root(_ROOT)
        self._page = self._config.directory_page if PAGED in root.get("supportedcontrol", ()) else 0
        kind = _kind(root, self._source.url)
        whole = since is None or since.server != kind.server or not _usable(kind, since.value)
        if since is not None and not whole:
            self._latest = since.value
            await self._list(kind)
            await self._entries(kind, FilterAnd([self._condition, _after(kind, since.value)]))
        else:
            await self._entries(kind, self._condition)
        # One entry stamped in the future, by a clock that was wrong once, must not hide the changes until then.
        value = kind.now or min(self._latest, today)
        mark = Mark(kind.server, value) if value and self._named else None
        groups = await self._groups(kind) if self._source.groups else {}
        return Reading(frozenset(self._present), mark, whole, groups)

    async def _list(self, kind: _Kind) -> None:
        """Learn which entries there are."""
        async for found in self._session.search(self._source.base, self._condition, (kind.id,), self._page):
            values = {attribute.name.lower(): attribute.values for attribute in found.attributes}
            self._known(found, values.get(kind.id.lower(), []))

    async def _entries(self, kind: _Kind, condition: LDAPFilter) -> None:
        """Hand over the entries that meet the condition."""
        asked = (*self._attributes, kind.id, kind.changed)
        async for found in self._session.search(self._source.base, condition, asked, self._page):
            values: list[bytes] = []
            named: list[bytes] = []
            for attribute in found.attributes:
                name, _, option = attribute.name.lower().partition(";")
                if option.startswith("range=") and not option.endswith("*"):
                    raise DirectoryRefused(f"an entry has more values of {name} than the server gives at once")
                if name in self._wanted:
                    values += attribute.values
                if name == kind.id.lower():
                    named = attribute.values
                elif name == kind.changed.lower() and not kind.now and attribute.values:
                    self._latest = max(self._latest, attribute.values[0].decode(errors="replace"))
            self._take(Entry(self._known(found, named), tuple(values)))

    async def _groups(self, kind: _Kind) -> dict[bytes, tuple[str, ...]]:
        """Return the names of the groups that entries are in, by id. Read anew each time: a group changes by itself."""
        ids: dict[str, bytes] = {}
        people: dict[str, frozenset[str]] = {}
        async for found in self._session.search(self._source.base, self._condition, (kind.id, MEMBER_OF), self._page):
            values = _texts(found)
            dn = normal(found.object_name)
            ids[dn] = self._known(found, values.get(kind.id.lower(), []))
            people[dn] = _dns(values, (MEMBER_OF,))
        groups: dict[str, DirectoryGroup] = {}
        asked = ("cn", *MEMBERS, MEMBER_OF)
        condition = LDAPFilter.from_string(GROUPS)
        async for found in self._session.search(self._source.base, condition, asked, self._page):
            values = _texts(found)
            name = values.get("cn", [b""])[0].decode(errors="replace")
            groups[normal(found.object_name)] = DirectoryGroup(name, _dns(values, MEMBERS), _dns(values, (MEMBER_OF,)))
            if len(groups) > GROUPS_MOST:
                raise DirectoryRefused(f"more than {GROUPS_MOST} groups; is the base right?")
        named = await asyncio.to_thread(memberships, people, groups, self._source.groups)
        return {ids[dn]: names for dn, names in named.items()}

    def _known(self, found: SearchResultEntry, named: list[bytes]) -> bytes:
        """Return the entry's id, and count it as there."""
        self._named = self._named and bool(named)
        entry = named[0] if named else found.object_name.lower().encode()
        self._present.add(entry)
        if len(self._present) > self._config.directory_entries:
            raise DirectoryRefused(f"more than {self._config.directory_entries} entries; is the base right?")
        return entry


def _kind(root: Mapping[str, list[str]], url: str) -> _Kind:
    if ACTIVE_DIRECTORY in root.get("supportedcapabilities", ()):
        # Each domain controller counts for itself: a mark means nothing to another one.
        server, count = root.get("dsservicename", [""])[0], root.get("highestcommittedusn", [""])[0]
        return _Kind("objectGUID", "uSNChanged", f"{url} {server}", count)
    return _Kind("entryUUID", "modifyTimestamp", url, "")


def _texts(found: SearchResultEntry) -> dict[str, list[bytes]]:
    """Return the values of the entry's attributes, those that come in ranges under one name."""
    values: dict[str, list[bytes]] = {}
    for attribute in found.attributes:
        values.setdefault(attribute.name.lower().partition(";")[0], []).extend(attribute.values)
    return values


def _dns(values: Mapping[str, list[bytes]], names: Iterable[str]) -> frozenset[str]:
    return frozenset(normal(each.decode(errors="replace")) for name in names for each in values.get(name.lower(), []))


def _usable(kind: _Kind, value: str) -> bool:
    if kind.now:
        return value.isdigit() and kind.now.isdigit() and int(value) <= int(kind.now)
    return _stamp(value) is not None


def _after(kind: _Kind, value: str) -> LDAPFilter:
    if kind.now:
        return FilterGreaterOrEqual(kind.changed, str(int(value) + 1).encode())
    stamp = _stamp(value)
    if stamp is None:
        raise DirectoryRefused("a time stamp of the server can't be read")
    return FilterGreaterOrEqual(kind.changed, (stamp - datetime.timedelta(seconds=OVERLAP)).strftime(_STAMP).encode())


def _stamp(value: str) -> datetime.datetime | None:
    try:
        return datetime.datetime.strptime(value, _STAMP).replace(tzinfo=datetime.UTC)
    except ValueError:
        return None
