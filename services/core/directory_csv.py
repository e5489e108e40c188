"""Recipients as a table: one address a row, in the first column or in the one that the header names."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from services.core.address import Address, parse
from services.core.directory_groups import group_name
from services.core.errors import BadAddress, ConfigError
from services.core.tree import quoted

OCTETS_MOST: Final = 64 * 1_048_576
HEADERS: Final = (
    "address",
    "email",
    "e-mail",
    "mail",
    "recipient",
    "emailaddress",
    "email address",
    "primarysmtpaddress",
)

GROUP_HEADERS: Final = ("group", "groups")
GROUPS_MOST: Final = 500
_BETWEEN: Final = re.compile(r"[;,|]")


@dataclasses.dataclass(frozen=True, slots=True)
class Table:
    """What a file says."""

    addresses: tuple[Address, ...]  # each once
    rows: int  # with an address
    repeated: int  # of these, ones that were there before
    groups: Mapping[str, tuple[str, ...]] = dataclasses.field(default_factory=dict)  # names by canonical address


def parse_csv(data: bytes, name: str, domains: Collection[str]) -> Table:
    """Return the addresses in the file's text; `name` is what errors call the file.

    UTF-8, with or without a byte order mark; commas, semicolons or tabs. Raises ConfigError, one line that names the
    line, for a row without an address or with one outside of the domains: half a list is no list.
    """
    if len(data) > OCTETS_MOST:
        raise ConfigError(f"{name}: larger than {OCTETS_MOST // 1_048_576} MB")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{name}:{line}: not UTF-8") from error
    found: dict[str, Address] = {}
    groups: dict[str, dict[str, None]] = {}
    rows = 0
    for line, cell, named in _cells(text, name):
        try:
            address = parse(cell)
        except BadAddress as error:
            raise ConfigError(f"{name}:{line}: {quoted(cell)} is not an address: {error}") from error
        if address.domain not in domains:
            raise ConfigError(f"{name}:{line}: {quoted(cell)} is in none of the customer's domains")
        rows += 1
        found.setdefault(address.canonical, address)
        if names := dict.fromkeys(_group_names(named, f"{name}:{line}")):
            groups.setdefault(address.canonical, {}).update(names)
    if not found:
        raise ConfigError(f"{name}: no address in it")
    several = {name for names in groups.values() for name in names}
    if len(several) > GROUPS_MOST:
        raise ConfigError(f"{name}: {len(several)} groups, and {GROUPS_MOST} is the most")
    return Table(
        tuple(found.values()), rows, rows - len(found), {address: tuple(names) for address, names in groups.items()}
    )


def _group_names(cell: str, where: str) -> Iterator[str]:
    """Yield the names that a cell has, with semicolons, commas or bars between."""
    for text in filter(None, map(str.strip, _BETWEEN.split(cell))):
        name = group_name(text)
        if not name:
            raise ConfigError(f"{where}: {quoted(text)} is no name of a group")
        yield name


def _cells(text: str, name: str) -> Iterator[tuple[int, str, str]]:
    """Yield (line, address, groups) of the columns that hold them, empty rows left out."""
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True)
    column, grouped = 0, -1
    heading = True
    try:
        for row in reader:
            if not any(cell.strip() for cell in row):
                continue
            if heading:
                heading = False
                names = [cell.strip().lower() for cell in row]
                named = [index for index, cell in enumerate(names) if cell in HEADERS]
                if named:
                    column = named[0]
                    grouped = next((index for index, cell in enumerate(names) if cell in GROUP_HEADERS), -1)
                    continue
            if len(row) <= column or not row[column].strip():
                raise ConfigError(f"{name}:{reader.line_num}: no address in column {column + 1}")
            yield reader.line_num, row[column].strip(), row[grouped] if 0 <= grouped < len(row) else ""
    except csv.Error as error:
        raise ConfigError(f"{name}:{reader.line_num}: not CSV: {error}") from error
