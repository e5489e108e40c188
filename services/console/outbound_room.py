"""The page of outgoing mail."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import Response

from services.console import models
from services.console.caller import NotFound
from services.console.pages import Visit, go

DOMAINS_MOST: Final = 20  # whose DNS is asked for one page
Page = Callable[..., Awaitable[Response]]


class OutboundRoom:
    """Shows how a customer sends through us, and does what its forms ask for."""

    def __init__(self, page: Page) -> None:
        self._page = page

    def open(self, door: Callable[..., None]) -> None:
        """Add the page."""
        door("/c/{customer}/outbound", self.show, self.act)

    async def show(self, visit: Visit) -> Response:
        desk, who, customer = visit.desk, visit.who, visit.customer
        found = await desk.outbounds.outbound(who, customer=customer)
        domains = (await desk.domains.domains(who, customer=customer)).domains
        records = [
            await desk.outbounds.outbound_records(who, customer=customer, name=each.name)
            for each in [each for each in domains if each.proved][:DOMAINS_MOST]
        ]
        return await self._page(
            visit, "outbound", found=found, records=records, made=visit.shown.get("made"), name=visit.field("name")
        )

    async def act(self, visit: Visit) -> Response:
        """Do what a form asks for."""
        outbounds, who, customer = visit.desk.outbounds, visit.who, visit.customer
        path, domain = f"/c/{customer}/outbound", visit.field("domain")
        match visit.field("action"):
            case "add":
                body = models.NewSubmitter(name=visit.field("name"))
                made = await outbounds.add_submitter(who, customer=customer, body=body)
                return await self.show(dataclasses.replace(visit, form={}, shown={"made": made}))
            case "on" | "off" as action:
                change = models.OutboundChange(enabled=action == "on")
                await outbounds.change_outbound(who, customer=customer, body=change)
                done = f"outbound-{action}"
            case "addresses":
                lines = [line.strip() for line in visit.field("addresses").splitlines() if line.strip()]
                change = models.OutboundChange(addresses=lines)
                await outbounds.change_outbound(who, customer=customer, body=change)
                done = "outbound-saved"
            case "remove":
                await outbounds.remove_submitter(who, customer=customer, name=visit.field("account"))
                done = "submitter-removed"
            case "make-keys":
                await outbounds.make_keys(who, customer=customer, name=domain)
                done = "dkim-made"
            case "use-keys":
                name = models.KeyName(name=visit.field("key"))
                await outbounds.use_keys(who, customer=customer, name=domain, body=name)
                done = "dkim-used"
            case "remove-keys":
                await outbounds.remove_keys(who, customer=customer, name=domain, key=visit.field("key"))
                done = "dkim-removed"
            case _:
                raise NotFound("no such action")
        return go(path, done)
