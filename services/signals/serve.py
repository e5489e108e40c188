"""Signals as a unit of a process: Faust inside a loop that is ours.

Faust's own Worker wants the whole process, its signals and its logging. Started like this it has neither; so its end is
watched here, and its stop has a deadline, because an app that is in trouble may never come to one. The deadline ends
the process, so signals has one of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import tempfile
import threading
from pathlib import Path

import faust

from schemas.catalog import CHANGELOGS, REJECTIONS, REQUESTS, SENDER_HOLDS, SIGNALS, TALLIES
from services.core.errors import BusUnavailable, StartError, TooManyDeadLetters
from services.core.holds import SenderHolds
from services.core.signals import Signals
from services.core.waiting import before
from services.runtime.config import load
from services.runtime.follow import follow_holds, follow_signals
from services.runtime.host import Context
from services.runtime.lag import Progress
from services.runtime.provision import require_topics
from services.runtime.stopping import end_within
from services.signals.app import Counting, Ports
from services.signals.config import APP, PREFIX, SignalsConfig
from services.signals.ledger import TOPICS as LEDGER
from services.signals.watch import watch

log = logging.getLogger("gatepost.signals")

START_WITHIN = 60.0  # seconds
STOP_WITHIN = 6.0  # seconds
EXIT_WITHIN = 10.0  # seconds until the process is gone; whoever supervises it waits longer


async def serve(ctx: Context, make: type[Counting] = Counting) -> None:
    """Count until `ctx.stop`; raise StartError when the app can't go on, so that the process is started again."""
    config = load(SignalsConfig, ctx.environ, PREFIX)
    try:
        await require_topics(
            ctx.bus.bootstrap, (REJECTIONS, REQUESTS, TALLIES, SIGNALS, SENDER_HOLDS, *LEDGER, *CHANGELOGS)
        )
    except BusUnavailable as error:
        raise StartError(f"signals: {error}") from error
    ctx.ready("signals")  # before Faust has joined: nobody waits for a count, and `gatepost up` is not to either
    signals, caught_up = Signals(), asyncio.Event()
    holds, known = SenderHolds(), asyncio.Event()
    following = (
        asyncio.create_task(follow_signals(ctx.bus, signals, caught_up), name="follow-signals"),
        asyncio.create_task(follow_holds(ctx.bus, holds, known), name="follow-holds"),
    )
    try:
        with tempfile.TemporaryDirectory(prefix="gatepost-signals-") as folder:
            ports = Ports(ctx.bus.bootstrap, ctx.bus, ctx.clock, signals, holds, asyncio.sleep, Path(folder))
            for event in (caught_up, known):  # without the holds, who was let go would be held again
                await _until(ctx.stop, event)
            if not ctx.stop.is_set():
                await _run(make(config, ports), ports, config.standstill, ctx.stop)
    finally:
        for task in following:
            task.cancel()
        await asyncio.gather(*following, return_exceptions=True)


async def _run(counting: Counting, ports: Ports, patience: float, stop: asyncio.Event) -> None:
    app, progress = counting.app, Progress(ports.bootstrap, APP)
    try:
        async with asyncio.timeout(START_WITHIN):
            if not await before(stop, app.start()):
                return
        log.info("event=counting")
        ended = asyncio.create_task(app.wait_until_stopped(), name="signals-ended")
        stopping = asyncio.create_task(stop.wait(), name="signals-stop")
        watching = asyncio.create_task(
            watch(counting, progress.read, ports.clock, ports.pause, patience), name="signals-watch"
        )
        giving_up = asyncio.create_task(counting.letters.given_up.wait(), name="signals-letters")
        tasks = (ended, stopping, watching, giving_up)
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if watching in done:
            watching.result()
        if counting.letters.why:
            raise TooManyDeadLetters(counting.letters.why)
        if not stop.is_set():
            reason = app.crash_reason
            raise StartError(f"signals: the app ended: {type(reason).__name__}: {reason}")
    except TimeoutError as error:
        raise StartError(f"signals: Faust did not start within {START_WITHIN:.0f} s") from error
    finally:
        await progress.close()
        await _end(app, 0 if stop.is_set() else 1)


async def _end(app: faust.App, code: int) -> None:
    """Stop the app; where it won't be stopped, see to it that the process ends all the same, with this exit code.

    Faust can block the loop, leave a thread behind that keeps the interpreter from ending, or catch each cancellation
    and go on: no deadline of asyncio helps there. Nothing is lost by it: what was not committed is counted again.
    """
    threading.excepthook = _thread_failed
    last = end_within(EXIT_WITHIN)
    stopping = asyncio.create_task(app.stop(), name="signals-end")
    await asyncio.wait({stopping}, timeout=STOP_WITHIN)
    last.cancel()
    if stopping.done():
        stopping.result()
        return
    log.warning("event=stop-cut-short after=%.0fs", STOP_WITHIN)
    for name in ("faust", "mode"):  # its agents call it a crash when they are cancelled now, with a page of text each
        logging.getLogger(name).setLevel(logging.CRITICAL)
    end_within(EXIT_WITHIN - STOP_WITHIN, lambda: os._exit(code))


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    log.warning("event=thread-failed while=stopping error=%s", failure.exc_type.__name__)


async def _until(stop: asyncio.Event, caught_up: asyncio.Event) -> None:
    """Wait for either."""
    tasks = [asyncio.create_task(event.wait()) for event in (stop, caught_up)]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*tasks)
