"""What a customer's rules ask for beside the delivery: copies of what is delivered, and word of what was done.

Each is a message like any other, with an id, an object and an outcome of its own. Its id follows from what it is of:
made twice, it is the same message, and is delivered once. It is published before anything of the original goes out, so
nobody has a message whose copy is lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

import msgspec

from schemas.events import Action, Branch, Customer, Disposition, Envelope, Received
from services.core.address import parse
from services.core.branches import deals
from services.core.changes import by_rule, language_of
from services.core.compose import compose
from services.core.errors import BadAddress, ObjectConflict, ObjectCorrupt, ObjectNotFound
from services.core.stored import object_key, pack, unpack
from services.delivery.attempt import in_loop
from services.delivery.budget import Budget
from services.delivery.config import DeliveryConfig
from services.delivery.decide import BCC
from services.delivery.notices import notice_id
from services.delivery.word import word
from services.runtime.store import Store

log = logging.getLogger("gatepost.delivery")

NOTICE: Final = "notice"
Seen = Callable[[str, str], bool]


class Copies:
    """Makes them. Knows nothing of queues."""

    def __init__(
        self,
        config: DeliveryConfig,
        store: Store,
        customer: Callable[[str], Customer | None],
        seen: Seen,
        budget: Budget,
    ) -> None:
        """`seen` says whether a message has an outcome for a recipient already; `budget` is the memory for messages."""
        self._config = config
        self._store = store
        self._customer = customer
        self._seen = seen
        self._budget = budget

    async def of(self, disposition: Disposition, branches: list[int]) -> list[Received]:
        """Return what these branches ask for, stored and not yet published. Raises StoreUnavailable."""
        made: list[Received] = []
        for index in branches:
            branch = disposition.branches[index]
            for kind, address in _wanted(disposition, branch):
                made += await self._make(disposition, branch, kind, address)
        return made

    async def _make(self, disposition: Disposition, branch: Branch, kind: str, address: str) -> list[Received]:
        received = disposition.received
        identity = notice_id(received.id, f"{kind} {disposition.release} {','.join(branch.recipients)}", (address,))
        if self._seen(identity, address):
            return []
        domain = self._domain(received, address)
        if domain is None:
            return []
        copy = Received(
            id=identity,
            customer=received.customer,
            domain=domain,
            key=object_key(received.customer, identity),
            envelope=Envelope(
                reverse_path="",  # that a copy can't be delivered is nothing to tell the sender
                recipients=(address,),
                client_ip="127.0.0.1",
                helo=self._config.hostname,
                eight_bit=True,
                smtputf8=not address.isascii() or received.envelope.smtputf8,
            ),
            size=0,
            received_at=disposition.decided_at,
            server=self._config.hostname,
            plan=(),
            subject=received.subject,
            own=kind,
        )
        if kind == NOTICE:
            return await self._put(copy, [word(disposition, branch, copy, self._customer(received.customer))])
        return await self._copy(disposition, branch, copy)

    async def _copy(self, disposition: Disposition, branch: Branch, copy: Received) -> list[Received]:
        received = disposition.received
        async with self._budget.hold(received.size):
            try:
                _, message = unpack(await self._store.get(received.key))
            except (ObjectNotFound, ObjectCorrupt) as error:  # no use to try again; the delivery says so as well
                log.warning("id=%s customer=%s event=not-copied reason=%s", received.id, received.customer, error)
                return []
            customer = self._customer(received.customer)
            language = language_of(customer)
            make = partial(_composed, disposition, branch, message, self._config.hostname, language)
            parts = await asyncio.to_thread(make) if received.size > in_loop(disposition, customer) else make()
            return await self._put(copy, parts)

    async def _put(self, copy: Received, parts: list[bytes | memoryview]) -> list[Received]:
        copy = msgspec.structs.replace(copy, size=sum(map(len, parts)))
        try:
            await self._store.put(copy.key, [pack(copy), *parts])
        except ObjectConflict:  # made before, and a crash came before it was published
            copy, _ = unpack(await self._store.get(copy.key))
        log.info("id=%s customer=%s event=%s-made", copy.id, copy.customer, copy.own)
        return [copy]

    def _domain(self, received: Received, address: str) -> str | None:
        """Return the customer's domain whose MTA gets it: the address's own, or for one elsewhere the original's."""
        customer = self._customer(received.customer)
        own = [] if customer is None else [domain.name for domain in customer.domains]
        try:
            domain = parse(address).domain
        except BadAddress:
            return None
        if domain in own:
            return domain
        return received.domain if received.domain in own else next(iter(own), None)


def _composed(
    disposition: Disposition, branch: Branch, message: memoryview, hostname: str, language: str
) -> list[bytes | memoryview]:
    return compose(disposition, branch, by_rule(message, branch, language).message, hostname=hostname)


def _wanted(disposition: Disposition, branch: Branch) -> Iterator[tuple[str, str]]:
    yield from ((BCC, address) for address in branch.bcc if deals(branch) is Action.DELIVER)
    if not disposition.release:  # a release was decided by a person, and told of before
        yield from ((NOTICE, address) for address in branch.notify)
