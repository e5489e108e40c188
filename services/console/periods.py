"""Which day, week or month is over. In UTC. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, assert_never

from services.console.traffic_models import Period

SETTLES: Final = 1_800.0  # seconds after its end until what was counted of a period is all there
PERIODS: Final[tuple[Period, ...]] = ("daily", "weekly", "monthly")


def last_period(period: Period, now: float) -> tuple[float, float]:
    """Return begin and end, seconds since the epoch, of the last one that is over and settled."""
    today = datetime.fromtimestamp(now - SETTLES, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    match period:
        case "daily":
            end = today
            begin = end - timedelta(days=1)
        case "weekly":  # from Monday (ISO 8601)
            end = today - timedelta(days=today.weekday())
            begin = end - timedelta(days=7)
        case "monthly":
            end = today.replace(day=1)
            begin = (end - timedelta(days=1)).replace(day=1)
        case _:
            assert_never(period)
    return begin.timestamp(), end.timestamp()
