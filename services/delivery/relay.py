"""One attempt at one letter: the customer's hosts in order, until one of them deals with it."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from schemas.events import Host
from services.core.errors import DnsUnavailable
from services.delivery.decide import Reply, Result, Stage
from services.delivery.dial import Unreachable
from services.delivery.hops import Hops, NoMail
from services.delivery.pool import Lease, Pool
from services.delivery.session import Letter, Transaction

log = logging.getLogger("gatepost.delivery")

HOSTS_MOST: Final = 10  # that one attempt asks: an MX record may list any number
Before = Callable[[], Awaitable[None]]


@dataclasses.dataclass(frozen=True, slots=True)
class Relayed:
    """How an attempt ended. Every recipient has a result; `reached` False: no host ever took up the message."""

    results: dict[str, Result]
    reached: bool
    closing: bool = False  # the host answered, and said that it goes away
    removed: tuple[str, ...] = ()  # names of the attachments that were not in it any more


async def relay(  # what it needs of five others
    letter: Letter, customer: str, hosts: Sequence[Host], pool: Pool, hops: Hops, before: Before
) -> Relayed:
    """Send the letter to the first host that has a session for it, and return what each recipient was told.

    A host that can't be reached, or fails before it answered MAIL, passes the letter on to the next one. `before` is
    awaited before a letter goes out: what it raises ends the attempt, with nothing sent.
    """
    try:
        found = await hops.expand(hosts)
    except NoMail as error:
        never = Result(Reply(556, f"{error.status} {error}", Stage.CONNECT))
        return Relayed(dict.fromkeys(letter.recipients, never), reached=True)
    except DnsUnavailable as error:
        nowhere = Result(Reply(0, f"{hosts[0].host}: {error}", Stage.CONNECT))
        return Relayed(dict.fromkeys(letter.recipients, nowhere), reached=False)
    last = Result(Reply(0, "no host to relay to", Stage.CONNECT))
    for host in pool.order(customer, found)[:HOSTS_MOST]:
        name = f"{host.host}:{host.port}"
        try:
            lease = await pool.take(customer, host)
            done = await _send(letter, lease, pool, before)
            if done.broken is not None and lease.reused:
                # The host had closed a connection that we kept: that says nothing about the host.
                lease = await pool.connect(customer, host)
                done = await _send(letter, lease, pool, before)
        except Unreachable as error:
            last = Result(Reply(0, f"{name}: {error}", Stage.CONNECT), name)
            log.info("host=%s customer=%s event=unreachable error=%s", name, customer, last.reply.line)
            continue
        if done.broken is None:
            tls = lease.session.tls
            results = {recipient: Result(reply, name, tls) for recipient, reply in done.replies.items()}
            return Relayed(results, reached=True, closing=done.closing is not None)
        last = Result(done.broken, name)
        log.info("host=%s customer=%s event=broken error=%s", name, customer, last.reply.line)
    return Relayed(dict.fromkeys(letter.recipients, last), reached=False)


async def _send(letter: Letter, lease: Lease, pool: Pool, before: Before) -> Transaction:
    kept = False
    try:
        await before()
        done = await lease.session.send(letter)
        kept = done.reusable
    finally:
        if not kept:
            pool.drop(lease)
    if kept:
        pool.give(lease)
    return done
