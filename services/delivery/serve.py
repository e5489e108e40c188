"""Delivery as a unit of a process."""

from __future__ import annotations

import random

from schemas.catalog import DISPOSITIONS
from services.delivery.app import Delivery
from services.delivery.config import DeliveryConfig
from services.delivery.exempt import Exempt
from services.runtime.config import load
from services.runtime.host import Context


async def serve(ctx: Context) -> None:
    """Relay until `ctx.stop`."""
    config = load(DeliveryConfig, ctx.environ)
    delivery = Delivery(
        config,
        store=ctx.store,
        bus=ctx.bus,
        customer=ctx.directory.customer,
        clock=ctx.clock,
        chance=random.random,
    )
    await ctx.directory_ready()
    await delivery.start()
    try:
        await ctx.consume("delivery", "delivery", (DISPOSITIONS,), Exempt(delivery, config.release_public_key))
    finally:
        await delivery.close()
