"""The pages of mail: figures, messages, what waits, what is held, reports."""

from __future__ import annotations

import asyncio
import dataclasses
import urllib.parse
from typing import Final

from fastapi import Response
from fastapi.responses import HTMLResponse

from services.console import traffic_models
from services.console.caller import Refused
from services.console.history import day_start
from services.console.licence import DAY
from services.console.pages import Doors, Frame, Visit, go
from services.console.panels import panels
from services.console.texts import text
from services.console.users.preview import FRAME_HEADERS, framed
from services.quarantine.api.models import Messages
from services.quarantine.tables import WAITING, State

SPANS: Final = (1, 7, 30, 90)
HELD_ASKED: Final = ("sender", "recipient", "subject", "reason", "state", "since", "until", "reported")


class TrafficRooms:
    """Each page, and what its forms do."""

    def __init__(self, frame: Frame, doors: Doors) -> None:
        self._page = frame.page
        self._doors = doors

    def open(self) -> None:
        """Add every page."""
        door, of = self._doors.open, "/c/{customer}"
        door("/dashboard", self.service)
        door(f"{of}/dashboard", self.dashboard)
        door(f"{of}/queue", self.queue, self.do_queue)
        door(f"{of}/held", self.held, self.do_held)
        door(f"{of}/held/{{message}}", self.held_message)
        door(f"{of}/held/{{message}}/text", self.held_text)

    # --- figures

    async def service(self, visit: Visit) -> Response:
        days = _days(visit)
        return await self._figures(visit, days, await visit.desk.figures.service_figures(visit.who, days=days))

    async def dashboard(self, visit: Visit) -> Response:
        days = _days(visit)
        found = await visit.desk.figures.figures(visit.who, customer=visit.customer, days=days)
        return await self._figures(visit, days, found)

    async def _figures(self, visit: Visit, days: int, found: traffic_models.Figures) -> Response:
        drawn = await asyncio.to_thread(panels, found, visit.language)
        return await self._page(visit, "figures", found=found, panels=drawn, span=days, spans=SPANS)

    # --- what waits

    async def queue(self, visit: Visit) -> Response:
        found = await visit.desk.queues.queue(visit.who, customer=visit.customer)
        return await self._page(visit, "queue", found=found.destinations)

    async def do_queue(self, visit: Visit) -> Response:
        asked = {name: visit.field(name) for name in ("action", "destination", "why")}
        body = traffic_models.QueueOrder.model_validate(asked)
        await visit.desk.queues.order_queue(visit.who, customer=visit.customer, body=body)
        return go(f"/c/{visit.customer}/queue", "queue-ordered")

    # --- what is held

    async def held(self, visit: Visit) -> Response:
        asked = {name: visit.query(name) for name in HELD_ASKED}
        found = Messages(messages=[], after="")
        try:
            found = await self._held(visit, asked)
        except Refused as error:
            visit = dataclasses.replace(visit, error=text(error.key, visit.language, **error.values))
        further = urllib.parse.urlencode({**asked, "after": found.after}) if found.after else ""
        return await self._page(
            visit,
            "held",
            found=found.messages,
            asked=asked,
            further=further,
            states=tuple(State),
            waiting=WAITING,
            reads=await visit.desk.held_reading.may_read(visit.who, visit.customer),
        )

    async def do_held(self, visit: Visit) -> Response:
        asked = {name: visit.query(name) for name in HELD_ASKED}
        if visit.field("matching"):
            done = await self._matching(visit, asked)
        else:
            picked = visit.form.get("shown" if visit.field("all") else "pick", [])
            if not picked:
                raise Refused("quarantine.none-picked")
            pairs = [each.partition(" ") for each in picked]
            items = [traffic_models.HeldItem(id=identity, recipient=recipient) for identity, _, recipient in pairs]
            body = traffic_models.HeldAct.model_validate({"action": visit.field("action"), "items": items})
            done = await visit.desk.held.act_held(visit.who, customer=visit.customer, body=body)
        query = urllib.parse.urlencode({name: each for name, each in asked.items() if each})
        where = f"/c/{visit.customer}/held{'?' if query else ''}{query}"
        return go(where, "held-asked" if done.complete else "held-asked-partly")

    async def held_message(self, visit: Visit) -> Response:
        return await self._page(visit, "held_message", message=visit.path("message"), shown=await self._read(visit))

    async def held_text(self, visit: Visit) -> Response:
        """What a stranger wrote, for the frame alone: an origin of its own, without script, forms or a way out."""
        shown = await self._read(visit)
        return HTMLResponse(framed(shown.html, shown.text, visit.language), headers=FRAME_HEADERS)

    async def _read(self, visit: Visit) -> traffic_models.HeldText:
        reading = visit.desk.held_reading
        return await reading.read_held(visit.who, customer=visit.customer, message=visit.path("message"))

    async def _matching(self, visit: Visit, asked: dict[str, str]) -> traffic_models.HeldAsked:
        """Do it with all that the search of the page finds, as long as it is held."""
        until = day_start(asked["until"])
        known = {state.value for state in WAITING}
        if asked["state"] not in {"", "all", *known}:
            raise Refused("quarantine.none-picked")
        body = traffic_models.HeldMatching.model_validate(
            {
                **{name: asked[name] for name in ("sender", "recipient", "subject", "reason")},
                "action": visit.field("action"),
                "state": asked["state"] if asked["state"] in known else None,
                "reported": "wanted" if asked["reported"] == "wanted" else "",
                "since": day_start(asked["since"]),
                "until": until + DAY if until else 0.0,
            }
        )
        return await visit.desk.held.act_held_matching(visit.who, customer=visit.customer, body=body)

    async def _held(self, visit: Visit, asked: dict[str, str]) -> Messages:
        until = day_start(asked["until"])
        known = {state.value for state in State}
        return await visit.desk.held.held(
            visit.who,
            customer=visit.customer,
            state=State(asked["state"]) if asked["state"] in known else None,
            sender=asked["sender"],
            recipient=asked["recipient"],
            subject=asked["subject"],
            reason=asked["reason"],
            since=day_start(asked["since"]),
            until=until + DAY if until else 0.0,
            everything=asked["state"] == "all",
            reported="wanted" if asked["reported"] == "wanted" else "",
            after=visit.request.query_params.get("after", "")[:1_200],
        )


def _days(visit: Visit) -> traffic_models.Days:
    match visit.query("days"):
        case "1":
            return 1
        case "30":
            return 30
        case "90":
            return 90
    return 7
