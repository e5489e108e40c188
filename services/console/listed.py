"""Approved and blocked senders. The topic is what holds them, for whoever changes them: here, quarantine, command line.

The console reads it as it follows it, and writes by the outbox: a change is there when it has come round.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from schemas.catalog import SENDERS, key_of
from schemas.events import Customer, SenderEntry
from services.console import mail_models as models
from services.console.book import Book
from services.console.caller import Caller, Refused, allowed
from services.console.models import Empty
from services.console.roles import Act
from services.console.settings import current
from services.core.errors import BadAddress
from services.core.senders import ALL, Senders, normal_sender
from services.quarantine import ask

SHOWN_MOST: Final = 500
ENTRIES_MOST: Final = 20_000  # of one customer: every process that decides has all of them in memory


class Lists:
    """Operations on the lists."""

    def __init__(self, book: Book, senders: Senders) -> None:
        self.book = book
        self._senders = senders

    @allowed(Act.SENDERS_SHOW, limited=True)
    async def senders(self, caller: Caller, customer: str, recipient: str = "", text: str = "") -> models.Senders:
        """Approved and blocked senders: all, those whose name holds a text, those that count for a recipient."""
        async with self.book.reading() as connection:
            known = await current(connection, customer)
        wanted = None if not recipient.strip() else _scopes(known, recipient.strip())
        if caller.domains is not None:
            wanted = _scopes_within(known, caller, recipient.strip())
        found = [
            entry
            for entry in self._senders.of(customer)
            if (wanted is None or entry.whom in wanted) and text.strip().lower() in entry.sender
        ]
        found.sort(key=lambda entry: (entry.whom != ALL, entry.whom[:1] != "@", entry.whom, entry.sender))
        asked = recipient.strip() if caller.domains is not None else ""
        shown = [_shown(entry, asked) for entry in found[:SHOWN_MOST]]
        return models.Senders(senders=shown, more=max(0, len(found) - SHOWN_MOST))

    @allowed(Act.SENDERS_CHANGE, limited=True)
    async def change_senders(self, caller: Caller, customer: str, body: models.SenderChange) -> Empty:
        """Approve or block senders for all, a domain or a recipient, or take them out of the lists."""
        if not _within(caller, body.for_.strip()):
            raise Refused("listed.limits", whom=body.for_[:100])
        there = {key_of(entry): entry for entry in self._senders.of(customer)}
        async with self.book.change(caller.author) as change:
            await change.hold(customer)
            known = await current(change.connection, customer)
            for sender in dict.fromkeys(body.senders):
                entry = _entry(known, body, sender, caller.address, change.now)
                key = key_of(entry)
                before = there.get(key)
                if body.list_ == "none":
                    if before is None:
                        continue
                    await change.send(SENDERS, key, None)
                elif before is not None and before.approved == entry.approved:
                    continue
                elif before is None and len(there) >= ENTRIES_MOST:
                    raise Refused("listed.many", most=ENTRIES_MOST)
                else:
                    await change.send(SENDERS, key, entry)
                    there[key] = entry
                await change.note(
                    customer,
                    "sender-listed" if body.list_ != "none" else "sender-unlisted",
                    entry.sender,
                    before=None if before is None else _said(before, body),
                    after=None if body.list_ == "none" else _said(entry, body),
                )
        return Empty()


def _entry(known: Customer, body: models.SenderChange, sender: str, by: str, now: float) -> SenderEntry:
    try:
        if body.for_.startswith(ask.RECIPIENT):  # as the list shows it: nobody knows the address from it
            entry = ask.sender_entry(known, "all", sender.strip(), approved=body.list_ == "approved", by=by, now=now)
            return msgspec.structs.replace(entry, whom=_digest(body.for_.removeprefix(ask.RECIPIENT)))
        return ask.sender_entry(
            known, body.for_.strip(), sender.strip(), approved=body.list_ == "approved", by=by, now=now
        )
    except BadAddress as error:
        raise Refused("listed.bad", name=sender[:100], whom=body.for_[:100]) from error


def _digest(text: str) -> str:
    if len(text) != 64 or not set(text) <= set("0123456789abcdef"):  # noqa: PLR2004  # SHA-256 in hex
        raise BadAddress("no digest of a recipient")
    return text


def _scopes(known: Customer, recipient: str) -> Sequence[str]:
    """Return the places in which an entry counts for mail to the recipient."""
    try:
        domain = "@" + normal_sender(recipient).rpartition("@")[2]
        return (ask.whom_of(known, recipient), ask.whom_of(known, domain), ask.whom_of(known, "all"))
    except BadAddress as error:
        raise Refused("listed.recipient", name=recipient[:100]) from error


def _within(caller: Caller, whom: str) -> bool:
    """Return whether entries for these are the caller's to change: a digest may be anybody's."""
    return caller.domains is None or ("@" in whom and caller.sees(whom.rpartition("@")[2].lower()))


def _scopes_within(known: Customer, caller: Caller, recipient: str) -> Sequence[str]:
    """Return the places that concern the caller's domains alone: all of them, or for a recipient."""
    if not recipient:
        return [f"@{name}" for name in sorted(caller.domains or ())]
    if not _within(caller, recipient):
        raise Refused("listed.recipient", name=recipient[:100])
    return [whom for whom in _scopes(known, recipient) if whom != ALL]


def _shown(entry: SenderEntry, recipient: str = "") -> models.Sender:
    """Return the entry as it is shown; one for a recipient by his address, where he was asked for by it."""
    listed = "approved" if entry.approved else "blocked"
    named = recipient and entry.whom != ALL and not entry.whom.startswith("@")
    whom = recipient if named else ask.shown_whom(entry.whom)
    shown = {"sender": entry.sender, "for": whom, "list": listed, "by": entry.by, "at": entry.at}
    return models.Sender.model_validate(shown)


def _said(entry: SenderEntry, body: models.SenderChange) -> dict[str, str]:
    return {"list": "approved" if entry.approved else "blocked", "for": body.for_}
