"""An MTA returns to a long queue: how fast all of it arrives, and what a SIGKILL in the middle does.

    python -m bench.returns [--count 10000]

Puts waiting messages into mail.deferred.v1 and their objects into a folder, starts the delivery service, and notes what
arrives. With a kill, each must arrive at least once, and twice only where the outcome says that it may have.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import os
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

from bench.deferred import ID, delivery
from bench.sink import Sink
from bench.waiting import BODY, STEP, deferred, disposition
from schemas.catalog import OUTCOMES
from schemas.events import Customer, Domain, Host, Outcome, State
from services.core.stored import pack
from services.runtime.broker import running
from services.runtime.kafka import KafkaBus
from services.runtime.open_store import open_store
from services.runtime.provision import make_topics

PATIENCE = 180.0  # seconds
AT_ONCE = 200  # messages that are put into the store together


@dataclasses.dataclass(slots=True)
class Result:
    """How a run went."""

    count: int
    seconds: float = 0.0  # from the start of the process to the last arrival
    arrived: Counter[str] = dataclasses.field(default_factory=Counter)
    ended: Counter[str] = dataclasses.field(default_factory=Counter)  # outcomes that say delivered
    marked: set[str] = dataclasses.field(default_factory=set)  # whose outcome says: possibly twice

    @property
    def twice(self) -> set[str]:
        """Return what arrived more than once."""
        return {message for message, times in self.arrived.items() if times > 1}


async def run(folder: Path, count: int, *, kill: bool) -> Result:  # noqa: C901  # one story, told in its order
    """Let the MTA return to so many messages; `kill` ends the process once, without warning, in the middle."""
    result = Result(count)
    async with running(folder / "broker") as broker, Sink() as sink:
        address = await broker.start()
        await make_topics(address)
        bus, store = KafkaBus(address, "bench"), await open_store(str(folder / "objects"), {})
        domain = Domain(name="back.test", relay=(Host(host="127.0.0.1", port=sink.port),))
        await bus.publish([Customer(id="back", domains=(domain,))], within=60)
        last = 0.0

        def note(_: float, message: bytes) -> None:
            nonlocal last
            if match := ID.search(message):
                result.arrived[match[1].decode()] += 1
                last = time.perf_counter()

        sink.note = note
        first = time.time() - 3600
        for start in range(0, count, AT_ONCE):
            batch = [
                deferred(disposition("back", "back.test", at), at)
                for at in (first + number * STEP for number in range(start, min(start + AT_ONCE, count)))
            ]
            messages = [entry.disposition.received for entry in batch]
            await asyncio.gather(*(store.put(one.key, [pack(one), BODY]) for one in messages))
            await bus.publish(batch, within=60)
        began = time.perf_counter()
        if kill:
            async with delivery(address, folder / "objects") as (pid, _):
                await _until(lambda: len(result.arrived) >= count // 2)
                os.kill(pid, signal.SIGKILL)
        async with delivery(address, folder / "objects"):
            await _until(lambda: len(result.arrived) >= count)
            result.seconds = last - began

            async def all_ended() -> bool:
                result.ended.clear()
                async for record in bus.read(OUTCOMES):
                    event = record.event
                    if isinstance(event, Outcome) and event.state is State.DELIVERED:
                        result.ended[event.id] += 1
                        if event.possible_duplicate:
                            result.marked.add(event.id)
                return len(result.ended) >= count

            for _ in range(60):
                if await all_ended():
                    break
                await asyncio.sleep(1.0)
        await bus.close()
        await store.close()
    return result


async def _until(true: object) -> None:
    assert callable(true)  # noqa: S101  # for the type checker
    deadline = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > deadline:
            raise SystemExit("it did not arrive in time")
        await asyncio.sleep(0.02)


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--count", type=int, default=10_000)
    options.add_argument("--folder", type=Path, default=None, help="where everything lies meanwhile")
    options.add_argument("--kill-only", action="store_true", help="leave out the undisturbed run")
    chosen = options.parse_args()
    print("| run | queued | all arrived after | never | twice | of these not marked | marked in all |\n|" + "---|" * 7)
    for kill in (False, True)[chosen.kill_only :]:
        with tempfile.TemporaryDirectory(dir=chosen.folder, prefix="bench-") as name:
            result = await run(Path(name), chosen.count, kill=kill)
        print(
            f"| {'SIGKILL at half' if kill else 'undisturbed'} | {result.count:,} | {result.seconds:.1f} s "
            f"| {result.count - len(result.arrived)} | {len(result.twice)} | {len(result.twice - result.marked)} "
            f"| {len(result.marked)} |",
            flush=True,
        )


if __name__ == "__main__":
    asyncio.run(main())
