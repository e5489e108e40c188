"""Messages on their way: who is tried now, who waits, and what wakes whom.

A branch of a disposition has one key. Its first attempt runs on behalf of the consume loop. Whatever doesn't end there
lies on the shelf (mail.deferred.v1), and from then on is the queue's own: tried when it is due, or at once when its
destination answers again. A key of a destination that is down or held has no time of its own: it waits for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, Final

import msgspec

from schemas.catalog import DEFERRED, key_of
from schemas.events import Customer, Deferred, Host, Outcome, QueueCommand, State
from services.core import backoff
from services.core.clock import Clock
from services.core.errors import BusUnavailable, GatepostError, Temporary
from services.delivery.attempt import Attempted, Attempts
from services.delivery.config import DeliveryConfig
from services.delivery.decide import DAY, QUEUE_DAYS, SOON, Concluded, Kind, Result, expires_at, put_off
from services.delivery.destination import Destination
from services.delivery.destinations import Destinations
from services.delivery.orders import Orders
from services.delivery.pool import Pool
from services.delivery.schedule import Schedule
from services.delivery.seen import Seen
from services.delivery.shelf import Brief, Shelf
from services.delivery.tell import tell
from services.runtime.bus import Bus

log = logging.getLogger("gatepost.delivery")

DUE_MOST: Final = 100  # messages looked at in one go; the rest comes in the next round, so that nothing else waits long
ENDING_MOST: Final = 200  # messages that are being ended without an attempt at a time: each may write to the sender
BRANCHES_MOST: Final = 10_000  # of one message
IDLE: Final = 5.0  # seconds between rounds when nothing is due
CANCEL_AGAIN: Final = 0.5  # seconds
PUBLISH_AGAIN: Final = 1.0  # seconds before outcomes are offered to the broker again
ENCRYPT_WARNING_HOURS: Final = 1.0  # of what has to be encrypted: its sender has to know, where nobody chose otherwise
DOWN: Final = "the destination is down"


class UnderWay(Temporary):
    """The branch is being worked on; a moment later it can be changed."""


class Job:
    """One attempt under way. `attached`: the consume loop waits for it and publishes what follows.

    `verdict` set: no attempt is made, the message ends in this way.
    """

    def __init__(self, key: str, entry: Deferred, destination: Destination, *, attached: bool) -> None:
        self.key = key
        self.entry = entry
        self.destination = destination
        self.attached = attached
        self.verdict: tuple[State, str] | None = None
        self.talking = False
        self.task: asyncio.Task[Concluded]


class Queue:
    """Every message that delivery knows of."""

    def __init__(  # noqa: PLR0913  # its ports
        self,
        config: DeliveryConfig,
        *,
        bus: Bus,
        shelf: Shelf,
        attempts: Attempts,
        pool: Pool,
        customer: Callable[[str], Customer | None],
        clock: Clock,
        chance: Callable[[], float],
        ours: Callable[[], Awaitable[None]],
    ) -> None:
        self.seen = Seen()
        self.destinations = Destinations(config, customer)
        self.orders = Orders()
        self._config = config
        self._bus = bus
        self._shelf = shelf
        self._attempts = attempts
        self._pool = pool
        self._customer = customer
        self._clock = clock
        self._chance = chance
        self._ours = ours
        self._schedule = Schedule()
        self._jobs: dict[str, Job] = {}
        self._failing: deque[tuple[Iterator[str], str]] = deque()  # keys that a person ended, with the reason
        self._ending = 0  # jobs with a verdict
        self._wake = asyncio.Event()
        self._placing = False  # what waits is being loaded: its destinations look unused until it stands in line
        self._closed: frozenset[int] = frozenset()  # partitions in which nothing may begin any more

    # --- first attempts

    async def first(self, entry: Deferred) -> Concluded:
        """Try a branch that the consume loop brings, and return what it has to publish.

        What doesn't end within the patience of the loop is put on the shelf before this returns.
        """
        key = key_of(entry)
        now = self._clock.now()
        destination = self._destination(entry)
        if (held := self._held(entry.disposition.received.id, destination)) is not None:
            return self._put_off(
                key, put_off(entry, f"held by {held.by}: {held.why}"[:400], self._next_try(entry, now))
            )
        if not destination.health.admits(now):
            return self._put_off(key, put_off(entry, DOWN, self._next_try(entry, now)))
        if destination.crowded or destination.fresh >= destination.gate.limit + self._config.relay_crowd:
            concluded = self._put_off(key, put_off(entry, "waits for a connection", now))
            self._schedule.cancel(key)
            destination.let(key)
            self._pump(destination, now)
            return concluded
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
            self._keep(key, _under_way(entry, now))
            return Concluded((), None)
        concluded = job.task.result()
        self._wait(key, concluded.waiting)
        return concluded

    def _put_off(self, key: str, concluded: Concluded) -> Concluded:
        if concluded.waiting is not None:
            tell(concluded.waiting, concluded, self._clock.now())
        self._wait(key, concluded.waiting)
        return Concluded((), None)

    def extend(self, key: str, recipients: tuple[str, ...], *, duplicate: bool) -> None:
        """Let further recipients wait under a key that waits already; raise UnderWay while they can't join."""
        entry = self._shelf.get(key)
        if entry is None or key in self._jobs:
            raise UnderWay("an attempt at other recipients of the branch is under way")
        now = self._clock.now()
        more = msgspec.structs.replace(
            entry,
            recipients=entry.recipients + recipients,
            next_at=now,
            possible_duplicate=entry.possible_duplicate or duplicate,
        )
        self._wait(key, more)

    # --- what waits

    def place(self, entry: Deferred | Brief) -> int:
        """Return the number of the destination that the entry waits for; it is kept until `adopt` has ended."""
        self._placing = True
        return self.destinations.of(entry).number

    async def adopt(self, partitions: frozenset[int], cut: list[str]) -> None:
        """Take over what the shelf has, oldest first, and see at once whether the destinations are up.

        `cut` names the attempts that somebody began, and never said how they ended.
        """
        now = self._clock.now()
        self._closed = frozenset()
        for key in cut:
            entry = self._shelf.get(key)
            if entry is not None:
                entry = msgspec.structs.replace(entry, under_way=False, possible_duplicate=True)
                self._shelf.put(entry, self._shelf.home(key) or 0)
        for count, key in enumerate(await self._shelf.keys(partitions)):
            if count % DUE_MOST == 0:
                await asyncio.sleep(0)
            message = key.partition("/")[0]
            if self.seen.knows(message) and not self._rest(key, message):
                continue
            number = self._shelf.home(key)
            if number is None:
                continue  # ended meanwhile, as somebody ordered
            home = self.destinations.numbered(number)
            home.waiting.add(key)
            home.health.suspect(now)
            self._obey_late(key, message, home)
        self._placing = False
        self._wake.set()

    def _rest(self, key: str, message: str) -> bool:
        """Take out who has an outcome already; return whether anybody still waits."""
        entry = self._shelf.get(key)
        if entry is None:
            return False
        rest = tuple(r for r in entry.recipients if (message, r) not in self.seen)
        if not rest:
            self._shelf.delete(key)
        elif rest != entry.recipients:
            self._shelf.put(msgspec.structs.replace(entry, recipients=rest), self._shelf.home(key) or 0)
        return bool(rest)

    async def abandon(self, partitions: frozenset[int]) -> None:
        """Let go of the partitions' messages: attempts under way get a little time to end."""
        self._closed = partitions
        self._placing = False
        await self._finish([job for key, job in self._jobs.items() if self._shelf.partition_of(key) in partitions])
        for destination in list(self.destinations):
            for count, key in enumerate(destination.waiting):
                if count % DUE_MOST == 0:
                    await asyncio.sleep(0)
                if self._shelf.partition_of(key) in partitions:
                    self._schedule.cancel(key)
                    destination.waiting.discard(key)

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
        self._fail()
        for destination in list(self.destinations):
            if destination.unused and not self._placing:
                self.destinations.forget(destination)
            else:
                self._pump(destination, now)
        self._pool.sweep()
        times = [self._schedule.next_at(), now if self._failing else None]
        times += [d.health.next_probe() for d in self.destinations if d.waiting and d.held is None]
        return min((at for at in times if at is not None), default=None)

    async def close(self) -> None:
        """Let attempts under way end, within limits; none begins any more."""
        self._closed = frozenset(range(DEFERRED.partitions))
        await self._finish(list(self._jobs.values()))

    def _fail(self) -> None:
        """End some of what a person ended. What is being tried comes once the attempt has ended, if it waits then."""
        busy: list[tuple[Iterator[str], str]] = []
        for _ in range(DUE_MOST):
            if not self._failing or self._ending >= ENDING_MOST:
                break
            keys, reason = self._failing[0]
            key = next(keys, None)
            if key is None:
                self._failing.popleft()
            elif key in self._jobs:
                busy.append((iter((key,)), reason))
            else:
                self._end(key, State.BOUNCED, reason)
        self._failing += busy

    def _due(self, key: str, now: float) -> None:
        entry = self._shelf.get(key)
        if entry is None or self._shelf.partition_of(key) in self._closed or key in self._jobs:
            return
        destination = self._home(key)
        if now >= expires_at(entry, self._customer(destination.customer)) and destination.closed:
            self._end(key, State.EXPIRED, "")
        elif self._warns(entry, now):
            self._launch(key, entry, destination, attached=False)  # with what the attempt says, or none may be made
        elif self.orders.held_message(entry.disposition.received.id) is not None:
            self._schedule.set(key, expires_at(entry, self._customer(destination.customer)))
        elif not destination.closed:
            self._schedule.set(key, self._next_try(entry, now))  # if nothing comes of it: no key is without a time
            destination.let(key)

    def _pump(self, destination: Destination, now: float) -> None:
        """Begin attempts at what is ready, as many as may run."""
        if destination.closed:
            self._expire(destination, now)
        if destination.held is not None:
            return
        if destination.health.down:
            key = destination.next_probe() if destination.health.admits(now) else None
            if key is not None and not self._begin(key, destination):
                destination.health.probe_at = now + SOON
            return
        while destination.running < destination.gate.limit and (key := destination.next_ready()) is not None:
            self._begin(key, destination)

    def _expire(self, destination: Destination, now: float) -> None:
        """End what has waited for as long as promised: nothing is tried, so nothing else would see to it."""
        key = destination.oldest
        customer = self._customer(destination.customer)
        limit = now - (customer.queue_days if customer else QUEUE_DAYS) * DAY
        if key is None or self._shelf.since(key) > limit:
            return
        for old in itertools.islice(destination.waiting, DUE_MOST + ENDING_MOST):
            if self._ending >= ENDING_MOST or self._shelf.since(old) > limit:
                break
            self._end(old, State.EXPIRED, "")

    def _end(self, key: str, state: State, reason: str) -> None:
        if key in self._jobs:
            return
        entry = self._shelf.get(key)
        if entry is None or self._shelf.partition_of(key) in self._closed:
            return
        self._launch(key, entry, self._home(key), attached=False, verdict=(state, reason))

    def _begin(self, key: str, destination: Destination) -> bool:
        """Return whether an attempt began; not when one is under way, or the partition is being let go.

        It goes to the hosts that the customer has now, also where the message waits for those of yesterday.
        """
        entry = self._shelf.get(key)
        if entry is None or key in self._jobs or self._shelf.partition_of(key) in self._closed:
            return False
        if self.orders.held_message(entry.disposition.received.id) is not None:
            self._schedule.set(key, expires_at(entry, self._customer(destination.customer)))
            return False
        self._launch(key, entry, destination, attached=False)
        return True

    # --- one attempt

    def _launch(
        self,
        key: str,
        entry: Deferred,
        destination: Destination,
        *,
        attached: bool,
        verdict: tuple[State, str] | None = None,
    ) -> Job:
        job = Job(key, entry, destination, attached=attached)
        job.verdict = verdict
        self._ending += verdict is not None
        self._jobs[key] = job
        if not attached:
            destination.running += 1
        self._schedule.cancel(key)
        job.task = asyncio.create_task(self._work(job), name=f"deliver-{key}")
        job.task.add_done_callback(lambda task: self._ended(job, task))
        return job

    async def _work(self, job: Job) -> Concluded:
        try:
            if job.verdict is not None:
                concluded = await self._attempts.end(job.entry, *job.verdict)
            else:
                concluded = await self._try(job)
        except GatepostError as error:
            if job.attached:
                raise
            log.error("key=%s event=attempt-failed error=%s: %s", job.key, type(error).__name__, error)
            concluded = put_off(job.entry, job.entry.reply, self._next_try(job.entry, self._clock.now()))
        if concluded.waiting is not None and self._warns(concluded.waiting, self._clock.now()):
            concluded = await self._attempts.warn(concluded)
        tell(job.entry, concluded, self._clock.now())
        if not job.attached:
            await self._publish(job.entry, concluded)
            self._wait(job.key, concluded.waiting)
        return concluded

    async def _try(self, job: Job) -> Concluded:
        destination, entry = job.destination, job.entry
        await destination.gate.enter()
        try:
            now = self._clock.now()
            customer, hosts = self.destinations.route(entry)
            if not destination.health.admits(now) or destination.held is not None:
                if now >= expires_at(entry, customer):
                    return await self._attempts.end(entry, State.EXPIRED, "")
                return put_off(entry, entry.reply or DOWN, self._next_try(entry, now))
            destination.health.begin(job)
            purse = self.destinations.purse(destination)
            attempted = await self._attempts.make(entry, customer, hosts, purse, lambda: self._before(job))
            return self._learn(job, attempted, hosts)
        finally:
            destination.health.abandon(job)
            destination.talking -= job.talking
            job.talking = False
            destination.gate.leave()

    async def _before(self, job: Job) -> None:
        """Return when an attempt may have an effect: written down, unless the consume loop answers for it, and ours."""
        if not job.talking:
            job.talking = True
            job.destination.talking += 1
        if not job.attached and job.key in self._shelf:
            self._shelf.put(_under_way(job.entry, job.entry.next_at), job.destination.number)
            await self._shelf.flush([job.key])
        # After it: whoever has taken over since then has read the mark. Before, both would send, and neither know. What
        # the consume loop answers for needs it too: who took over knows how far it went, and not what it reads later.
        await self._ours()

    def _learn(self, job: Job, attempted: Attempted, hosts: tuple[Host, ...]) -> Concluded:
        """Note what the attempt says of the destination, and return what follows for the message."""
        relayed, concluded = attempted.relayed, attempted.concluded
        destination = job.destination
        if relayed is None:
            return concluded
        now = self._clock.now()
        destination.reply, destination.replied_at = _reply(relayed.results.values()), now
        if relayed.reached and not relayed.closing:
            kinds = {result.reply.kind for result in relayed.results.values()}
            delivered = Kind.DELIVERED in kinds
            if delivered:
                destination.gate.succeed()
            elif any(not result.reply.code for result in relayed.results.values()):
                destination.gate.lower(destination.gate.limit // 2)  # it let us wait, or hung up
            was_down = destination.health.down
            if destination.health.answered(delivered=delivered, put_off=Kind.TEMPORARY in kinds):
                log.info("destination=%s event=answers-again waiting=%d", destination.name, len(destination.waiting))
                if was_down:
                    destination.gate.afresh()
                destination.flush()
                self._wake.set()
            return concluded
        others = destination.talking - job.talking
        if others and not destination.health.down:
            destination.gate.lower(others)  # others get through: it is up, and has enough of us
            if not relayed.reached and concluded.waiting is not None:
                return put_off(job.entry, concluded.waiting.reply, now + self._soon())
            return concluded
        if not destination.health.down:
            log.warning("destination=%s event=down reply=%s hosts=%d", destination.name, destination.reply, len(hosts))
        destination.health.unreachable(job, now, self._chance())
        self._wake.set()
        return concluded

    def _ended(self, job: Job, task: asyncio.Task[Concluded]) -> None:
        if self._jobs.get(job.key) is job:
            del self._jobs[job.key]
        self._ending -= job.verdict is not None
        error = None if task.cancelled() else task.exception()
        if job.attached:
            if not task.cancelled():
                self._pump(job.destination, self._clock.now())
            return  # `first` hears of it
        job.destination.running -= 1
        if error is not None:
            log.error("key=%s event=defect", job.key, exc_info=error)
            if job.key in self._shelf:
                self._schedule.set(job.key, self._next_try(job.entry, self._clock.now()))
        if not task.cancelled():
            self._pump(job.destination, self._clock.now())

    async def _publish(self, entry: Deferred, concluded: Concluded) -> None:
        """Return when it is acknowledged; until then the entry stays, and the message is not tried again."""
        while concluded.events:
            try:
                await self._bus.publish(concluded.events)
                break
            except BusUnavailable as error:
                log.warning("id=%s event=outcome-waits error=%s", entry.disposition.received.id, error)
                await asyncio.sleep(PUBLISH_AGAIN)
        self.remember(concluded.outcomes)

    def remember(self, outcomes: tuple[Outcome, ...] | list[Outcome]) -> None:
        """Keep in mind who has an end, and is not to be delivered to again."""
        for outcome in outcomes:
            self.seen.add(outcome.id, outcome.recipients)

    # --- what a person wants

    def obey(self, command: QueueCommand, *, now: float) -> None:
        """Carry out a command. Those of the past come again at each start: a hold counts, a flush is over."""
        self.orders.apply(command)
        for destination in self.destinations:
            if destination.customer == command.customer and command.destination in {"", destination.where}:
                self._failing.append((self.orders.act(command, destination, now), self.orders.reason(command)))
        if command.message:
            for key in self._keys_of(command):
                self._act_on(key, command)
        self._wake.set()

    def _keys_of(self, command: QueueCommand) -> list[str]:
        keys = (f"{command.message}/{branch}" for branch in range(BRANCHES_MOST))
        return [key for key in keys if key in self._shelf and self._home(key).customer == command.customer]

    def _act_on(self, key: str, command: QueueCommand) -> None:
        if self.orders.fails(command, self._shelf.since(key)):
            self._failing.append((iter((key,)), self.orders.reason(command)))
        elif self.orders.lets_go(command):
            self._home(key).let(key)

    def _obey_late(self, key: str, message: str, home: Destination) -> None:
        """Carry out on what was just taken over what was ordered before."""
        home.held = self.orders.held_destination(home)
        failed = self.orders.failed(message, home, self._shelf.since(key))
        if failed is not None:
            self._failing.append((iter((key,)), self.orders.reason(failed)))

    def _held(self, message: str, destination: Destination) -> QueueCommand | None:
        destination.held = self.orders.held_destination(destination)
        return destination.held or self.orders.held_message(message)

    # --- bookkeeping

    def oldest(self, destination: Destination) -> float:
        """Return since when the message that waits longest has waited; 0 when none does."""
        key = destination.oldest
        return 0.0 if key is None else self._shelf.since(key)

    def _destination(self, entry: Deferred) -> Destination:
        return self.destinations.of(entry)

    def _home(self, key: str) -> Destination:
        return self.destinations.numbered(self._shelf.home(key) or 0)

    def _wait(self, key: str, entry: Deferred | None) -> None:
        """Let the entry wait for its time, or forget the key when there is none."""
        if entry is None:
            self._leave(key)
            return
        home = self._keep(key, entry)
        if not home.closed:
            self._schedule.set(key, entry.next_at)
        elif (warn_at := self._warn_at(entry)) is not None:
            # Due, and still to be given: there was no store for it.
            self._schedule.set(key, warn_at if warn_at > self._clock.now() else entry.next_at)
        self._wake.set()

    def _keep(self, key: str, entry: Deferred) -> Destination:
        home = self._destination(entry)
        if (old := self._shelf.home(key)) is not None and old != home.number:
            self.destinations.numbered(old).waiting.discard(key)
        self._shelf.put(entry, home.number)
        home.waiting.add(key)
        home.held = self.orders.held_destination(home)
        return home

    def _leave(self, key: str) -> None:
        self._schedule.cancel(key)
        home = self._shelf.home(key)
        if home is not None:
            self.destinations.numbered(home).waiting.discard(key)
            self._shelf.delete(key)

    def _next_try(self, entry: Deferred, now: float) -> float:
        wait = backoff.delay(
            entry.attempts,
            self._chance(),
            first=self._config.retry_first_seconds,
            most=self._config.retry_most_seconds,
        )
        expires = expires_at(entry, self._customer(entry.disposition.received.customer))
        return min(now + wait, max(expires, now + SOON))

    def _warn_at(self, entry: Deferred) -> float | None:
        customer = self._customer(entry.disposition.received.customer)
        if customer is None or entry.warned:
            return None
        encrypts = entry.disposition.branches[entry.branch].encrypt
        hours = customer.delay_warning_hours or (ENCRYPT_WARNING_HOURS if encrypts else 0.0)
        return entry.since + hours * 3600.0 if hours else None

    def _warns(self, entry: Deferred, now: float) -> bool:
        at = self._warn_at(entry)
        return at is not None and now >= at

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


def _under_way(entry: Deferred, next_at: float) -> Deferred:
    reply = entry.reply or "the first attempt is under way"
    return msgspec.structs.replace(entry, next_at=next_at, reply=reply, under_way=True)


def _reply(results: Iterable[Result]) -> str:
    first = next(iter(results), None)
    return "" if first is None else first.reply.line
