"""The page of outgoing mail."""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable
from typing import Final

from fastapi import Response

from services.console import models
from services.console.caller import NotFound
from services.console.pages import Visit, go
from services.console.rule_form import lines

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
        if visit.field("action") == "add":
            body = models.NewSubmitter(name=visit.field("name"))
            made = await visit.desk.outbounds.add_submitter(visit.who, customer=visit.customer, body=body)
            return await self.show(dataclasses.replace(visit, form={}, shown={"made": made}))
        done = await _on_keys(visit) or await _on_senders(visit)
        return go(f"/c/{visit.customer}/outbound", done)


async def _on_senders(visit: Visit) -> str:
    """Change who sends, and how much; return the name of what is said of it."""
    outbounds, who, customer = visit.desk.outbounds, visit.who, visit.customer
    match visit.field("action"):
        case "on" | "off" as action:
            await outbounds.change_outbound(who, customer=customer, body=models.OutboundChange(enabled=action == "on"))
            return f"outbound-{action}"
        case "addresses":
            change = models.OutboundChange(addresses=lines(visit.field("addresses")))
            await outbounds.change_outbound(who, customer=customer, body=change)
        case "limits":
            numbers = {name: visit.field(name).strip() or "0" for name in ("sender_messages", "customer_messages")}
            change = models.OutboundChange.model_validate(numbers)
            await outbounds.change_outbound(who, customer=customer, body=change)
        case "add-certificate":
            body = models.NewCertificate(certificate=visit.field("certificate"), names=lines(visit.field("names")))
            await outbounds.add_certificate(who, customer=customer, body=body)
        case "remove-certificate":
            await outbounds.remove_certificate(who, customer=customer, certificate=visit.field("certificate"))
        case "remove":
            await outbounds.remove_submitter(who, customer=customer, name=visit.field("account"))
            return "submitter-removed"
        case _:
            raise NotFound("no such action")
    return "outbound-saved"


async def _on_keys(visit: Visit) -> str:
    """Do what is asked for with the keys of a domain; return the name of what is said of it, empty: it was nothing."""
    outbounds, who, customer = visit.desk.outbounds, visit.who, visit.customer
    domain, key = visit.field("domain"), visit.field("key")
    match visit.field("action"):
        case "make-keys":
            await outbounds.make_keys(who, customer=customer, name=domain)
            return "dkim-made"
        case "use-keys":
            await outbounds.use_keys(who, customer=customer, name=domain, body=models.KeyName(name=key))
            return "dkim-used"
        case "remove-keys":
            await outbounds.remove_keys(who, customer=customer, name=domain, key=key)
            return "dkim-removed"
    return ""
