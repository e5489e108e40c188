"""`python -m tests.chaos --seed N --faults N --minutes M`: strikes every part under load, then counts the mail.

Exit code 0: every message that had its 250 has exactly one terminal outcome, nothing that policy stopped arrived, and
what arrived twice is recorded as possible. 1 otherwise, with the ids; 2 when the parts can't be had.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import logging
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from schemas.events import Outcome
from services.core.errors import BusUnavailable, StartError
from services.runtime import logs
from tests.chaos.house import House
from tests.chaos.load import Load
from tests.chaos.plan import Fault, plan
from tests.chaos.verdict import Pair, Verdict, judge, open_pairs, outcomes_of

RATE = 6.0  # messages a second
QUIET = 15.0  # seconds for the sink after the last outcome: what comes late comes twice
FAULT_WITHIN = 150.0  # seconds for one fault with its healing, past which the machine is at fault


@dataclasses.dataclass
class Run:
    """What was done, for the table."""

    faults: Counter[tuple[str, str]] = dataclasses.field(default_factory=Counter)
    began: float = dataclasses.field(default_factory=time.monotonic)
    settled: float = 0.0  # seconds from the last fault's end to the last outcome
    holds: int = 0


async def strike(house: House, fault: Fault) -> None:
    """Let one thing go wrong, and right again."""
    match fault.kind:
        case "kill":
            part = house.parts[fault.target]
            await part.kill()
            await asyncio.sleep(fault.seconds)
            await part.back()
        case "pause":
            part = house.parts[fault.target]
            await part.pause()
            await asyncio.sleep(fault.seconds)
            await part.go_on()
        case "fill":
            disk = house.disks[fault.target]
            await asyncio.to_thread(disk.fill)
            await asyncio.sleep(fault.seconds)
            await asyncio.to_thread(disk.empty)
        case _:
            wire = house.wires[fault.target]
            match fault.kind:
                case "cut":
                    wire.cut()
                case "delay":
                    wire.delay = 0.4
                case "throttle":
                    wire.rate = 20_000.0
                case _:
                    wire.reset()
            await asyncio.sleep(fault.seconds)
            wire.mend()


async def strike_all(house: House, faults: list[Fault], minutes: float, run: Run) -> None:
    """Begin one fault after the other, spread over the time; a target is struck once at a time, and so is Kafka.

    Of three brokers one may be away: with two away nothing is acknowledged, which is only a longer cut.
    """
    gap = minutes * 60 / max(1, len(faults))
    locks: dict[str, asyncio.Lock] = {}
    at_once = asyncio.Semaphore(4)

    async def one(fault: Fault) -> None:
        name = "kafka" if "kafka" in fault.target else fault.target
        async with at_once, locks.setdefault(name, asyncio.Lock()), asyncio.timeout(FAULT_WITHIN):
            print(f"{time.monotonic() - run.began:7.1f} s  {fault.kind:8} {fault.target} {fault.seconds} s", flush=True)
            await strike(house, fault)
            run.faults[fault.kind, fault.target] += 1

    async with asyncio.TaskGroup() as tasks:
        for fault in faults:
            tasks.create_task(one(fault))
            await asyncio.sleep(gap)


async def settle(house: House, load: Load, within: float, run: Run) -> None:
    """Wait until every accepted message has ended, for `within` seconds at the most."""
    began = time.monotonic()
    while time.monotonic() - began < within:
        run.holds += await house.try_end_holds()
        with contextlib.suppress(BusUnavailable):
            waiting = open_pairs(load.accepted, outcomes_of(await house.outcomes()))
            print(f"{time.monotonic() - run.began:7.1f} s  {len(waiting)} recipients wait for an outcome", flush=True)
            if not waiting:
                break
        await asyncio.sleep(5.0)
    run.settled = time.monotonic() - began
    await asyncio.sleep(QUIET)


async def chaos(options: argparse.Namespace, folder: Path) -> int:
    """Run, print the table, and return the exit code."""
    async with House(folder) as house:
        load = Load(options.seed, house.doors, options.rate)
        disks = sorted(house.disks)
        faults = plan(options.seed, options.faults, sorted(house.parts), sorted(house.wires), disks)
        run, stop = Run(), asyncio.Event()
        print(f"up: {', '.join(sorted(house.parts))}; seed {options.seed}, {len(faults)} faults", flush=True)
        sending = asyncio.create_task(load.run(stop))
        await strike_all(house, faults, options.minutes, run)
        stop.set()
        await sending
        await settle(house, load, options.settle, run)
        ended = outcomes_of(await house.outcomes())
        verdict = _verdict(house, load, ended)
        for line in await house.trace({failure.split()[1] for failure in verdict.failures}) if verdict.failures else ():
            logging.getLogger("chaos").error("%s", line)
        deaths = {name: service.deaths for name, service in house.services.items() if service.deaths}
    report(options, run, load, verdict, deaths)
    return 1 if verdict.failures else 0


def _verdict(house: House, load: Load, ended: Mapping[Pair, list[Outcome]]) -> Verdict:
    arrivals = house.sink.arrivals
    ids = Counter((_id(one.header("X-Gatepost")), recipient) for one in arrivals for recipient in one.recipients)
    return judge(load.accepted, ended, ids, load.stopped, [one.header("Subject") for one in arrivals])


def _id(field: str) -> str:
    return field.partition("id=")[2].partition(";")[0].strip()


def report(options: argparse.Namespace, run: Run, load: Load, verdict: Verdict, deaths: dict[str, int]) -> None:
    """Print the tables as Markdown."""
    kinds = sorted({kind for kind, _ in run.faults})
    print(f"\nSeed {options.seed}, {sum(run.faults.values())} faults in {time.monotonic() - run.began:.0f} s.\n")
    print(f"| part or wire | {' | '.join(kinds)} |")
    print(f"|---|{'---:|' * len(kinds)}")
    for target in sorted({target for _, target in run.faults}):
        print(f"| {target} | {' | '.join(str(run.faults[kind, target] or '') for kind in kinds)} |")
    rows = [
        ("messages sent", sum(load.answers.values())),
        *((f"answered {answer}", count) for answer, count in sorted(load.answers.items())),
        ("recipients of accepted messages", sum(len(one.recipients) for one in load.accepted)),
        *((f"ended: {state}", count) for state, count in sorted(verdict.states.items())),
        ("lost", len(verdict.lost)),
        ("with contradicting outcomes", len(verdict.torn)),
        ("stopped by policy and arrived", len(verdict.leaked)),
        ("arrived twice, recorded as possible", verdict.recorded),
        ("arrived twice, not recorded", len(verdict.doubled)),
        ("outcomes published again, the same", verdict.repeated),
        ("seconds from the last fault to the last outcome", round(run.settled)),
        *((f"deaths of {name} that nobody ordered", count) for name, count in sorted(deaths.items())),
    ]
    print("\n| what | count |\n|---|---:|")
    for name, count in rows:
        print(f"| {name} | {count} |")
    print()
    for line in verdict.failures:
        print(line)


def main() -> int:
    """Read the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--faults", type=int, default=60)
    parser.add_argument("--minutes", type=float, default=4.0, help="over which the faults begin")
    parser.add_argument("--rate", type=float, default=RATE, help="messages a second")
    parser.add_argument("--settle", type=float, default=240.0, help="seconds for the rest to end afterwards")
    parser.add_argument("--log", type=Path, default=Path("chaos.log"), help="where the parts' logs go")
    options = parser.parse_args()
    with options.log.open("wb") as log:
        os.dup2(log.fileno(), 2)
    logs.set_up("INFO")
    folder = Path(tempfile.mkdtemp(prefix="gatepost-chaos-"))
    try:
        return asyncio.run(chaos(options, folder))
    except StartError as error:
        print(f"chaos: {error}")
        return 2
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
