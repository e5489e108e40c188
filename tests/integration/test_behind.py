"""A command that stands back: what the kernel knows of it, and that it ends as it was told to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.eventually import eventually

PROGRAM = """
import os, signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a run in the background of a shell ignores it
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and one under nohup this
from services.cli.behind import behind

@behind
def work() -> None:
    print(os.getsid(0), os.getpid(), os.getpriority(os.PRIO_PROCESS, 0), flush=True)
    {then}

work()
"""


def autogroup() -> str:
    return Path("/proc/self/autogroup").read_text()


def cpu(pid: str) -> float:
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def held_at_rest(metronome: int, *pids: str) -> bool:
    """Stop the metronome, and return whether it was in a rest; if not, let it go on."""
    os.kill(metronome, signal.SIGSTOP)
    if all(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T" for pid in pids):
        return True
    os.kill(metronome, signal.SIGCONT)
    return False


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


async def test_it_has_a_session_of_its_own_and_is_as_nice_as_can_be() -> None:
    process, (session, pid, nice) = await started("pass")
    assert await ended(process) == 0
    assert len({int(session), int(pid), process.pid, os.getsid(0)}) == 4
    assert int(nice) == 19


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


async def test_it_rests_most_of_the_time() -> None:
    busy = "until = time.monotonic() + 2\n    while time.monotonic() < until: pass\n    print(time.process_time())"
    process, _ = await started(busy)
    out, _ = await process.communicate()
    assert 0 < float(out) < 1  # of two seconds in which it never waited for anything


async def test_it_gets_on_where_the_cores_are_never_free() -> None:
    cores = range(os.cpu_count() or 1)
    spinning = [await asyncio.create_subprocess_exec(sys.executable, "-c", "while True: pass") for _ in cores]
    try:
        process, _ = await started("while time.process_time() < 0.05: pass")
        assert await ended(process) == 0
    finally:
        for each in spinning:
            each.kill()
            await each.wait()


@pytest.mark.parametrize("then", ["time.sleep(60)", "while True: pass"])
@pytest.mark.parametrize("killed", ["the shell's", "metronome"])
async def test_nothing_of_it_stays_when_a_part_was_killed(killed: str, then: str) -> None:
    process, (session, pid, _) = await started(then)
    os.kill(process.pid if killed == "the shell's" else int(session), signal.SIGKILL)
    await ended(process)
    await eventually(lambda: gone(session) and gone(pid), 20.0, every=0.05)


async def test_what_it_has_started_rests_and_ends_with_it() -> None:
    child = "child = os.fork()\n    while not child: pass\n    print(child, flush=True)\n    while True: pass"
    process, (session, pid, _) = await started(child)
    assert process.stdout is not None
    own = (await process.stdout.readline()).decode().strip()
    before = cpu(own)
    await asyncio.sleep(2.0)
    assert cpu(own) - before < 1.0
    try:
        await eventually(lambda: held_at_rest(int(session), own, pid), 20.0, every=0.003)
        os.kill(int(session), signal.SIGKILL)  # now nobody is left to continue them but the kernel
        await ended(process)
        await eventually(lambda: gone(pid) and gone(own), 20.0, every=0.05)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(own), signal.SIGKILL)  # it would take a core for ever
