"""What other settings would have done to the messages of the last seven days, beside those that are in force."""

from __future__ import annotations

import asyncio
from typing import Final

from schemas.events import Customer
from services.console import policy_models as models
from services.console.caller import Refused
from services.console.licence import DAY
from services.core.clock import Clock
from services.core.directory_groups import Membership, in_none
from services.core.ids import born
from services.core.senders import Senders
from services.replay.decide import Beside, Treatment
from services.replay.whatif import WhatIf
from services.trace.index import Index

WITHIN: Final = 8.0  # seconds that one look back may take
BACK: Final = 7 * DAY  # how far it goes
PAGE: Final = 100  # messages that are read and decided together
AT_ONCE: Final = 2  # who look back at the same time
WAITING_MOST: Final = 6  # who do or wait to


class LookBack:
    """One for all who ask: it costs CPU."""

    def __init__(self, clock: Clock, trace: Index, senders: Senders, groups_of: Membership = in_none) -> None:
        self._clock = clock
        self._trace = trace
        self._beside = Beside(senders, groups_of)
        self._turn = asyncio.Semaphore(AT_ONCE)
        self._looking = 0

    async def look(self, now: Customer, then: Customer, domains: frozenset[str] | None = None) -> models.WhatIf:
        """Return what the customer as it is `then` would have done otherwise than `now`.

        `domains` are those that the messages are for; None: any. Raises Refused while too many others look.
        """
        if self._looking >= WAITING_MOST:
            raise Refused("policy.busy")
        self._looking += 1
        try:
            async with self._turn:
                return await self._look(now, then, domains)
        finally:
            self._looking -= 1

    async def _look(self, now: Customer, then: Customer, domains: frozenset[str] | None) -> models.WhatIf:
        clock = self._clock
        began, since = clock.monotonic(), clock.now() - BACK
        found = WhatIf()
        page = await self._trace.recorded(now.id, since, "", PAGE, domains)
        while True:
            # In a thread, so that nobody else waits; and the next ones are read meanwhile.
            events = [message.events for message in page]
            looking = asyncio.to_thread(found.look, events, now, then, self._beside)
            complete = len(page) < PAGE
            if complete or clock.monotonic() - began > WITHIN:
                await looking
                break
            page, _ = await asyncio.gather(self._trace.recorded(now.id, since, page[-1].id, PAGE, domains), looking)
        oldest = since if complete else born(page[-1].id)
        return models.WhatIf(
            messages=found.messages,
            otherwise=found.otherwise,
            since=oldest,
            complete=complete,
            unreadable=found.unreadable,
            seconds=round(clock.monotonic() - began, 2),
            changes=[
                models.WhatIfChange(before=_treated(was), after=_treated(would), recipients=count)
                for (was, would), count in found.changed.most_common()
            ],
            examples=[
                models.WhatIfMessage(
                    id=one.received.id,
                    at=one.received.received_at,
                    sender=one.received.envelope.reverse_path,
                    subject=one.received.subject,
                    recipients=list(one.difference.recipients),
                    before=_treated(one.difference.before),
                    after=_treated(one.difference.after),
                    rule_before=one.difference.before.rule,
                    rule_after=one.difference.after.rule,
                    reason=one.difference.after.reason,
                )
                for some in found.examples.values()
                for one in some
            ],
        )


def _treated(treatment: Treatment) -> models.Treated:
    return models.Treated(
        action=treatment.action,
        redirect_to=treatment.redirect_to,
        tag_subject=treatment.tag_subject,
        add_headers=list(treatment.add_headers),
        stamp=treatment.stamp,
        strip=list(treatment.strip),
        bcc=list(treatment.bcc),
        notify=list(treatment.notify),
        refuse=treatment.refuse,
        encrypt=treatment.encrypt,
    )
