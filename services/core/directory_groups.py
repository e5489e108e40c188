"""Groups of a customer's directory as rules mean them, `directory:sales`; who is in them is known by hashes alone.

Pure. For one message a group has those of its recipients as members that are in it, so that whoever decides needs no
directory, and no address is looked up that no rule asks about.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from schemas.events import Customer, Group

DIRECTORY: Final = "directory:"  # before such a group's name, where recipients are named
EVERY: Final = "*"  # in the settings of a directory: all of its groups
NAME_MOST: Final = 64  # characters
NAME: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")
_UNFIT: Final = re.compile(r"[^a-z0-9]+")
Membership = Callable[[Customer, str], Iterable[str]]  # a customer and an address → names of groups


def in_none(customer: Customer, address: str) -> tuple[str, ...]:  # noqa: ARG001 - a Membership
    """Say that nobody is in any group."""
    return ()


def group_name(text: str) -> str:
    """Return a group's name as rules write it: lower case without accents, digits, and - for the rest.

    Empty when nothing is left, as of a name in another alphabet.
    """
    letters = unicodedata.normalize("NFKD", text.casefold())
    plain = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return _UNFIT.sub("-", plain).strip("-")[:NAME_MOST].strip("-")


def asks(customer: Customer) -> bool:
    """Return whether a rule of the customer means a group of the directory."""
    return bool(_meant(customer))


def with_groups(customer: Customer, recipients: Iterable[str], groups_of: Membership) -> Customer:
    """Return the customer with the directory's groups that its rules mean, for these recipients."""
    wanted = _meant(customer)
    if not wanted:
        return customer
    members: dict[str, list[str]] = {}
    for recipient in dict.fromkeys(recipients):
        for name in wanted.intersection(groups_of(customer, recipient)):
            members.setdefault(name, []).append(recipient)
    found = (Group(name=f"{DIRECTORY}{name}", members=tuple(names)) for name, names in sorted(members.items()))
    return msgspec.structs.replace(customer, groups=(*customer.groups, *found))


def _meant(customer: Customer) -> set[str]:
    return {
        name.removeprefix(DIRECTORY)
        for rule in (*customer.rules, *customer.outbound.rules)
        for name in rule.when.recipients
        if name.startswith(DIRECTORY)
    }
