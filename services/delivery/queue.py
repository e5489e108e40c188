"""Messages on their way: who is tried now, who waits, and what wakes whom.

A branch of a disposition has one key. Its first attempt runs on behalf of the consume loop. Whatever doesn't end there
is an entry of the table mail.deferred.v1, and from then on the queue's own: tried when it is due, or at once when its
destination answers again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from schemas.catalog import key_of
from schemas.events import Customer, Deferred, Host, Outcome
from services.core import backoff
from services.core.clock import Clock
from services.core.errors import BusUnavailable, GatepostError, Temporary
from services.delivery.attempt import Attempted, Attempts
from services.delivery.config import DeliveryConfig
from services.delivery.decide import SOON, Concluded, Kind, Result, expired, expires_at, hosts_of, put_off
from services.delivery.destination import Destination, Probing
from services.delivery.pool import Pool
from services.delivery.schedule import Schedule
from services.delivery.seen import Seen
from services.delivery.tell import tell
from services.runtime.bus import Bus
from services.runtime.table import Table

log = logging.getLogger("gatepost.delivery")

DUE_MOST: Final = 500  # messages looked at in one go; the rest comes in the next round, so that nothing else waits long
IDLE: Final = 5.0  # seconds between rounds when nothing is due
CANCEL_AGAIN: Final = 0.5  # seconds
PUBLISH_AGAIN: Final = 1.0  # seconds before outcomes are offered to the broker again


class UnderWay(Temporary):
    """The branch is being worked on; a moment later it can be changed."""


class Job:
    """One attempt under way. `attached`: the consume loop waits for it and publishes what follows."""

    def __init__(self, key: str, entry: Deferred, destination: Destination, *, attached: bool) -> None:
        self.key = key
        self.entry = entry
        self.destination = destination
        self.attached = attached
        self.task: asyncio.Task[Concluded]


class Queue:
    """Every message that delivery knows of."""

    def __init__(
        self,
        config: DeliveryConfig,
        *,
        bus: Bus,
        table: Table[Deferred],
        attempts: Attempts,
        pool: Pool,
        customer: Callable[[str], Customer | None],
        clock: Clock,
        chance: Callable[[], float],
    ) -> None:
        self.seen = Seen()
        self._config = config
        self._bus = bus
        self._table = table
        self._attempts = attempts
        self._pool = pool
        self._customer = customer
        self._clock = clock
        self._chance = chance
        self._probing = Probing(config.probe_first_seconds, config.probe_most_seconds)
        self._schedule = Schedule()
        self._destinations: dict[str, Destination] = {}
        self._homes: dict[str, Destination] = {}  # of every key that waits
        self._jobs: dict[str, Job] = {}
        self._wake = asyncio.Event()
        self._closed: frozenset[int] = frozenset()  # partitions in which nothing may begin any more

    # --- first attempts

    async def first(self, entry: Deferred) -> tuple[Outcome, ...]:
        """Try a branch that the consume loop brings, and return the outcomes it has to publish.

        What doesn't end within the patience of the loop is put into the table before this returns.
        """
        key = key_of(entry)
        now = self._clock.now()
        destination = self._destination(entry)
        if not destination.health.admits(now):
            return self._put_off(key, put_off(entry, "the destination is down", self._next_try(entry, now)))
        if destination.fresh >= destination.gate.limit + self._config.relay_crowd:
            return self._put_off(key, put_off(entry, "waits for a connection", now + self._soon()))
        job = self._launch(key, entry, destination, attached=True)
        destination.fresh += 1
        try:
            await asyncio.wait({job.task}, timeout=self._config.relay_patience_seconds)
        except asyncio.CancelledError:
            await end(job.task)
            raise
        finally:
            destination.fresh -= 1
        if not job.task.done():
            job.attached = False
            destination.running += 1
            self._keep(key, msgspec.structs.replace(entry, next_at=now, reply="the first attempt is under way"))
            return ()
        concluded = job.task.result()
        self._wait(key, concluded.waiting)
        return concluded.outcomes

    def _put_off(self, key: str, concluded: Concluded) -> tuple[Outcome, ...]:
        if concluded.waiting is not None:
            tell(concluded.waiting, concluded, self._clock.now())
        self._wait(key, concluded.waiting)
        return ()

    def extend(self, key: str, recipients: tuple[str, ...]) -> None:
        """Let further recipients wait under a key that waits already; raise UnderWay while they can't join."""
        entry = self._table.get(key)
        if entry is None or key in self._jobs:
            raise UnderWay("an attempt at other recipients of the branch is under way")
        now = self._clock.now()
        self._wait(key, msgspec.structs.replace(entry, recipients=entry.recipients + recipients, next_at=now))

    # --- what waits

    def adopt(self, entries: Iterable[tuple[str, Deferred]]) -> None:
        """Take over what the table has, oldest first, and see at once whether the destinations are up."""
        now = self._clock.now()
        self._closed = frozenset()
        for key, entry in sorted(entries, key=lambda item: item[1].since):
            rest = tuple(r for r in entry.recipients if (entry.disposition.received.id, r) not in self.seen)
            if rest:
                self._wait(key, entry if rest == entry.recipients else msgspec.structs.replace(entry, recipients=rest))
                self._homes[key].health.suspect(now)
            else:
                self._table.delete(key)

    async def abandon(self, partitions: frozenset[int]) -> None:
        """Let go of the partitions' messages: attempts under way get a little time to end."""
        self._closed = partitions
        await self._finish([job for key, job in self._jobs.items() if self._table.partition_of(key) in partitions])
        for key in [key for key in self._homes if self._table.partition_of(key) in partitions]:
            self._leave(key)

    async def run(self) -> None:
        """Try what is due, for ever."""
        while True:
            self._wake.clear()
            next_at = self.tick()
            wait = IDLE if next_at is None else min(IDLE, max(0.005, next_at - self._clock.now()))
            # Not asyncio.wait_for: before Python 3.12 it loses a cancellation that comes as the wait ends.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()

    def tick(self) -> float | None:
        """Begin what is due, and return when to look again, seconds since the epoch (None: no hurry)."""
        now = self._clock.now()
        for key in self._schedule.pop_due(now, DUE_MOST):
            self._due(key, now)
        for name, destination in list(self._destinations.items()):
            if destination.unused:
                del self._destinations[name]
            else:
                self._pump(destination, now)
        self._pool.sweep()
        times = [self._schedule.next_at()]
        times += [d.health.next_probe() for d in self._destinations.values() if d.waiting]
        return min((at for at in times if at is not None), default=None)

    async def close(self) -> None:
        """Let attempts under way end, within limits."""
        await self._finish(list(self._jobs.values()))

    def _due(self, key: str, now: float) -> None:
        entry = self._table.get(key)
        if entry is None or self._table.partition_of(key) in self._closed:
            return
        destination = self._homes[key]
        self._schedule.set(key, self._next_try(entry, now))  # holds if nothing comes of it: no key is without a time
        if not destination.health.down:
            destination.let(key)
        elif now >= expires_at(entry, self._customer(entry.disposition.received.customer)):
            self._launch(key, entry, destination, attached=False)

    def _pump(self, destination: Destination, now: float) -> None:
        """Begin attempts at what is ready, as many as may run."""
        if destination.health.down:
            key = destination.next_probe() if destination.health.admits(now) else None
            if key is not None and not self._begin(key, destination):
                destination.health.probe_at = now + self._config.probe_first_seconds
            return
        while destination.running < destination.gate.limit and (key := destination.next_ready()) is not None:
            self._begin(key, destination)

    def _begin(self, key: str, destination: Destination) -> bool:
        """Return whether an attempt began; not when one is under way, or the partition is being let go.

        It goes to the hosts that the customer has now, also where the message waits for those of yesterday.
        """
        entry = self._table.get(key)
        if entry is None or key in self._jobs or self._table.partition_of(key) in self._closed:
            return False
        self._launch(key, entry, destination, attached=False)
        return True

    # --- one attempt

    def _launch(self, key: str, entry: Deferred, destination: Destination, *, attached: bool) -> Job:
        job = Job(key, entry, destination, attached=attached)
        self._jobs[key] = job
        if not attached:
            destination.running += 1
        self._schedule.cancel(key)
        job.task = asyncio.create_task(self._work(job), name=f"deliver-{key}")
        job.task.add_done_callback(lambda task: self._ended(job, task))
        return job

    async def _work(self, job: Job) -> Concluded:
        try:
            concluded = await self._try(job)
        except GatepostError as error:
            if job.attached:
                raise
            log.error("key=%s event=attempt-failed error=%s: %s", job.key, type(error).__name__, error)
            concluded = put_off(job.entry, job.entry.reply, self._next_try(job.entry, self._clock.now()))
        tell(job.entry, concluded, self._clock.now())
        if not job.attached:
            await self._publish(job.entry, concluded.outcomes)
            self._wait(job.key, concluded.waiting)
        return concluded

    async def _try(self, job: Job) -> Concluded:
        destination, entry = job.destination, job.entry
        await destination.gate.enter()
        try:
            now = self._clock.now()
            customer, hosts = self._route(entry)
            if not destination.health.admits(now):
                if now >= expires_at(entry, customer):
                    return expired(entry, now)
                return put_off(entry, entry.reply or "the destination is down", self._next_try(entry, now))
            destination.health.begin(job)
            return self._learn(job, await self._attempts.make(entry, customer, hosts), hosts)
        finally:
            destination.health.abandon(job)
            destination.gate.leave()

    def _learn(self, job: Job, attempted: Attempted, hosts: tuple[Host, ...]) -> Concluded:
        """Note what the attempt says of the destination, and return what follows for the message."""
        relayed, concluded = attempted.relayed, attempted.concluded
        destination = job.destination
        if relayed is None:
            return concluded
        if relayed.reached and not relayed.closing:
            kinds = {result.reply.kind for result in relayed.results.values()}
            delivered = Kind.DELIVERED in kinds
            if delivered:
                destination.gate.succeed()
            if destination.health.answered(delivered=delivered, put_off=Kind.TEMPORARY in kinds):
                log.info("destination=%s event=answers-again waiting=%d", destination.name, len(destination.waiting))
                destination.flush()
                self._wake.set()
            return concluded
        now = self._clock.now()
        others = self._pool.in_use(job.entry.disposition.received.customer, hosts)
        if others and not destination.health.down:
            destination.gate.lower(others)  # others get through: it is up, and has enough of us
            if not relayed.reached and concluded.waiting is not None:
                return put_off(job.entry, concluded.waiting.reply, now + self._soon())
            return concluded
        if not destination.health.down:
            log.warning("destination=%s event=down reply=%s", destination.name, _reply(relayed.results.values()))
        destination.health.unreachable(job, now, self._chance())
        self._wake.set()
        return concluded

    def _ended(self, job: Job, task: asyncio.Task[Concluded]) -> None:
        if self._jobs.get(job.key) is job:
            del self._jobs[job.key]
        error = None if task.cancelled() else task.exception()
        if job.attached:
            return  # `first` hears of it
        job.destination.running -= 1
        if error is not None:
            log.error("key=%s event=defect", job.key, exc_info=error)
            if job.key in self._homes:
                self._schedule.set(job.key, self._next_try(job.entry, self._clock.now()))
        if not task.cancelled():
            self._pump(job.destination, self._clock.now())

    async def _publish(self, entry: Deferred, outcomes: tuple[Outcome, ...]) -> None:
        """Return when the outcomes are acknowledged; until then the entry stays, and the message is not tried again."""
        while outcomes:
            try:
                await self._bus.publish(outcomes)
                break
            except BusUnavailable as error:
                log.warning("id=%s event=outcome-waits error=%s", entry.disposition.received.id, error)
                await asyncio.sleep(PUBLISH_AGAIN)
        self.seen.add(entry.disposition.received.id, (r for outcome in outcomes for r in outcome.recipients))

    # --- bookkeeping

    def _route(self, entry: Deferred) -> tuple[Customer | None, tuple[Host, ...]]:
        received = entry.disposition.received
        customer = self._customer(received.customer)
        redirect = entry.disposition.branches[entry.branch].redirect_to
        return customer, hosts_of(customer, received.domain, redirect)

    def _destination(self, entry: Deferred) -> Destination:
        _, hosts = self._route(entry)
        where = ",".join(f"{host.host}:{host.port}" for host in hosts)
        name = f"{entry.disposition.received.customer}/{where}"
        destination = self._destinations.get(name)
        if destination is None:
            destination = Destination(name, self._config.relay_connections, self._probing)
            self._destinations[name] = destination
        return destination

    def _wait(self, key: str, entry: Deferred | None) -> None:
        """Let the entry wait for its time, or forget the key when there is none."""
        if entry is None:
            self._table.delete(key)
            self._leave(key)
            return
        self._keep(key, entry)
        self._schedule.set(key, entry.next_at)
        self._wake.set()

    def _keep(self, key: str, entry: Deferred) -> None:
        self._table.put(entry)
        home = self._destination(entry)
        old = self._homes.get(key)
        if old is not None and old is not home:
            old.waiting.pop(key, None)
        self._homes[key] = home
        home.waiting.setdefault(key)

    def _leave(self, key: str) -> None:
        self._schedule.cancel(key)
        home = self._homes.pop(key, None)
        if home is not None:
            home.waiting.pop(key, None)

    def _next_try(self, entry: Deferred, now: float) -> float:
        wait = backoff.delay(
            entry.attempts,
            self._chance(),
            first=self._config.retry_first_seconds,
            most=self._config.retry_most_seconds,
        )
        expires = expires_at(entry, self._customer(entry.disposition.received.customer))
        return min(now + wait, max(expires, now + SOON))

    def _soon(self) -> float:
        return SOON * (0.5 + self._chance())

    async def _finish(self, jobs: list[Job]) -> None:
        tasks = [job.task for job in jobs]
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=self._config.relay_drain_seconds)
        for task in late:
            await end(task)
        if late:
            log.warning("event=attempts-cut-short count=%d", len(late))


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel the task until it ends: aiosmtplib can lose a cancellation that comes together with a reply."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=CANCEL_AGAIN)


def _reply(results: Iterable[Result]) -> str:
    first = next(iter(results), None)
    return "" if first is None else first.reply.line
