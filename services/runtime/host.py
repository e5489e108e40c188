"""Runs services in one process: what they share is made once, they stop together, and nothing fails unseen.

A unit is `async def serve(ctx: Context) -> None`: it runs until `ctx.stop` is set, and says `ctx.ready(name)` once it
serves.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Annotated, Any, Literal

import msgspec
import uvloop

from schemas.catalog import Topic
from services.core.clock import Clock, SystemClock
from services.core.directory import Directory
from services.core.errors import BusUnavailable, ConfigError, StartError
from services.core.waiting import before, happens
from services.runtime import cut, logs, metrics
from services.runtime.bus import Bus, Service
from services.runtime.config import load
from services.runtime.consume import Consumer, TiedTo
from services.runtime.follow import follow
from services.runtime.health import Health
from services.runtime.kafka import KafkaBus
from services.runtime.membership import Membership
from services.runtime.neighbours import watch
from services.runtime.open_store import open_store
from services.runtime.stopping import Stopping
from services.runtime.store import Store
from services.runtime.tracing import TRACING

log = logging.getLogger("gatepost.host")

BEAT = 1.0  # seconds
# Units that can't work without a store
STORED = frozenset({"ingress", "submission", "scanners", "delivery", "quarantine", "reaper"})
DIRECTORY_WITHIN = 60.0  # seconds; without the directory no service knows what to do


class RuntimeConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What every service needs, from GATEPOST_KAFKA, GATEPOST_STORE, …"""

    kafka: str = "127.0.0.1:9092"
    store: str = "gatepost-data/objects"
    log_level: str = "INFO"
    log_format: Literal["text", "json"] = "text"
    metrics_host: str = "127.0.0.1"
    metrics_port: Annotated[int, msgspec.Meta(ge=0, le=65535)] = 0  # /metrics, /healthz, /readyz there; 0: nowhere
    nice: Annotated[int, msgspec.Meta(ge=0, le=19)] = 0  # how far it stands back where cores are few (nice(2))
    linger_ms: Annotated[int, msgspec.Meta(ge=0, le=100)] = 0  # how long records wait for company to the broker
    drain_seconds: Annotated[float, msgspec.Meta(ge=0, le=300)] = 0.0  # unready for so long before a stop begins
    notify_fd: int = -1  # where `ready` goes, for whoever started this process


class Context:
    """What a unit is given."""

    def __init__(
        self,
        environ: Mapping[str, str],
        bus: KafkaBus,
        store: Store,
        ready: Callable[[str], None],
        health: Health | None = None,
    ) -> None:
        self.environ = environ
        self.bus = bus
        self.store = store
        self.ready = ready  # called with the unit's name once it serves
        self.directory = Directory()
        self.clock: Clock = SystemClock()
        self.stop = asyncio.Event()
        self.health = health or Health(self.clock.monotonic)

    async def directory_ready(self) -> None:
        """Return once the directory has been read; raise StartError when that takes too long."""
        try:
            async with asyncio.timeout(DIRECTORY_WITHIN):
                while not self.directory.ready() and not self.stop.is_set():  # noqa: ASYNC110 - it is pure, without events
                    await asyncio.sleep(0.02)
        except TimeoutError as error:
            raise StartError(f"the directory could not be read within {DIRECTORY_WITHIN:.0f} s") from error

    async def consume(  # noqa: PLR0913  # what a unit may say of how it reads
        self,
        name: str,
        group: str,
        topics: Iterable[Topic],
        service: Service,
        *,
        max_in_flight: int = 200,
        announce: bool = False,
        tied_to: TiedTo | None = None,
        gather: float = 0.0,
        bus: Bus | None = None,
        from_now: bool = False,
        membership: Membership | None = None,
    ) -> None:
        """Drive the service until `stop`; `name` is ready when its first partitions are.

        `bus`: where its results go, if not to the process's own. `from_now`: a new group begins with what comes next.
        `membership`: confirmed while the partitions are this member's.
        """
        consumer = Consumer(
            group,
            self.bus.source(group, topics, gather=gather, from_now=from_now, membership=membership),
            service,
            bus or self.bus,
            self.clock,
            max_in_flight=max_in_flight,
            announce=announce,
            tied_to=tied_to,
            health=self.health,
        )
        async with asyncio.TaskGroup() as tasks:
            running = tasks.create_task(consumer.run(self.stop), name=f"consume-{group}")
            waiting = tasks.create_task(consumer.assigned_once.wait())
            stopping = tasks.create_task(self.stop.wait())
            await asyncio.wait((waiting, stopping, running), return_when=asyncio.FIRST_COMPLETED)
            if waiting.done():
                self.ready(name)
            await asyncio.wait((stopping, running), return_when=asyncio.FIRST_COMPLETED)
            if running.done() and not self.stop.is_set() and (running.cancelled() or running.exception() is None):
                # Cancelled by nobody, it left its group without a word, and a task group asks no cancelled task.
                raise StartError(f"{name}: its consumer ended though nobody stopped it; it must be started again")
            waiting.cancel()


Unit = Callable[[Context], Coroutine[Any, Any, None]]


def main(units: Mapping[str, Unit], environ: Mapping[str, str] = os.environ) -> int:
    """Run the units until SIGTERM and return the exit code: 0 clean, 1 after a failure, 2 for a bad setting."""
    try:
        config = load(RuntimeConfig, environ)
        cut.apply(environ)
        logs.set_up(config.log_level, config.log_format)
        os.nice(config.nice)
        health = Health(SystemClock().monotonic)
        TRACING.start("gatepost-" + "-".join(units), environ)
        with metrics.served(config.metrics_host, config.metrics_port, health):
            return uvloop.run(_main(units, config, environ, health))
    except ConfigError as error:
        log.error("%s", error)
        return 2
    except StartError as error:
        log.error("%s", error)
        return 1
    finally:
        TRACING.stop()


async def _main(units: Mapping[str, Unit], config: RuntimeConfig, environ: Mapping[str, str], health: Health) -> int:
    bus = KafkaBus(config.kafka, "gatepost-" + "-".join(units)[:40], linger_ms=config.linger_ms)
    store = await open_store(config.store, environ)
    waiting = set(units)
    for name in units:
        health.waits(name, "starting")

    def ready(name: str) -> None:
        log.info("unit=%s event=ready", name)
        if name not in waiting:
            return  # a part of a unit, or a unit that was ready before: whoever waited has been told
        waiting.discard(name)
        health.ready(name)
        if waiting:
            return
        # What is loaded by now stays: left to the collector, each full collection would hold the loop for 50 ms.
        gc.collect()
        gc.freeze()
        if config.notify_fd >= 0:
            os.write(config.notify_fd, b"ready\n")
            os.close(config.notify_fd)

    ctx = Context(environ, bus, store, ready, health)
    loop = asyncio.get_running_loop()
    stopping = Stopping(ctx.stop, health, bus.hurry, config.drain_seconds)
    loop.add_signal_handler(signal.SIGTERM, stopping.told)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # ignored: whoever started us says when it is our turn
        loop.add_signal_handler(signal.SIGINT, stopping.told)
    helpers = [
        asyncio.create_task(follow(bus, ctx.directory), name="directory"),
        asyncio.create_task(_beat(ctx), name="beat"),
        asyncio.create_task(watch(bus, store if STORED & set(units) else None, health), name="neighbours"),
    ]
    try:
        return await _serve(units, ctx, helpers)
    finally:
        for helper in helpers:
            helper.cancel()
        await asyncio.gather(*helpers, return_exceptions=True)
        await bus.close()
        await store.close()


async def _serve(units: Mapping[str, Unit], ctx: Context, helpers: list[asyncio.Task[None]]) -> int:
    await _await_bus(ctx)
    if ctx.stop.is_set():
        return 0
    tasks = {asyncio.create_task(unit(ctx), name=name): name for name, unit in units.items()}
    stopping = asyncio.create_task(ctx.stop.wait(), name="stop")
    await asyncio.wait([*tasks, stopping, *helpers], return_when=asyncio.FIRST_COMPLETED)
    ctx.stop.set()
    ctx.bus.hurry()
    stopping.cancel()
    failed = False
    for task, outcome in zip(tasks, await asyncio.gather(*tasks, return_exceptions=True), strict=True):
        if isinstance(outcome, BaseException):
            if (told := _told(outcome)) is not None:
                raise told
            failed = True
            log.error("unit=%s event=failed", tasks[task], exc_info=outcome)
    for helper in helpers:
        if helper.done() and not helper.cancelled() and (error := helper.exception()) is not None:
            if (told := _told(error)) is not None:
                raise told
            failed = True
            log.error("unit=%s event=failed", helper.get_name(), exc_info=error)
    return 1 if failed else 0


def _told(error: BaseException) -> StartError | ConfigError | None:
    """Return the failure that has a line for the operator, also out of a task group; None for a defect."""
    if isinstance(error, BaseExceptionGroup):
        return next((told for inner in error.exceptions if (told := _told(inner)) is not None), None)
    return error if isinstance(error, StartError | ConfigError) else None


async def _await_bus(ctx: Context) -> None:
    """Wait for the broker as long as it takes: on a cluster the order of starting is nobody's."""
    while not ctx.stop.is_set():
        try:
            await before(ctx.stop, ctx.bus.start())
        except BusUnavailable as error:
            ctx.health.waits("broker", f"waiting for the broker: {error}")
            log.warning("event=waiting-for-broker error=%s", error)
            await happens(ctx.stop, 1.0)
        else:
            ctx.health.ready("broker")
            return


async def _beat(ctx: Context) -> None:
    """Say now and then that the loop turns."""
    while True:
        ctx.health.beat()
        await asyncio.sleep(BEAT)
