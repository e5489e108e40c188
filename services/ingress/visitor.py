"""One client as the guards see it: what it may do, and what is held against it."""

from __future__ import annotations

import asyncio
import dataclasses
import ssl
from typing import TYPE_CHECKING

from schemas.events import Customer, Evidence
from services.core import replies
from services.core.directory import POSTMASTER
from services.core.networks import networks
from services.core.signals import Kind
from services.ingress import bounce, decide
from services.ingress.reputation import Facts, Reputation, greeted, on_file, weigh, with_helo

if TYPE_CHECKING:
    from services.ingress.guards import Guards


class Visitor:
    """From the connection to its end. Customers' own lists win over everything that is asked here."""

    def __init__(self, guards: Guards, ip: str) -> None:
        self.trusted = guards.trusted(ip)
        self.wanted = self.trusted or guards.directory.allows(ip)  # by some customer, for its own mail
        self.reputation = Reputation()
        self._guards = guards
        self.ip = ip
        self._facts: asyncio.Task[Facts] | None = None if self.trusted else guards.ask(ip)
        self._customers: set[str] = set()

    def showed(self, engine: ssl.SSLObject) -> None:
        """Note what certificate TLS began with; here none is asked for."""

    def showed_unknown(self) -> None:
        """Note that TLS failed for a certificate that nothing vouches for."""

    def leave(self) -> None:
        """Give back what the connection held."""
        if self._facts is not None:
            self._facts.cancel()
        for customer in self._customers:
            self._guards.limits.vacate(customer)
        self._customers.clear()
        self._guards.limits.left(self.ip)

    @property
    def pause(self) -> float:
        """How many seconds it waits for its greeting."""
        if self.wanted or self._guards.records.good(self.ip, self._guards.clock.monotonic()):
            return 0.0
        return self._guards.config.greet_pause

    def waited(self) -> None:
        """Say that it didn't speak before its greeting."""
        self._guards.records.passed(self.ip, self._guards.clock.monotonic())

    def spoke_early(self, reason: str) -> decide.Refusal:
        """Return the refusal for who doesn't wait for its turn."""
        self._guards.records.failed(self.ip)
        return decide.Refusal(replies.OUT_OF_TURN, reason)

    async def judge(self, helo: str) -> decide.Refusal | None:
        """Return why nothing is taken from the client at all, None when it may go on; then `reputation` is known."""
        if self.trusted:
            return None
        facts = Facts() if self._facts is None else await self._facts
        guards = self._guards
        self.reputation = with_helo(weigh(self.ip, facts), greeted(helo, self.ip, guards.config.hostname))
        return None if self.wanted else self._unwelcome("")

    @property
    def slow(self) -> bool:
        """Whether it waits before each answer."""
        return not self.wanted and self.reputation.score >= self._guards.config.slow_score

    def transaction(self) -> decide.Refusal | None:
        """Return why no transaction begins now."""
        if self.trusted:
            return None
        guards = self._guards
        if guards.signals.active(Kind.ABUSE_RATE, self.ip, guards.clock.now()) is not None:
            return decide.Refusal(replies.TOO_MANY_MESSAGES, "abuse-rate")
        return guards.limits.message(self.ip, guards.clock.monotonic())

    def admitted(self, customer: Customer, reverse_path: str) -> decide.Refusal | None:
        """Return why the customer takes nothing from the client."""
        if evidence := on_file("FRONT_BLOCKED", self.ip, networks(customer.block), "the customer's list"):
            return decide.Refusal(replies.BLOCKED, "blocked-by-customer", customer.id, evidence)
        if self.trusted or self.ip in networks(customer.allow):
            return None
        if self.ip in self._guards.block.networks:
            return self._guards.blocked(self.ip, customer.id)
        if (refusal := self._unwelcome(customer.id)) is not None:
            return refusal
        if self._guards.harvest.suspected(self.ip, reverse_path, self._guards.clock.now()):
            return decide.Refusal(replies.NOT_NOW, "harvest", customer.id)
        return None

    def asked(self, reverse_path: str, *, exists: bool) -> None:
        """Count a recipient that the client asked for."""
        if not self.trusted:
            self._guards.harvest.asked(self.ip, reverse_path, self._guards.clock.now(), exists=exists)

    def takes(self, accepted: decide.Accepted, reverse_path: str) -> decide.Accepted | decide.Refusal:
        """Return the recipient with what is held against the client on its behalf, or why it is put off or refused."""
        customer, guards = accepted.customer, self._guards
        refusal = None
        if not self.trusted and self.ip not in networks(customer.allow):
            refusal = self._put_off(accepted, reverse_path)
        if refusal is not None:
            return dataclasses.replace(refusal, customer=customer.id)
        if reverse_path or not customer.bounce_key or accepted.address.local.lower() == POSTMASTER:
            return accepted
        if bounce.valid(accepted.address, customer.bounce_key, guards.clock.now()):
            return accepted
        if customer.refuse_unsolicited:
            return decide.Refusal(replies.UNSOLICITED_BOUNCE, "unsolicited-bounce", customer.id)
        text = "a bounce that answers nothing the recipient sent"
        return dataclasses.replace(
            accepted, evidence=(Evidence(code="NULL_SENDER_UNSOLICITED", text=text, score=guards.config.bounce_score),)
        )

    def mistaken(self) -> bool:
        """Count a mistake, and return whether the address has made too many, over all its connections."""
        return not self.trusted and self._guards.limits.error(self.ip, self._guards.clock.monotonic())

    def _put_off(self, accepted: decide.Accepted, reverse_path: str) -> decide.Refusal | None:
        guards, customer, address = self._guards, accepted.customer.id, accepted.address.canonical
        for kind in (Kind.CUSTOMER_RATE, Kind.CUSTOMER_RECIPIENTS):
            if guards.signals.active(kind, customer, guards.clock.now()) is not None:
                return decide.Refusal(replies.RECIPIENT_BUSY, kind.value)
        if guards.greylist is not None and guards.greylist.waits(self.ip, reverse_path, address, guards.clock.now()):
            return decide.Refusal(replies.GREYLISTED, "greylisted")
        if customer not in self._customers:
            if (refusal := guards.limits.occupy(customer)) is not None:
                return refusal
            self._customers.add(customer)
        return guards.limits.recipient(self.ip, address, customer, guards.clock.monotonic())

    def _unwelcome(self, customer: str) -> decide.Refusal | None:
        config = self._guards.config
        if self.reputation.score < config.refuse_score:
            return None
        reply = replies.refused("reputation", config.contact)
        return decide.Refusal(reply, "reputation", customer, self.reputation.evidence)
