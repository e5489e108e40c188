"""Delivery as a unit of a process."""

from __future__ import annotations

import asyncio
import os
import random
from typing import Final

from schemas.catalog import DISPOSITIONS, SENDER_HOLDS
from services.core.ids import message_id
from services.core.waiting import before, happens
from services.delivery.app import Delivery
from services.delivery.config import DeliveryConfig
from services.delivery.dial import SmtpDial
from services.delivery.exempt import Exempt
from services.delivery.hold_notice import GROUP, HoldNotices
from services.delivery.sign import Signing
from services.delivery.tls_report import TlsReports
from services.delivery.tls_results import Results
from services.runtime.config import load
from services.runtime.dkim_keys import NAME, DkimConfig, DkimKeys
from services.runtime.dns import Resolver
from services.runtime.host import Context
from services.runtime.membership import Membership
from services.runtime.secret_key import given_key

ORDERS_WITHIN: Final = 30.0  # seconds
IN_FLIGHT: Final = 1_000  # records; one destination takes few of them, so that a slow one holds up nobody


async def serve(ctx: Context) -> None:
    """Relay until `ctx.stop`."""
    config = load(DeliveryConfig, ctx.environ)
    resolver = Resolver(config.dns, ctx.clock, validating=config.dns_validating)
    membership = Membership()
    results = Results(message_id(ctx.clock.now(), os.urandom), ctx.clock.now)
    delivery = Delivery(
        config,
        store=ctx.store,
        bus=ctx.bus,
        customer=ctx.directory.customer,
        clock=ctx.clock,
        chance=random.random,
        dial=SmtpDial(config, ctx.clock, resolver, results=results.note),
        dns=resolver,
        ours=membership.sure,
        hosted=lambda domain: ctx.directory.lookup_domain(domain) is not None,
        signs=_signing(ctx, config.hostname),
    )
    await ctx.directory_ready()
    caught_up = asyncio.Event()
    following = asyncio.create_task(delivery.follow(caught_up), name="delivery-orders")
    try:
        # Without the orders of the past, what is held would go out.
        await before(ctx.stop, happens(caught_up, ORDERS_WITHIN))
        await delivery.start()
        service = Exempt(delivery, config.release_public_key)
        topics = (DISPOSITIONS,)
        notices = HoldNotices(ctx.store, ctx.directory.customer, config.hostname)
        reports = TlsReports(
            config.reporter(),
            results,
            bus=ctx.bus,
            store=ctx.store,
            dns=resolver,
            clock=ctx.clock,
            mine=lambda partition: partition in delivery.partitions,
            owner=lambda domain: (ctx.directory.lookup_domain(domain) or (None,))[0],
        )
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(reports.run(ctx.stop), name="tls-reports")
            tasks.create_task(ctx.consume(GROUP, GROUP, (SENDER_HOLDS,), notices), name=GROUP)
            await ctx.consume(
                "delivery", "delivery", topics, service, max_in_flight=IN_FLIGHT, announce=True, membership=membership
            )
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await delivery.close()
        await resolver.close()


def _signing(ctx: Context, hostname: str) -> Signing | None:
    """Return what signs, None without a master key: nothing goes out signed then, and nothing is sealed."""
    config = load(DkimConfig, ctx.environ)
    master = given_key(NAME, config.dkim_key, config.dkim_key_file)
    return None if master is None else Signing(DkimKeys(ctx.store, master, ctx.clock, os.urandom), ctx.clock, hostname)
