"""The pages of the message trace, and what they find as a sheet."""

from __future__ import annotations

import dataclasses
import urllib.parse
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any, Final

from fastapi import Response
from fastapi.responses import StreamingResponse

from services.console import models, sheets
from services.console.caller import Refused
from services.console.history import PAGE, PAGE_MOST, day_start
from services.console.licence import DAY
from services.console.pages import Doors, Frame, Visit, go
from services.console.texts import text
from services.core.errors import Temporary
from services.core.ids import is_message_id
from services.trace.decide import STATES, Where

SHEET_MOST: Final = 50_000  # messages of one sheet
SHOWN: Final = tuple(state for state in STATES if state != Where.REFUSED)  # that is asked for by itself
ASKED: Final = ("sender", "recipient", "subject", "client", "id", "state", "kind", "since", "until")
KINDS: Final = {"accepted": False, "refused": True}


class MessageRooms:
    """Each page."""

    def __init__(self, frame: Frame, doors: Doors) -> None:
        self._page = frame.page
        self._doors = doors

    def open(self) -> None:
        """Add every page."""
        door, of = self._doors.open, "/c/{customer}/messages"
        door(of, self.messages)
        door(f"{of}.csv", self.sheet)
        door(f"{of}/{{message}}", self.message)

    async def messages(self, visit: Visit) -> Response:
        asked = {name: visit.query(name) for name in ASKED}
        if is_message_id(asked["id"].strip()):
            return go(f"/c/{visit.customer}/messages/{asked['id'].strip()}")
        found = models.Trace(messages=[], before="")
        try:
            found = await self._found(visit, asked, visit.query("before"), PAGE)
        except Refused as error:
            visit = dataclasses.replace(visit, error=text(error.key, visit.language, **error.values))
        wanted = {name: value for name, value in asked.items() if value}
        further = urllib.parse.urlencode({**wanted, "before": found.before}) if found.before else ""
        return await self._page(
            visit,
            "messages",
            found=found.messages,
            asked=asked,
            states=SHOWN,
            kinds=KINDS,
            further=further,
            same=urllib.parse.urlencode(wanted),
            most=SHEET_MOST,
        )

    async def message(self, visit: Visit) -> Response:
        message = visit.path("message")
        found = await visit.desk.history.traced(visit.who, customer=visit.customer, message=message)
        return await self._page(visit, "message", found=found.message, steps=found.steps)

    async def sheet(self, visit: Visit) -> Response:
        """What a search finds, all of it, a line for each recipient: sent while it is read, and never all in memory."""
        asked = {name: visit.query(name) for name in ASKED}
        try:
            first = await self._found(visit, asked, "", PAGE_MOST)
        except Refused:
            return await self.messages(visit)
        name = f'attachment; filename="{visit.customer}-messages.csv"'
        return StreamingResponse(
            self._lines(visit, asked, first), media_type=sheets.MEDIA, headers={"Content-Disposition": name}
        )

    async def _lines(self, visit: Visit, asked: dict[str, str], page: models.Trace) -> AsyncIterator[bytes]:
        columns = ("id", "time", "sender", "recipient", "state", "subject", "client", "size")
        yield sheets.BOM + sheets.line(text(f"sheet.{name}", visit.language) for name in columns)
        done = 0
        while True:
            yield b"".join(_line(message, *pair) for message in page.messages for pair in _recipients(message))
            done += len(page.messages)
            if not page.before:
                return
            if done >= SHEET_MOST:
                yield sheets.line([text("sheet.more", visit.language, count=SHEET_MOST)])
                return
            try:
                page = await self._found(visit, asked, page.before, PAGE_MOST)
            except Temporary:
                yield sheets.line([text("sheet.cut", visit.language)])
                return

    async def _found(self, visit: Visit, asked: dict[str, str], before: str, limit: int) -> models.Trace:
        until = day_start(asked["until"])
        conditions: dict[str, Any] = {
            name: asked[name] for name in ("sender", "recipient", "subject", "client", "state")
        }
        return await visit.desk.history.trace(
            visit.who,
            customer=visit.customer,
            **conditions,
            message_id=asked["id"],
            refused=KINDS.get(asked["kind"]),
            since=day_start(asked["since"]),
            until=until + DAY if until else 0.0,
            before=before,
            limit=limit,
        )


def _recipients(message: models.Traced) -> list[tuple[str, str]]:
    return list(message.recipients.items()) or [("", "")]


def _line(message: models.Traced, recipient: str, state: str) -> bytes:
    at = datetime.fromtimestamp(message.at, UTC).isoformat(timespec="milliseconds")
    return sheets.line(
        (
            message.id,
            at,
            message.sender,
            recipient,
            f"refused: {message.refused}" if message.refused else state,
            message.subject,
            message.client,
            message.size,
        )
    )
