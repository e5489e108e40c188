"""Who is in which group of a directory: by the groups' members, by what entries say of themselves, nested. Pure.

RFC 4519 has groupOfNames and groupOfUniqueNames; Active Directory has group, and says in memberOf of an entry what it
is in, also where a group has more members than the server tells at once.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Final

from services.core.directory_groups import EVERY, group_name
from services.core.errors import DirectoryRefused

FILTER: Final = "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=group))"
MEMBERS: Final = ("member", "uniqueMember")
MEMBER_OF: Final = "memberOf"
DEPTH_MOST: Final = 10  # groups within groups that are followed
GROUPS_MOST: Final = 10_000  # of a directory that are read
TAKEN_MOST: Final = 500  # of these that rules may mean
_JOINTS: Final = re.compile(r"(?<!\\)\s*([,=+])\s*")


@dataclasses.dataclass(frozen=True, slots=True)
class DirectoryGroup:
    """A group as its entry has it; all DNs as `normal` writes them."""

    name: str
    members: frozenset[str]
    within: frozenset[str]  # what it says that it is in


def normal(dn: str) -> str:
    """Return a DN in one way of writing it, whatever blanks and case it has (RFC 4514)."""
    return _JOINTS.sub(r"\1", dn.strip()).casefold()


def memberships(
    people: Mapping[str, Collection[str]], groups: Mapping[str, DirectoryGroup], wanted: Collection[str]
) -> dict[str, tuple[str, ...]]:
    """Return the names of the wanted groups that each of the people is in, by DN; who is in none is left out.

    `people` has what each says that it is in. A group in itself, by whatever way round, ends where it began. Raises
    DirectoryRefused where more groups are wanted than rules may mean.
    """
    taken = {dn: name for dn, each in groups.items() if (name := group_name(each.name)) and _means(wanted, name)}
    if len(set(taken.values())) > TAKEN_MOST:
        raise DirectoryRefused(f"more than {TAKEN_MOST} groups; name those that rules are to mean")
    above: dict[str, set[str]] = {dn: set(each.within) for dn, each in groups.items()}
    direct: dict[str, set[str]] = {dn: set(within) for dn, within in people.items()}
    for dn, each in groups.items():
        for member in each.members:
            if member in above:
                above[member].add(dn)
            if member in direct:
                direct[member].add(dn)
    reached: dict[str, frozenset[str]] = {}  # from a group: the names of all that it is in, itself included
    found: dict[str, tuple[str, ...]] = {}
    for dn, groups_of in direct.items():
        names: set[str] = set()
        for group in groups_of:
            if group not in reached:
                reached[group] = _names(group, above, taken)
            names |= reached[group]
        if names:
            found[dn] = tuple(sorted(names))
    return found


def _names(group: str, above: Mapping[str, Iterable[str]], taken: Mapping[str, str]) -> frozenset[str]:
    """Return the names of the taken groups among this one and those above it."""
    seen = {group}
    level = [group]
    for _ in range(DEPTH_MOST):
        level = [up for dn in level for up in above.get(dn, ()) if up not in seen]
        if not level:
            break
        seen.update(level)
    return frozenset(taken[dn] for dn in seen if dn in taken)


def _means(wanted: Collection[str], name: str) -> bool:
    return EVERY in wanted or name in wanted
