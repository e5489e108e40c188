"""Who somebody is, by LDAP: whose entry has an address and takes a password, and who there is.

The password goes to the customer's server alone, in a bind over TLS, and is kept nowhere.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from sansldap import FilterAnd, FilterEquality, FilterOr, LDAPFilter, SearchResultEntry

from schemas.events import LdapSource
from services.core.directory_entries import ATTRIBUTES, FILTER
from services.core.errors import DirectoryRefused, DirectoryUnavailable
from services.directory.ldap import LdapReader
from services.directory.port import Found
from services.directory.session import PAGED

WITHIN: Final = 10.0  # seconds for a bind with all that comes before it
ALL_WITHIN: Final = 40.0  # seconds in which everybody is read
_IDS: Final = ("entryUUID", "objectGUID")
_NAMES: Final = ("displayName", "cn")
_GROUPS: Final = frozenset({"group", "groupofnames", "groupofuniquenames", "posixgroup"})
_MEMBERS: Final = ("member", "uniqueMember")
# Bound where there is no entry, so that the server is asked as often, and answers as it does to a wrong password.
_NOBODY: Final = "cn=gatepost-nobody"


class LdapPeople:
    """The People over LDAP; sessions are the reader's."""

    def __init__(self, reader: LdapReader) -> None:
        self._reader = reader

    async def bind(self, source: LdapSource, address: str, password: str) -> Found | None:
        """See `port.People`. An address that two entries have is nobody's to sign in with."""
        try:
            async with asyncio.timeout(WITHIN):
                found = await self._with(source, address)
                right = await self._opens(
                    source, found.dn if found else ",".join(filter(None, (_NOBODY, source.base))), password
                )
        except TimeoutError as error:
            raise DirectoryUnavailable(f"no answer within {WITHIN:g} s") from error
        return found if right else None

    async def everybody(self, source: LdapSource) -> list[Found]:
        """See `port.People`."""
        try:
            async with asyncio.timeout(ALL_WITHIN):
                return await self._search(source, _filter(source))
        except TimeoutError as error:
            raise DirectoryUnavailable(f"not read within {ALL_WITHIN:g} s") from error

    async def _with(self, source: LdapSource, address: str) -> Found | None:
        wanted: list[LDAPFilter] = []
        for name in source.attributes or ATTRIBUTES:
            values = [address]
            if name.lower() == "proxyaddresses":
                values = [f"{kind}:{address}" for kind in ("smtp", "SMTP")]
            wanted += [FilterEquality(name, value.encode()) for value in values]
        found = await self._search(source, FilterAnd([_filter(source), FilterOr(wanted)]))
        return found[0] if len(found) == 1 and not found[0].group else None

    async def _opens(self, source: LdapSource, dn: str, password: str) -> bool:
        """Return whether the entry takes the password; in a session of its own, which nobody uses afterwards."""
        session = await self._reader.session(source, bound=False)
        try:
            return await session.takes(dn, password)
        finally:
            session.close()

    async def _search(self, source: LdapSource, condition: LDAPFilter) -> list[Found]:
        attributes = source.attributes or ATTRIBUTES
        session = await self._reader.session(source)
        try:
            root = await session.root(("supportedControl",))
            page = self._reader.page if PAGED in root.get("supportedcontrol", ()) else 0
            asked = (*attributes, *_IDS, *_NAMES, *_MEMBERS, "objectClass")
            wanted = [name.lower() for name in attributes]
            return [_found(each, wanted) async for each in session.search(source.base, condition, asked, page)]
        finally:
            session.close()


def _filter(source: LdapSource) -> LDAPFilter:
    try:
        return LDAPFilter.from_string(source.filter or FILTER)
    except ValueError as error:
        raise DirectoryRefused("the filter is none (RFC 4515)") from error


def _found(entry: SearchResultEntry, wanted: Sequence[str]) -> Found:
    values = {attribute.name.lower().partition(";")[0]: attribute.values for attribute in entry.attributes}

    def first(names: tuple[str, ...]) -> bytes:
        return next((values[name.lower()][0] for name in names if values.get(name.lower())), b"")

    classes = {each.decode(errors="replace").lower() for each in values.get("objectclass", [])}
    return Found(
        id=first(_IDS) or entry.object_name.lower().encode(),
        dn=entry.object_name,
        name=first(_NAMES).decode(errors="replace"),
        values=tuple(value for name in wanted for value in values.get(name, [])),
        group=bool(classes & _GROUPS),
        members=tuple(each.decode(errors="replace") for name in _MEMBERS for each in values.get(name.lower(), [])),
    )
