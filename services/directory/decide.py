"""What a sync changes, whether it may, and when the next one is due. Values alone; nothing here acts."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
from collections.abc import Collection, Mapping

import msgspec

from schemas.catalog import RECIPIENTS, key_of
from schemas.events import Customer, DirectoryState, LdapSource, Recipient
from services.runtime.bus import Tombstone

BARREN_MOST = 1_000  # entries without an address that are remembered; with more of them everything is read each time

Groups = Mapping[str, Collection[str]]  # digest → names of groups
Owners = Mapping[str, str]  # digest → the entry that has it, empty when several have or nobody knows


@dataclasses.dataclass(frozen=True, slots=True)
class Change:
    """From what a source has to what it should have."""

    added: tuple[Recipient, ...]
    moved: tuple[Recipient, ...]  # known before, by another entry or in other groups
    removed: tuple[Tombstone, ...]
    before: int  # addresses
    after: int


def entry_hash(salt: str, entry: bytes) -> str:
    """Return the name under which an entry is remembered: a directory's ids stay in the directory."""
    return hmac.digest(bytes.fromhex(salt), b"entry\0" + entry, hashlib.sha256).hex()[:16]


def settings_hash(customer: Customer, source: LdapSource) -> str:
    """Return what changes with anything that decides which addresses are kept."""
    what = (source.url, source.base, source.filter, source.attributes, [domain.name for domain in customer.domains])
    return hashlib.sha256(msgspec.json.encode((customer.salt, *what))).hexdigest()[:16]


def of_everything(found: Mapping[str, Collection[str]]) -> dict[str, str]:
    """Return who has which digest when `found` is every entry with its digests."""
    owners: dict[str, str] = {}
    for entry, digests in found.items():
        for digest in digests:
            owners[digest] = entry if digest not in owners else ""
    return owners


def of_changes(before: Owners, changed: Mapping[str, Collection[str]], present: Collection[str]) -> dict[str, str]:
    """Return who has which digest after the entries in `changed` have, and those not in `present` are gone.

    An address that several entries have is not let go of here: which of them still have it only a full read tells.
    """
    owners = {
        digest: entry for digest, entry in before.items() if not entry or (entry in present and entry not in changed)
    }
    for entry, digests in changed.items():
        for digest in digests:
            owners[digest] = entry if owners.get(digest, entry) == entry else ""
    return owners


def unexplained(before: Owners, changed: Collection[str], present: Collection[str], barren: Collection[str]) -> bool:
    """Return whether there are entries that nobody knows, though the server didn't name them as changed.

    So it is when a subtree was moved under the base. Then only reading everything tells what is there.
    """
    return not set(present) <= {*before.values(), *changed, *barren}


def barren(owners: Owners, present: Collection[str]) -> tuple[str, ...] | None:
    """Return the entries without an address; None when the next sync can't do with them and has to read everything."""
    if "" in owners.values():
        return None
    without = set(present) - set(owners.values())
    return None if len(without) > BARREN_MOST else tuple(sorted(without))


def change(
    customer: str, source: str, before: Mapping[str, Recipient], owners: Owners, groups: Groups | None = None
) -> Change:
    """Return what leads from the source's records by digest to these owners, in these groups by digest."""
    named = groups or {}
    wanted = {
        digest: Recipient(
            customer=customer, digest=digest, source=source, entry=entry, groups=tuple(sorted(named.get(digest, ())))
        )
        for digest, entry in owners.items()
    }
    return Change(
        added=tuple(recipient for digest, recipient in wanted.items() if digest not in before),
        moved=tuple(recipient for digest, recipient in wanted.items() if before.get(digest, recipient) != recipient),
        removed=tuple(
            Tombstone(RECIPIENTS, key_of(recipient)) for digest, recipient in before.items() if digest not in wanted
        ),
        before=len(before),
        after=len(wanted),
    )


def objection(planned: Change, drop_share: float) -> str:
    """Return why the change must not be made without somebody's word, empty when it may.

    One address may always go, but for the last: of four, one is already more than 20 %.
    """
    gone = len(planned.removed)
    if planned.after == 0:
        return "no address in the customer's domains was found" + (f", {planned.before} are known" if gone else "")
    if gone > max(1, int(planned.before * drop_share)):
        return f"{gone} of {planned.before} addresses would go, more than {drop_share:.0%}; --force if it is meant"
    return ""


def reads_everything(state: DirectoryState | None, source: LdapSource, settings: str) -> bool:
    """Return whether the next sync can't begin from what the last one knew."""
    return state is None or not state.mark or state.settings != settings or state.runs + 1 >= source.full_every


def due_at(state: DirectoryState | None, source: LdapSource, retry: float) -> float:
    """Return when the next sync is due, seconds since the epoch; one that failed is tried again sooner."""
    if state is None:
        return 0.0
    return state.tried_at + (min(retry, source.interval_seconds) if state.failing_since else source.interval_seconds)
