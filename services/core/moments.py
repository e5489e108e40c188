"""Points in time as a person writes them on a command line."""

from __future__ import annotations

import datetime as dt
import re
from typing import Final

from services.core.errors import ConfigError

_AGO: Final = re.compile(r"([0-9]{1,6}) ?([smhd])")
_SECONDS: Final = {"s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def moment(text: str, now: float) -> float:
    """Return seconds since the epoch for `now`, for how long ago (90s, 15m, 2h, 3d), or for a date and time (ISO 8601).

    A time without a zone is UTC, as everywhere in Gatepost. Raises ConfigError for what is none of these.
    """
    said = text.strip()
    if said == "now":
        return now
    if ago := _AGO.fullmatch(said):
        return now - int(ago[1]) * _SECONDS[ago[2]]
    try:
        when = dt.datetime.fromisoformat(said)
    except ValueError:
        raise ConfigError(f"{said[:40]!r} is no time; write 2h, 3d, or 2026-11-23T18:41 (UTC)") from None
    return (when if when.tzinfo else when.replace(tzinfo=dt.UTC)).timestamp()
