"""What a customer's quarantine holds, for its administrators: a client of that room, which reads and orders by events.

It holds no key to held mail: what a message looks like is the quarantine's to show.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Annotated, Final, Literal

from pydantic import Field
from sqlalchemy import select

from schemas import wire
from schemas.catalog import COMMANDS, REQUESTS, Topic, key_of
from schemas.events import Act as Asked
from schemas.events import Command, Disposition, QuarantineCommand, QuarantineRequest
from services.console import traffic_models
from services.console.book import Book
from services.console.caller import Caller, NotFound, Refused, allowed
from services.console.roles import Act
from services.core.direction import outbound
from services.core.ids import is_message_id
from services.quarantine import ask
from services.quarantine.api.models import Message, Messages
from services.quarantine.decide import Held
from services.quarantine.index import fetch, rows_of
from services.quarantine.search import PAGE_MOST, Query, search
from services.quarantine.tables import HELD, MESSAGES, WAITING, State

ENDS: Final = {"release": Command.RELEASE, "delete": Command.DELETE}
MATCHING_MOST: Final = 2_000  # recipients for whom one request orders something
REPORTS: Final = {"report-clean": Asked.REPORT_CLEAN, "report-spam": Asked.REPORT_SPAM}


class HeldMail:
    """Operations on held mail."""

    def __init__(self, book: Book) -> None:
        self.book = book

    @allowed(Act.HELD_SHOW, limited=True)
    async def held(  # noqa: PLR0913, PLR0917  # what can be asked for
        self,
        caller: Caller,
        customer: str,
        state: State | None = None,
        sender: str = "",
        recipient: str = "",
        subject: str = "",
        reason: str = "",
        since: float = 0.0,
        until: float = 0.0,
        everything: bool = False,  # a query parameter
        reported: Literal["", "clean", "spam", "wanted"] = "",
        after: Annotated[str, Field(max_length=1_200)] = "",
        limit: Annotated[int, Field(ge=1, le=PAGE_MOST)] = 50,
    ) -> Messages:
        """What is held, the latest first; with `everything` what was as well; `reported` wanted: what users ask for."""
        wanted = Query(
            customer=customer,
            state=state,
            everything=everything,
            reported=reported,
            sender=sender.strip(),
            recipient=recipient.strip(),
            subject=subject.strip(),
            reason=reason.strip(),
            held_from=since,
            held_to=until,
            after=after,
            limit=limit,
            domains=caller.domains,
        )
        try:
            page = await search(self.book.database, wanted)
        except ValueError as error:
            raise Refused("quarantine.bad") from error
        return Messages(messages=[Message.of(row) for row in page.rows], after=page.after)

    @allowed(Act.HELD_CHANGE, limited=True)
    async def act_held(self, caller: Caller, customer: str, body: traffic_models.HeldAct) -> traffic_models.HeldAsked:
        """Release, delete or report held messages, each for the recipients that are named."""
        wanted = {(item.id, item.recipient) for item in body.items if is_message_id(item.id)}
        rows = await held_rows(self.book, caller, customer, sorted({identity for identity, _ in wanted}))
        chosen: dict[str, list[str]] = {}
        for row in rows:
            if (row.id, row.recipient) in wanted and (body.action in REPORTS or row.state in WAITING):
                chosen.setdefault(row.id, []).append(row.recipient)
        if not chosen:
            raise NotFound("nothing of it is held")
        await self._ask(caller, customer, body.action, chosen)
        return traffic_models.HeldAsked(asked=sum(map(len, chosen.values())))

    @allowed(Act.HELD_CHANGE, limited=True)
    async def act_held_matching(
        self, caller: Caller, customer: str, body: traffic_models.HeldMatching
    ) -> traffic_models.HeldAsked:
        """Do the same with all that waits and that a search finds, the latest first, up to 2,000 recipients at a time.

        What comes to be held meanwhile is not meant. Each page of it is asked for and noted, or neither.
        """
        if body.state is not None and body.state not in WAITING:
            raise NotFound("nothing of it is held")
        wanted = Query(
            customer=customer,
            state=body.state,
            sender=body.sender.strip(),
            recipient=body.recipient.strip(),
            subject=body.subject.strip(),
            reason=body.reason.strip(),
            held_from=body.since,
            held_to=min(body.until or self.book.clock.now(), self.book.clock.now()),
            reported=body.reported,
            limit=PAGE_MOST,
            domains=caller.domains,
        )
        asked, more = 0, True
        while more and asked < MATCHING_MOST:
            page = await search(self.book.database, wanted)
            found = {(row.id, row.recipient) for row in page.rows}
            rows = (
                await held_rows(self.book, caller, customer, sorted({identity for identity, _ in found}))
                if found
                else []
            )
            chosen: dict[str, list[str]] = {}
            for row in rows:
                if (row.id, row.recipient) in found:
                    chosen.setdefault(row.id, []).append(row.recipient)
            if chosen:
                await self._ask(caller, customer, body.action, chosen)
            asked += sum(map(len, chosen.values()))
            more = bool(page.after)
            wanted = dataclasses.replace(wanted, after=page.after)
        if not asked:
            raise NotFound("nothing of it is held")
        return traffic_models.HeldAsked(asked=asked, complete=not more)

    async def _ask(self, caller: Caller, customer: str, action: str, chosen: Mapping[str, Sequence[str]]) -> None:
        """Order it for these recipients of these messages, each order with its line in the audit log."""
        async with self.book.change(caller.author) as change:
            for identity, recipients in chosen.items():
                topic, event = _order(action, identity, customer, tuple(recipients), caller, change.now)
                await change.send(topic, key_of(event), event)
                before, after = {"held": len(recipients)}, {"asked": action, "recipients": len(recipients)}
                await change.note(customer, f"held-{action}", identity, before=before, after=after)


async def held_rows(book: Book, caller: Caller, customer: str, identities: list[str]) -> list[Held]:
    """Return those that are the caller's to decide on."""
    found = rows_of().where(HELD.c.customer == customer, HELD.c.id.in_(identities))
    sent = select(MESSAGES.c.id, MESSAGES.c.disposition)
    sent = sent.where(MESSAGES.c.customer == customer, MESSAGES.c.id.in_(identities))
    async with book.reading() as connection:
        rows = list(await fetch(connection, found.order_by(HELD.c.id, HELD.c.recipient)))
        if caller.domains is None:
            return rows
        # What another of the customer's domains sends was stopped by rules for all, whoever it is to.
        going = {row.id for row in await connection.execute(sent) if _goes_out(row.disposition)}
    return [
        row for row in rows if _sees(caller, row.recipient) and (row.id not in going or _sees(caller, row.reverse_path))
    ]


def _sees(caller: Caller, address: str) -> bool:
    return caller.sees(address.rpartition("@")[2].lower())


def _goes_out(disposition: str) -> bool:
    return outbound(wire.decode(disposition.encode(), Disposition).received)


def _order(
    action: str, identity: str, customer: str, recipients: tuple[str, ...], caller: Caller, now: float
) -> tuple[Topic, QuarantineCommand | QuarantineRequest]:
    by = caller.author.name
    if action in ENDS:
        return COMMANDS, ask.command(ENDS[action], identity, customer, recipients, by, now)
    return REQUESTS, ask.request(REPORTS[action], identity, customer, recipients, by, now)
