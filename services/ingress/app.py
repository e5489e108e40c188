"""Wiring of the ingress: SMTP in, object and event out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from services.core.clock import Clock
from services.core.directory import DirectoryView
from services.core.signals import Signals
from services.ingress.config import IngressConfig
from services.ingress.server import Ingress
from services.runtime.bus import Bus
from services.runtime.dns import Dns
from services.runtime.store import Store


async def run(  # noqa: PLR0913  # the parts of a service, each a port of its own
    config: IngressConfig,
    *,
    store: Store,
    bus: Bus,
    directory: DirectoryView,
    dns: Dns,
    signals: Signals,
    clock: Clock,
    entropy: Callable[[int], bytes],
    stop: asyncio.Event,
    ready: Callable[[], None],
) -> None:
    """Serve until `stop` is set, then end what is under way. `ready` is called once mail can come in.

    Raises StartError or ConfigError, each with one line for the operator, before that.
    """
    ingress = Ingress(
        config,
        store=store,
        bus=bus,
        directory=directory,
        dns=dns,
        signals=signals,
        clock=clock,
        entropy=entropy,
    )
    try:
        await ingress.start()
        ready()
        await ingress.serve(stop)
    finally:
        await ingress.close()
