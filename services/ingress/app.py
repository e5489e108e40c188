"""Wiring of the ingress: SMTP in, object and event out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from services.ingress.server import Ingress


async def run(ingress: Ingress, *, stop: asyncio.Event, ready: Callable[[], None]) -> None:
    """Serve until `stop` is set, then end what is under way. `ready` is called once mail can come in.

    Raises StartError or ConfigError, each with one line for the operator, before that.
    """
    try:
        await ingress.start()
        ready()
        await ingress.serve(stop)
    finally:
        await ingress.close()
