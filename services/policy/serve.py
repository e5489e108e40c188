"""Policy as a unit of a process."""

from __future__ import annotations

import asyncio

from schemas.catalog import RECEIVED, VERDICTS
from services.core.contacts import Contacts
from services.core.holds import SenderHolds
from services.core.senders import Senders
from services.core.signals import Signals
from services.core.waiting import happens
from services.policy.app import Policy, message_of
from services.runtime.follow import follow_contacts, follow_holds, follow_senders, follow_signals
from services.runtime.host import Context


async def serve(ctx: Context) -> None:
    """Join and decide until `ctx.stop`."""
    senders, signals, known = Senders(), Signals(), asyncio.Event()
    holds, held, contacts = SenderHolds(), asyncio.Event(), Contacts()
    directory = ctx.directory
    policy = Policy(
        ctx.bus, directory.customer, ctx.clock, senders, signals, holds, contacts, groups_of=directory.groups_of
    )
    async with asyncio.TaskGroup() as tasks:
        following = (
            tasks.create_task(follow_senders(ctx.bus, senders, known), name="policy-senders"),
            tasks.create_task(follow_signals(ctx.bus, signals, asyncio.Event()), name="policy-signals"),
            tasks.create_task(follow_holds(ctx.bus, holds, held), name="policy-holds"),
            tasks.create_task(follow_contacts(ctx.bus, contacts), name="policy-contacts"),
        )
        tasks.create_task(policy.ask_again(ctx.stop), name="policy-ask-again")
        await ctx.directory_ready()
        for each in (known, held):  # before that, mail would pass that somebody has blocked, or whose sender is held
            while not each.is_set() and not ctx.stop.is_set():
                await happens(each, 1.0)
        topics = (RECEIVED, VERDICTS)
        await ctx.consume("policy", "policy", topics, policy, max_in_flight=2_000, tied_to=message_of)
        for task in following:
            task.cancel()
