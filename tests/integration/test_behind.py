"""A command that stands back: what the kernel knows of it, and that it ends as it was told to."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.eventually import eventually

PROGRAM = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a run in the background of a shell ignores it
from services.cli.behind import behind

@behind
def work() -> None:
    print(os.getsid(0), os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0), flush=True)
    {then}

work()
"""


def autogroup() -> str:
    return Path("/proc/self/autogroup").read_text()


def gone(pid: str) -> bool:
    return not Path(f"/proc/{pid}").exists()


async def started(then: str) -> tuple[asyncio.subprocess.Process, list[str]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PROGRAM.format(then=then), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(20):
        return process, (await process.stdout.readline()).decode().split()


async def ended(process: asyncio.subprocess.Process) -> int:
    async with asyncio.timeout(20):
        return await process.wait()


async def test_it_has_a_session_of_its_own_and_runs_when_nothing_else_does() -> None:
    process, (session, scheduler, nice) = await started("pass")
    assert await ended(process) == 0
    assert int(session) not in {os.getsid(0), process.pid}
    assert (int(scheduler), int(nice)) == (os.SCHED_IDLE, 19)


@pytest.mark.skipif(not Path("/proc/self/autogroup").exists(), reason="this kernel groups nothing by session")
async def test_its_session_is_nice_and_ours_is_as_it_was() -> None:
    before = autogroup()
    process, _ = await started("print(open('/proc/self/autogroup').read())")
    out, _ = await process.communicate()
    assert out.decode().split()[-2:] == ["nice", "19"]
    assert autogroup() == before


async def test_its_exit_code_is_the_commands() -> None:
    process, _ = await started("sys.exit(7)")
    assert await ended(process) == 7


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_reaches_it(number: signal.Signals) -> None:
    process, _ = await started("time.sleep(60)")
    process.send_signal(number)
    assert await ended(process) in {128 + number, 1}


async def test_it_ends_with_the_command_that_was_killed() -> None:
    process, (session, _, _) = await started("time.sleep(60)")
    process.kill()
    await ended(process)
    await eventually(lambda: gone(session), 20.0, every=0.05)
