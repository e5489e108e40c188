"""What stands between a customer's client and the conversation: who it is, and how much it has sent."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgspec

from schemas.events import Customer, Event, Outbound
from services.core import replies
from services.core.client_certificates import Shown, anchors, known_by
from services.core.clock import Clock
from services.core.directory import Directory
from services.core.errors import StartError
from services.core.holds import SenderHolds
from services.core.signals import Kind, Signals
from services.ingress import decide
from services.ingress.guards import Guards
from services.ingress.limits import Window
from services.ingress.reputation import Facts
from services.ingress.submission.asking import Asking
from services.ingress.submission.passwords import Passwords
from services.ingress.submission.sasl import Credentials
from services.ingress.visitor import Visitor
from services.runtime.bus import Bus, Tombstone
from services.runtime.dns import Dns
from services.runtime.follow import follow_holds, follow_signals

if TYPE_CHECKING:
    from services.ingress.submission.config import SubmissionConfig

HOLDS_WITHIN: Final = 60.0  # seconds
_TOO_MUCH: Final = {
    Kind.SUBMIT_ADDRESS: replies.TOO_MANY_MESSAGES,
    Kind.SUBMIT_SENDER: replies.TOO_MANY_SENT,
    Kind.SUBMIT_CUSTOMER: replies.CUSTOMER_TOO_MUCH,
}


class SubmissionGuards(Guards):
    """One for the process. No reputation is asked for: whoever isn't known sends nothing."""

    config: SubmissionConfig
    directory: Directory

    def __init__(
        self,
        config: SubmissionConfig,
        *,
        dns: Dns,
        directory: Directory,
        signals: Signals,
        clock: Clock,
        publish: Callable[[Event | Tombstone], None],
    ) -> None:
        """See Guards."""
        super().__init__(config, dns=dns, directory=directory, signals=signals, clock=clock, publish=publish)
        self.holds = SenderHolds()  # followed from `start` on
        self.asking = Asking(config, self.clock, lambda: anchors(directory.senders()))
        self.passwords = Passwords(config.auth_at_once, self.clock.monotonic, os.urandom)
        self._by_address = Window(config.address_window)
        self._by_sender = Window(config.sender_window)
        self._by_customer = Window(config.customer_window)
        self._failed = Window(config.auth_window)

    @property
    def tasks(self) -> list[asyncio.Task[None]]:
        """See Guards."""
        return [*super().tasks, *([self.asking.task] if self.asking.task is not None else [])]

    async def start(self, bus: Bus) -> None:
        """See Guards. It returns once the holds of the past are known: until then, who is held could send."""
        await super().start(bus)
        known = asyncio.Event()
        self._keeping.append(asyncio.create_task(follow_holds(bus, self.holds, known), name="submission-holds"))
        self._keeping.append(
            asyncio.create_task(follow_signals(bus, self.signals, asyncio.Event()), name="submission-signals")
        )
        try:
            async with asyncio.timeout(HOLDS_WITHIN):
                await known.wait()
        except TimeoutError as error:
            raise StartError(f"who is held could not be read within {HOLDS_WITHIN:.0f} s") from error
        await self.asking.start()

    async def close(self) -> None:
        """See Guards."""
        await self.asking.close()
        await super().close()

    def ask(self, ip: str) -> asyncio.Task[Facts] | None:  # noqa: ARG002  # of nobody
        """See Guards."""
        return None

    def visitor(self, ip: str) -> Visitor:
        """See Guards."""
        self.limits.entered(ip)
        return Submitter(self, ip)

    def stopped(self, sender: decide.Sender, account: str) -> decide.Refusal | None:
        """Return why the sender, or the account that signed in, may send nothing at present."""
        customer = "" if sender.owner is None else sender.owner.id
        held = self.holds.held(customer, sender.reverse_path, account)
        return None if held is None else decide.Refusal(replies.SENDER_HELD, "sender-held", customer)

    def too_much(self, ip: str, sender: decide.Sender) -> decide.Refusal | None:
        """Count a message; return why it is put off: what is put off is not counted.

        What this process counted is asked first, then what all of them told of it together.
        """
        if self.trusted(ip):
            return None
        now, wall = self.clock.monotonic(), self.clock.now()
        customer = "" if sender.owner is None else sender.owner.id
        path = sender.reverse_path.lower()
        own = Outbound() if sender.owner is None else sender.owner.outbound
        by_sender = _fewer(self.config.sender_messages, own.sender_messages)
        by_customer = _fewer(self.config.customer_messages, own.customer_messages)
        limits = (
            (self._by_address, ip, self.config.address_messages, Kind.SUBMIT_ADDRESS, "address-rate"),
            # The null sender is everybody's: of each address it is one, and signals keeps no count of it.
            (self._by_sender, path or f"<> {ip}", by_sender, Kind.SUBMIT_SENDER, "sender-rate"),
            (self._by_customer, customer, by_customer, Kind.SUBMIT_CUSTOMER, "customer-rate"),
        )
        for window, subject, most, kind, reason in limits:
            if window.count(subject, now) >= most or self.signals.active(kind, subject, wall) is not None:
                return decide.Refusal(_TOO_MUCH[kind], reason, customer)
        for window, subject, *_ in limits:
            window.add(subject, now)
        return None

    def guesses(self, ip: str) -> bool:
        """Return whether the address has been wrong so often that it is no longer listened to."""
        return self._failed.count(ip, self.clock.monotonic()) >= self.config.auth_failures

    def guessed_wrong(self, ip: str) -> None:
        """Count a password that was wrong."""
        self._failed.add(ip, self.clock.monotonic())


def _fewer(operators: int, own: int) -> int:
    """Return the limit that counts: the customer's own never lets more through than the operator's; 0: it has none."""
    return min(operators, own) if own else operators


class Submitter(Visitor):
    """One client: unknown until its address or a password says whose it is."""

    _guards: SubmissionGuards

    def __init__(self, guards: SubmissionGuards, ip: str) -> None:
        super().__init__(guards, ip)
        self.wanted = True  # it isn't made to wait; until it is known it can only sign in
        self.account = ""  # that signed in
        self._shown: Shown | None = None

    @property
    def submitter(self) -> str:
        """How the trace names it."""
        if self.account or not self._certified():
            return self.account or self.ip
        return f"certificate {hashlib.sha256(self._shown.own).hexdigest()[:16]}" if self._shown else self.ip

    def tls(self) -> ssl.SSLContext | None:
        """Return what TLS begins with where the client is to be asked who it is; None: it need not be."""
        return None if self._guards.directory.submitters(self.ip) else self._guards.asking.of(self.ip)

    def showed(self, engine: ssl.SSLObject) -> None:
        """See Visitor."""
        self._shown = self._guards.asking.shown(engine)

    def showed_unknown(self) -> None:
        """See Visitor."""
        self._guards.asking.unknown(self.ip)

    def _certified(self) -> tuple[Customer, ...]:
        return () if self._shown is None else known_by(self._guards.directory.senders(), self._shown)

    def customers(self) -> tuple[Customer, ...]:
        """Return whose mail it may send, by the customers' records of this moment."""
        if not self.account:
            return self._certified() or self._guards.directory.submitters(self.ip)
        found = self._guards.directory.account(self.account)
        if found is None:
            return ()
        customer, account = found
        if not account.domains:
            return (customer,)
        own = tuple(domain for domain in customer.domains if domain.name in account.domains)
        return (msgspec.structs.replace(customer, domains=own),)

    async def sign_in(self, credentials: Credentials) -> bool:
        """Return whether the client is who it says. Raises passwords.Busy."""
        found = self._guards.directory.account(credentials.name)
        phc = None if found is None else found[1].password
        if self._guards.guesses(self.ip):
            return False
        if not await self._guards.passwords.right(credentials.name, credentials.password, phc):
            self._guards.guessed_wrong(self.ip)
            return False
        self.account = credentials.name
        return True

    async def judge(self, helo: str) -> decide.Refusal | None:  # noqa: ARG002  # a customer's client has no bad name
        """See Visitor."""
        return None

    def transaction(self) -> decide.Refusal | None:
        """See Visitor: the door counts, once it knows the sender."""
        return None

    def admitted(self, customer: Customer, reverse_path: str) -> decide.Refusal | None:  # noqa: ARG002  # as above
        """See Visitor."""
        return None

    def asked(self, reverse_path: str, *, exists: bool) -> None:
        """See Visitor: recipients out there tell nobody anything of ours."""

    def takes(self, accepted: decide.Accepted, reverse_path: str) -> decide.Accepted | decide.Refusal:  # noqa: ARG002  # as above
        """See Visitor."""
        return accepted
