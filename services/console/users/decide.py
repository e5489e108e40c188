"""Users and groups: from what a table or a directory says to what changes. Pure: values in, values out."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from services.console.users.tables import Kind
from services.core.address import parse
from services.core.directory_csv import HEADERS
from services.core.errors import BadAddress, ConfigError
from services.core.tree import quoted

NAME_MOST: Final = 200  # characters
_COLUMNS: Final = ("name", "aliases", "kind", "members")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A user or a group as somebody says that it is. Addresses are canonical."""

    address: str  # the one that mail goes to
    kind: Kind = Kind.USER
    name: str = ""
    aliases: frozenset[str] = frozenset()
    members: frozenset[str] | None = None  # of a group: any address of each; None: it isn't said
    entry: str = ""
    language: str = ""

    @property
    def addresses(self) -> frozenset[str]:
        """All of them."""
        return self.aliases | {self.address}


@dataclasses.dataclass(frozen=True, slots=True)
class Known:
    """One that there is."""

    id: str
    source: str
    person: Person


@dataclasses.dataclass(frozen=True, slots=True)
class Plan:
    """What leads from those there are to those there should be."""

    added: tuple[Person, ...]
    changed: tuple[tuple[Known, Person], ...]
    removed: tuple[Known, ...]
    left_out: tuple[str, ...]  # addresses that somebody else has already


def plan(known: Sequence[Known], wanted: Iterable[Person], source: str, *, replace: bool) -> Plan:
    """Return what changes; `replace` takes away those of the source that are not wanted any more.

    A directory takes over who was made by hand or by a table and has the same first address. An address that somebody
    holds stays his: else his password would open what another gets.
    """
    by_entry = {each.person.entry: each for each in known if each.person.entry and each.source == source}
    by_first = {each.person.address: each for each in known}
    owners = {address: each.id for each in known for address in each.person.addresses}
    added: list[Person] = []
    changed: list[tuple[Known, Person]] = []
    left_out: set[str] = set()
    seen: set[str] = set()
    said_all = list(wanted)
    first = {address: each.person.address for each in known for address in each.person.addresses}
    first |= {address: each.address for each in said_all for address in each.addresses}
    for said in said_all:
        found = (by_entry.get(said.entry) if said.entry else None) or by_first.get(said.address)
        mine = said.entry or said.address if found is None else found.id
        taken = {address for address in said.addresses if owners.get(address, mine) != mine}
        if found is not None and (found.id in seen or found.person.kind is not said.kind):
            taken.add(said.address)
        if found is not None:
            seen.add(found.id)
        left_out |= taken
        if said.address in taken:
            continue
        person = dataclasses.replace(said, aliases=said.aliases - taken)
        owners.update(dict.fromkeys(person.addresses, mine))
        if found is None:
            added.append(person)
            continue
        kept = dataclasses.replace(
            person,
            name=person.name or found.person.name,
            language=found.person.language,
            members=found.person.members if person.members is None else _firsts(person.members, first),
        )
        if kept != found.person or found.source != source:
            changed.append((found, kept))
    gone = [each for each in known if replace and each.source == source and each.id not in seen]
    return Plan(tuple(added), tuple(changed), tuple(gone), tuple(sorted(left_out)))


def kept_within(what: Plan, domains: Collection[str]) -> Plan:
    """Return what of a plan somebody may carry out who is limited to these domains.

    Whoever has an address elsewhere stays as he is, and so does the membership of whoever is elsewhere.
    """

    def mine(person: Person) -> bool:
        return all(_inside(address, domains) for address in person.addresses)

    def grouped(person: Person, before: frozenset[str]) -> Person:
        if person.members is None:
            return person
        said = frozenset(address for address in person.members if _inside(address, domains))
        unseen = frozenset(each for each in before if not _inside(each, domains))
        return dataclasses.replace(person, members=said | unseen)

    changed = [(known, grouped(person, known.person.members or frozenset())) for known, person in what.changed]
    others = {known.person.address for known, _ in changed if not mine(known.person)}
    return Plan(
        tuple(grouped(person, frozenset()) for person in what.added),
        tuple((known, person) for known, person in changed if mine(known.person)),
        tuple(known for known in what.removed if mine(known.person)),
        tuple(sorted({*what.left_out, *others})),
    )


def _inside(address: str, domains: Collection[str]) -> bool:
    return address.rpartition("@")[2] in domains


def _firsts(members: Iterable[str], first: Mapping[str, str]) -> frozenset[str]:
    """Return the first addresses of those that are somebody's."""
    return frozenset(first[member] for member in members if member in first)


def parse_table(text: str, domains: Collection[str]) -> list[Person]:
    """Return who stands in a table: address, name, aliases, kind, members, in the order that its first line names.

    Commas, semicolons or tabs; several addresses in a cell stand apart by blanks. Raises ConfigError, one line that
    names the line: half a table is no table.
    """
    first = text.partition("\n")[0]
    delimiter = max(",;\t", key=first.count)
    columns: Mapping[str, int] = {name: index for index, name in enumerate(("address", *_COLUMNS))}
    found: dict[str, Person] = {}
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), delimiter=delimiter, strict=True)
    try:
        for number, row in enumerate(reader):
            cells = [cell.strip() for cell in row]
            if number == 0 and (named := _named(cells)):
                columns = named
            elif any(cells):
                person = _person(cells, columns, domains, reader.line_num)
                if person.address in found:
                    raise ConfigError(f"line {reader.line_num}: {quoted(person.address)} is there twice")
                found[person.address] = person
    except csv.Error as error:
        raise ConfigError(f"line {reader.line_num}: not CSV: {error}") from error
    if not found:
        raise ConfigError("no address in it")
    return list(found.values())


def _named(cells: Sequence[str]) -> dict[str, int]:
    """Return where the first line says that the columns are; nothing when it says none."""
    names = {name.lower(): index for index, name in reversed(list(enumerate(cells)))}
    address = [index for name, index in names.items() if name in HEADERS]
    if not address:
        return {}
    return {"address": min(address), **{name: names[name] for name in _COLUMNS if name in names}}


def _person(cells: Sequence[str], columns: Mapping[str, int], domains: Collection[str], line: int) -> Person:
    def cell(name: str) -> str:
        place = columns.get(name, len(cells))
        return cells[place] if place < len(cells) else ""

    try:
        kind = Kind(cell("kind").lower() or Kind.USER)
    except ValueError as error:
        raise ConfigError(f"line {line}: kind is user or group") from error
    try:
        address = owned(cell("address"), domains)
        aliases = frozenset(owned(each, domains) for each in cell("aliases").split())
        members = frozenset(parse(each).canonical for each in cell("members").split())
    except BadAddress as error:
        raise ConfigError(f"line {line}: {error}") from error
    return Person(
        address=address,
        kind=kind,
        name=cell("name")[:NAME_MOST],
        aliases=aliases - {address},
        members=members if kind is Kind.GROUP and "members" in columns else None,
    )


def owned(text: str, domains: Collection[str]) -> str:
    """Return the canonical address; raise BadAddress when it is none, or in none of the domains."""
    parsed = parse(text.strip())
    if parsed.domain not in domains:
        raise BadAddress("an address in none of the customer's domains")
    return parsed.canonical


def lines_of(text: str) -> list[str]:
    """Return the addresses that a person has written into a field, one a line or with commas."""
    return [each for each in re.split(r"[\s,;]+", text) if each]
