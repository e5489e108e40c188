"""A command that has time goes on behind everything else on this machine, in short strokes with long rests.

nice(2) alone does not do that: where the kernel groups processes by session (sched_autogroup), a command in a terminal
of its own has as much of the cores as all services in theirs, however nice it is. So the command gets a session, and
that is nice as well. And being nice is not enough: a service that wakes up on the core where the command runs waits for
the end of its slice, several times for each message. So the command rests most of the time, and works while half of
the cores, or more, have had nothing to do for a moment. A few messages take all of them for a while, and the command
waits until that is over. Where it isn't over soon, it works now and then all the same.

It is not SCHED_IDLE: the scheduler takes a core that runs nothing else for a free one and wakes services up there; they
wait all the same, for an idle task gives way at once only to those of its own session.

    the shell's process ─▶ metronome, leader of the new session ─▶ the command, in a process group of its own

The command can't forget to rest, whatever it does: it is stopped (SIGSTOP) and continued from outside. Should the
metronome be killed, the kernel sends SIGHUP and SIGCONT to the group, which is an orphan then (POSIX, _exit): nothing
stays stopped for ever. Standard library only, and before anything large is imported: an import is work like any other.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Final, NoReturn, ParamSpec

from services.runtime.leash import PR_SET_PDEATHSIG

P = ParamSpec("P")

NICEST: Final = 19
HANDED_ON: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
AWAITED: Final = (*HANDED_ON, signal.SIGCHLD)
STROKE: Final = 0.001  # seconds of work
LOOK: Final = 0.002  # seconds between two looks at what else runs
LOOKS: Final = 3  # in a row that must find little before a stroke
BUSY_FOR: Final = 100  # looks after which the command works whatever they found,
BUSY_STILL: Final = 10  # and from then on until it is quiet again
PATIENCE: Final = 1 + BUSY_STILL * LOOK / STROKE  # how much longer everything may take: for time-outs that mean work
LOAD: Final = "/proc/loadavg"  # its fourth field is what runs or wants to, and how many there are (proc(5))


def behind(function: Callable[P, None]) -> Callable[P, None]:
    """Run a command behind everything else, in a process of its own; this one hands signals on and waits for it."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        shells = os.getpid()
        signal.pthread_sigmask(signal.SIG_BLOCK, AWAITED)  # they are waited for: one between two steps would be lost
        metronome = os.fork()
        if metronome:
            _wait(metronome)
        _stand_back(shells)
        leader = os.getpid()
        command = os.fork()
        if command and sys.platform == "linux":
            _beat(command)
        if command:
            _wait(command)  # elsewhere a session that is nice must do
        os.setpgid(0, 0)
        _leash(leader)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, AWAITED)
        function(*args, **kwargs)

    return run


def _wait(child: int) -> NoReturn:
    """Hand signals on until the child has ended, then end as it did."""
    while True:
        number = signal.sigwait(AWAITED)
        if number == signal.SIGCHLD:
            _end_with(child)
        else:
            _tell(child, number)


def _beat(child: int) -> NoReturn:
    """Do the same, and let the child work for a stroke and rest, in turns. Told to end it is not held up any more."""
    with contextlib.suppress(OSError):  # it does that itself too, and may have ended since
        os.setpgid(child, child)
    quiet, looks = _looking(), BUSY_FOR
    while True:
        if (number := signal.sigtimedwait(HANDED_ON, STROKE)) is None:
            _tell(child, signal.SIGSTOP, group=True)
            calm, number = _rest(quiet, looks)
            looks = BUSY_FOR if calm else BUSY_STILL
            _tell(child, signal.SIGCONT, group=True)
        _end_with(child)
        if number is not None:
            _tell(child, number.si_signo)
            _wait(child)


def _rest(quiet: Callable[[], bool], most: int) -> tuple[bool, signal.struct_siginfo | None]:
    """Return when it is time for a stroke: whether little ran, and a signal when there was one before."""
    found = 0
    for _ in range(most):
        if (number := signal.sigtimedwait(HANDED_ON, LOOK)) is not None:
            return True, number
        found = found + 1 if quiet() else 0
        if found == LOOKS:
            return True, None
    return False, None


def _looking() -> Callable[[], bool]:
    """Return what says whether half of the cores or more have nothing to do; never, where the kernel doesn't tell."""
    most = max(1, (os.cpu_count() or 1) // 2)
    try:
        load = os.open(LOAD, os.O_RDONLY)
    except OSError:
        return lambda: False

    def quiet() -> bool:
        running = os.pread(load, 100, 0).split()[3].partition(b"/")[0]
        return int(running) <= most  # one of them is who asks

    return quiet


def _tell(child: int, number: int, *, group: bool = False) -> None:
    with contextlib.suppress(ProcessLookupError):
        if group:
            os.killpg(child, number)
        else:
            os.kill(child, number)


def _end_with(child: int) -> None:
    """End with the child's exit code, as a shell says it, if the child has ended."""
    ended, status = os.waitpid(child, os.WNOHANG)
    if ended:
        code = os.waitstatus_to_exitcode(status)
        sys.exit(code if code >= 0 else 128 - code)


def _stand_back(parent: int) -> None:
    os.setsid()
    os.nice(NICEST)
    _leash(parent)
    with contextlib.suppress(OSError):  # a kernel without it groups nothing by session
        Path("/proc/self/autogroup").write_text(str(NICEST), "ascii")


def _leash(parent: int) -> None:
    """Let this process be told to end (SIGTERM) when its parent ends, killed or not."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            sys.exit(1)  # it died before the leash was on
