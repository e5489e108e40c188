"""What the log says of each attempt."""

from __future__ import annotations

import logging

from schemas.events import Deferred
from services.delivery.decide import Concluded

log = logging.getLogger("gatepost.delivery")


def tell(entry: Deferred, concluded: Concluded, now: float) -> None:
    """Log one line for each outcome, and one for what waits."""
    received = entry.disposition.received
    for outcome in concluded.outcomes:
        log.info(
            "id=%s customer=%s event=%s recipients=%d host=%s tls=%s attempts=%d waited=%.3fs reply=%s",
            received.id,
            received.customer,
            outcome.state.value,
            len(outcome.recipients),
            outcome.host or "-",
            outcome.tls or "-",
            outcome.attempts,
            outcome.at - received.received_at,
            outcome.reply,
        )
    waiting = concluded.waiting
    if waiting is not None:
        log.info(
            "id=%s customer=%s event=deferred recipients=%d attempts=%d next_in=%.0fs reply=%s",
            received.id,
            received.customer,
            len(waiting.recipients),
            waiting.attempts,
            waiting.next_at - now,
            waiting.reply,
        )
