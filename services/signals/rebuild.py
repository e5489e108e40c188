"""Throws away what signals keeps. Nothing of it is needed: the next start counts it again from the topics."""

from __future__ import annotations

from typing import Final

from schemas.catalog import (
    CHANGELOGS,
    DEFERRED,
    DISPOSITIONS,
    OUTCOMES,
    PENDING,
    RECEIVED,
    REJECTIONS,
    TALLIES,
)
from services.runtime import groups
from services.signals.config import APP

SOURCES: Final = (REJECTIONS, RECEIVED, PENDING, DISPOSITIONS, DEFERRED, OUTCOMES)


async def rebuild(bootstrap: str) -> int:
    """Return how many events the next start counts again; raise StartError while signals runs, and BusUnavailable.

    Tallies are made again from these events, so those that lie in their topic must not be counted as well.
    """
    ahead = await groups.place(bootstrap, APP, SOURCES, ends=(TALLIES,))
    await groups.clear(bootstrap, CHANGELOGS)
    return ahead
